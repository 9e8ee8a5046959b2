"""The study's networks as PyTorch modules whose state dicts have the publishers' keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with batch norms and layers that do something."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None and module.running_mean is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.5)
            nn.init.normal_(module.bias, std=0.5)
    return network.eval()


def conv(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)


# --- ResNet ---------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two 3x3 convolutions, or three with a bottleneck; torchvision's names."""

    def __init__(self, n_in: int, channels: int, stride: int, wide: bool) -> None:
        super().__init__()
        n_out = 4 * channels if wide else channels
        plan = [(n_in, channels, 3, stride), (channels, n_out, 3, 1)]
        if wide:
            inner = 2 * channels
            plan = [(n_in, inner, 1, 1), (inner, inner, 3, stride), (inner, n_out, 1, 1)]
        self.count = len(plan)
        for i, sizes in enumerate(plan, 1):
            self.add_module(f"conv{i}", conv(*sizes))
            self.add_module(f"bn{i}", nn.BatchNorm2d(sizes[1]))
        self.downsample: nn.Module | None = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(conv(n_in, n_out, 1, stride), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i in range(1, self.count + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            y = functional.relu(y) if i < self.count else y
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """torchvision's `layer1` and on."""

    def __init__(self, repeats: Sequence[int], wide: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self.stages = len(repeats)
        n_in = 64
        for stage, count in enumerate(repeats):
            channels, blocks = 64 << stage, []
            for repeat in range(count):
                stride = 2 if stage and not repeat else 1
                blocks.append(Residual(n_in, channels, stride, wide))
                n_in = 4 * channels if wide else channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def taps(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            yield x


# --- MCUNet ---------------------------------------------------------------------------------------


class Unit(nn.Module):
    """Convolution and batch norm under MCUNet's names."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = conv(n_in, n_out, kernel, stride, groups)
        self.bn = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.bn(self.conv(x))
        return y


class Inverted(nn.Module):
    """MCUNet's inverted residual."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = n_in * expansion
        parts = {
            "depth_conv": Unit(inner, inner, kernel, stride, inner),
            "point_linear": Unit(inner, n_out, 1, 1),
        }
        if expansion > 1:
            parts["inverted_bottleneck"] = Unit(n_in, inner, 1, 1)
        self.mobile_inverted_conv = nn.ModuleDict(parts)
        self.is_identity = stride == 1 and n_in == n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts, y = self.mobile_inverted_conv, x
        if "inverted_bottleneck" in parts:
            y = functional.relu6(parts["inverted_bottleneck"](y))
        y = functional.relu6(parts["depth_conv"](y))
        y = parts["point_linear"](y)
        return x + y if self.is_identity else y


class McuNet(nn.Module):
    """`mcunet-in3` up to block 9: (channels, kernel, stride, expansion) a block."""

    def __init__(self) -> None:
        super().__init__()
        self.first_conv = Unit(3, 16, 3, 2)
        plan = [(8, 3, 1, 1), (16, 7, 2, 3), (16, 3, 1, 5), (16, 7, 1, 5), (16, 5, 1, 4)]
        plan += [(24, 5, 2, 5), (24, 5, 1, 5), (24, 5, 1, 5), (40, 3, 2, 5), (40, 7, 1, 6)]
        channels = [16, *(block[0] for block in plan)]
        blocks = [Inverted(n, *block) for n, block in zip(channels, plan, strict=False)]
        self.blocks = nn.ModuleList(blocks)

    def taps(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        x = functional.relu6(self.first_conv(x))
        for block in self.blocks:
            x = block(x)
            yield x


# --- PhiNet ---------------------------------------------------------------------------------------


class Layered(nn.Module):
    """Modules under `_layers`, one after the other."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self._layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self._layers:
            x = layer(x)
        return x


class Squeeze(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.se_conv, self.se_conv2 = conv(channels, squeezed, 1), conv(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = functional.hardswish(self.se_conv(x.mean(dim=(2, 3), keepdim=True)))
        return x * torch.sigmoid(self.se_conv2(gate))


class PhiBlock(Layered):
    """PhiNet's block; no expansion in the first."""

    def __init__(self, n_in: int, inner: int, squeezed: int, n_out: int, stride: int) -> None:
        def norm(channels: int) -> nn.BatchNorm2d:
            return nn.BatchNorm2d(channels, eps=1e-3)

        head: list[nn.Module] = []
        if squeezed:
            head = [conv(n_in, inner, 1), norm(inner), nn.Hardswish()]
        depthwise = [conv(inner, inner, 3, stride, inner), norm(inner), nn.Hardswish()]
        attention = [Squeeze(inner, squeezed)] if squeezed else []
        tail = [conv(inner, n_out, 1), norm(n_out)]
        super().__init__(*head, nn.Dropout2d(), *depthwise, *attention, *tail)
        self.is_identity = stride == 1 and n_in == n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = super().forward(x)
        return x + y if self.is_identity else y


class PhiNet(Layered):
    """Up to `_layers[7]` at width 1.2; expansions 6 to 3 over seven blocks, worked out by hand."""

    def __init__(self) -> None:
        stem = Layered(
            nn.Conv2d(3, 3, 3, 2, groups=3, bias=False),
            conv(3, 56, 1),
            nn.BatchNorm2d(56, eps=1e-3),
            nn.Hardswish(),
        )
        super().__init__(
            nn.ZeroPad2d((0, 1, 0, 1)),
            stem,
            PhiBlock(56, 56, 0, 32, 1),
            PhiBlock(32, 176, 32, 32, 2),
            PhiBlock(32, 168, 32, 32, 1),
            PhiBlock(32, 152, 24, 56, 2),
            PhiBlock(56, 240, 40, 112, 2),
            PhiBlock(112, 432, 72, 232, 2),
        )

    def taps(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        for layer in self._layers:
            x = layer(x)
            yield x


# --- MicroNet -------------------------------------------------------------------------------------


class Shuffle(nn.Module):
    """Channels of all groups by turns."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.channel_shuffle(x, self.groups)


class ShiftMax(nn.Module):
    """Dynamic Shift-Max with one or two pairs of factors."""

    def __init__(self, channels: int, groups: int, hidden: int, pairs: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * pairs * channels)
        )
        self.groups, self.pairs = groups, pairs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        factors = (functional.hardsigmoid(self.fc(x.mean(dim=(2, 3)))) - 0.5) * 4
        grouped = x.view(n, self.groups, channels // self.groups, height, width)
        partner = grouped.roll((-1, -1), (1, 2)).reshape(x.shape)
        made = []
        for pair in factors.view(n, self.pairs, 2, channels, 1, 1).unbind(1):
            made.append(x * (1 + pair[:, 0]) + partner * pair[:, 1])
        return made[0] if self.pairs == 1 else torch.maximum(*made)


class Chain(nn.Module):
    """Modules under `conv`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return y


def separable(n_in: int, expansion: tuple[int, int], kernel: int, stride: int) -> Chain:
    inner, side = n_in * expansion[0], kernel // 2
    out = inner * expansion[1]
    column = nn.Conv2d(n_in, inner, (kernel, 1), (stride, 1), (side, 0), groups=n_in, bias=False)
    row = nn.Conv2d(inner, out, (1, kernel), (1, stride), (0, side), groups=inner, bias=False)
    return Chain(column, nn.BatchNorm2d(inner), row, nn.BatchNorm2d(out))


def pointwise(n_in: int, n_out: int, groups: int) -> Chain:
    return Chain(conv(n_in, n_out, 1, groups=groups), nn.BatchNorm2d(n_out))


class MicroBlock(nn.Module):
    """A block under the name `layers`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


class MicroNet(nn.Module):
    """MicroNet-M1 up to `features[5]`."""

    def __init__(self) -> None:
        super().__init__()
        column = nn.Conv2d(3, 3, (3, 1), (2, 1), (1, 0), bias=False)
        row = nn.Conv2d(3, 6, (1, 3), (1, 2), (0, 1), groups=3, bias=False)
        stem = nn.Module()
        stem.stem = nn.Sequential(
            Chain(column, nn.BatchNorm2d(3), row, nn.BatchNorm2d(6), Shuffle(3)), nn.ReLU6()
        )
        skipped = nn.Sequential()
        self.features = nn.ModuleList(
            [
                stem,
                MicroBlock(
                    *(separable(6, (2, 2), 3, 2), nn.ReLU6(), Shuffle(6), skipped),
                    *(pointwise(24, 8, 2), ShiftMax(8, 2, 4, 1), Shuffle(2), Shuffle(4)),
                ),
                MicroBlock(
                    *(separable(8, (2, 2), 3, 2), ShiftMax(32, 8, 4, 2), Shuffle(8), Shuffle(16)),
                    *(pointwise(32, 16, 4), ShiftMax(16, 4, 4, 1), Shuffle(4), Shuffle(8)),
                ),
                MicroBlock(
                    *(separable(16, (2, 2), 5, 2), ShiftMax(64, 16, 8, 2)),
                    *(Shuffle(16), Shuffle(32)),
                    *(pointwise(64, 16, 4), ShiftMax(16, 4, 4, 1), Shuffle(4), Shuffle(8)),
                ),
                MicroBlock(
                    *(pointwise(16, 96, 4), ShiftMax(96, 4, 12, 2), Shuffle(4)),
                    *(separable(96, (1, 1), 5, 1), skipped, ShiftMax(96, 24, 12, 2), Shuffle(24)),
                    *(pointwise(96, 32, 4), ShiftMax(32, 4, 8, 1), Shuffle(4), Shuffle(16)),
                ),
                MicroBlock(
                    *(pointwise(32, 192, 8), ShiftMax(192, 8, 24, 2), Shuffle(8)),
                    *(separable(192, (1, 1), 5, 2), skipped, ShiftMax(192, 24, 24, 2)),
                    *(Shuffle(48), pointwise(192, 64, 8), ShiftMax(64, 8, 16, 1)),
                    *(Shuffle(8), Shuffle(32)),
                ),
            ]
        )

    def taps(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        for i, layer in enumerate(self.features):
            x = layer.stem(x) if i == 0 else layer(x)
            yield x
