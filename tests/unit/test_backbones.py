"""Backbones: the layers are those of the publishers' networks, and wrong weights are refused."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import nn

from vadgen.backbones import backbones, efficientnet_lite0, load_backbone, mobilenet_v2
from vadgen.backbones.backbone import Request, scaled_channels
from vadgen.backbones.efficientnet_lite0 import BACKBONE as LITE0
from vadgen.backbones.efficientnet_lite0 import _published
from vadgen.backbones.network import (
    Add,
    AveragePool,
    Head,
    Network,
    forward,
    one_thread,
    trim,
    with_heads,
)
from vadgen.backbones.weights import read_weights
from vadgen.errors import Exit, VadgenError

RANDOM = Path("random")


def images(n: int = 2, size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_every_backbone_builds_with_random_weights_that_stay_in_range() -> None:
    assert {"efficientnet_lite0", "mobilenet_v2", "tiny"} <= set(backbones())
    for name, backbone in backbones().items():
        network = load_backbone(name, weights=RANDOM)
        taps = forward(network, images(size=16).repeat(4, axis=1).repeat(4, axis=2))
        assert len(taps) == len(backbone.default_taps)
        for tap in taps:
            assert 0.2 < tap.std() < 5


def test_default_taps_have_the_documented_channels() -> None:
    shapes = [t.shape[1:] for t in forward(load_backbone("efficientnet_lite0"), images(1, 96))]
    assert shapes == [(24, 24, 24), (12, 12, 40), (6, 6, 112)]
    network = load_backbone("mobilenet_v2", weights=RANDOM)
    shapes = [t.shape[1:] for t in forward(network, images(1, 96))]
    assert shapes == [(12, 12, 32), (6, 6, 64), (6, 6, 64)]


def test_the_seed_decides_random_weights() -> None:
    first, again, other = (load_backbone("tiny", seed=seed) for seed in (1, 1, 2))
    pictures = images()
    np.testing.assert_array_equal(forward(first, pictures)[0], forward(again, pictures)[0])
    assert not np.array_equal(forward(first, pictures)[0], forward(other, pictures)[0])


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    network = load_backbone("tiny")
    pictures = images(3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = forward(network, pictures)
        torch.set_num_threads(2)
        two = forward(network, pictures)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


class Residual(nn.Module):
    """torchvision's inverted residual, keys as in its state dict."""

    def __init__(self, n_in: int, n_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = n_in * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [unit(n_in, inner, 1, 1)]
        layers.append(unit(inner, inner, 3, stride, groups=inner))
        layers += [nn.Conv2d(inner, n_out, 1, bias=False), nn.BatchNorm2d(n_out)]
        self.conv = nn.Sequential(*layers)
        self.is_identity = stride == 1 and n_in == n_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return x + y if self.is_identity else y


def unit(n_in: int, n_out: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(n_out), nn.ReLU6())


class TorchvisionLike(nn.Module):
    """MobileNetV2 written as torchvision writes it, with batch norms that do something."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled_channels(32 * width)
        layers: list[nn.Module] = [unit(3, channels, 3, 2)]
        for expansion, wanted, repeats, stride in (
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):
            n_out = scaled_channels(wanted * width)
            for repeat in range(repeats):
                layers.append(Residual(channels, n_out, stride if repeat == 0 else 1, expansion))
                channels = n_out
        layers.append(unit(channels, 1280, 1, 1))
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                for values in (module.weight, module.running_var):
                    assert values is not None
                    nn.init.uniform_(values, 0.5, 2)
                assert module.running_mean is not None
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.normal_(module.bias, std=0.3)


@pytest.mark.parametrize("size", [64, 65])
def test_a_torchvision_checkpoint_gives_the_same_features(tmp_path: Path, size: int) -> None:
    torch.manual_seed(3)
    module = TorchvisionLike(0.35).eval()
    torch.save(module.state_dict(), tmp_path / "w.pth")
    network = load_backbone("mobilenet_v2", weights=tmp_path / "w.pth", width=0.35, taps=range(19))
    pictures = images(2, size)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    mean, deviation = (
        torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    x = (x - mean) / deviation
    with one_thread(), torch.inference_mode():
        for layer, ours in zip(module.features, forward(network, pictures), strict=True):
            x = layer(x)
            expected = x.permute(0, 2, 3, 1).numpy()
            np.testing.assert_allclose(ours, expected, atol=1e-3 * np.abs(expected).max())


def test_folded_keras_layers_by_hand(tmp_path: Path) -> None:
    """SAME pads the odd zero below and right; kernels are HWIO; bytes become [-1, 1]."""
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[np.float32]] = {}

    class Recorder:
        def conv(self, name: str, shape: tuple[int, int, int, int]) -> Any:
            out, height, width, n_in = shape
            return self.save(name, (height, width, n_in, out), out, (3, 0, 1, 2))

        def depthwise(self, name: str, shape: tuple[int, int, int]) -> Any:
            w, b = self.save(name, (*shape, 1), shape[2], (0, 1, 2, 3))
            return w[..., 0], b

        def save(self, name: str, shape: Any, n: int, order: Any) -> Any:
            key = mobilenet_v2._keras_key(name)
            arrays[f"{key}/kernel"] = rng.normal(size=shape).astype(np.float32)
            arrays[f"{key}/bias"] = rng.normal(size=n).astype(np.float32)
            return arrays[f"{key}/kernel"].transpose(order), arrays[f"{key}/bias"]

    mobilenet_v2._keras(0.35, Recorder())
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]
    network = load_backbone("mobilenet_v2", weights=tmp_path / "w.npz", width=0.35, taps=[0])
    picture = images(1, 6)
    real = np.pad(picture[0] / 127.5 - 1, ((0, 1), (0, 1), (0, 0)))
    kernel, bias = arrays["Conv1/kernel"], arrays["Conv1/bias"]
    expected = [
        [np.tensordot(real[y : y + 3, x : x + 3], kernel, 3) + bias for x in (0, 2, 4)]
        for y in (0, 2, 4)
    ]
    np.testing.assert_allclose(forward(network, picture)[0][0], np.clip(expected, 0, 6), atol=1e-4)


def test_trim_and_heads() -> None:
    network = load_backbone("tiny")
    fine, coarse = forward(network, images(3))
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(fine.shape[3], 4)).astype(np.float32)
    bias = rng.normal(size=4).astype(np.float32)
    headed = with_heads(
        network, [Head(0, pool=2, matrix=matrix, bias=bias), Head(1), Head(0, matrix=matrix)]
    )
    pooled, same, turned = forward(headed, images(3))
    means = fine.reshape(3, 4, 2, 4, 2, -1).mean(axis=(2, 4))
    np.testing.assert_allclose(pooled, means @ matrix + bias, atol=1e-4)
    np.testing.assert_array_equal(same, coarse)
    np.testing.assert_allclose(turned, fine @ matrix, atol=1e-4)
    only_fine = with_heads(network, [Head(0, pool=2)])
    assert isinstance(only_fine.nodes[-1], AveragePool)
    assert len(only_fine.nodes) < len(network.nodes)
    assert [node.name for node in trim(network).nodes] == [node.name for node in network.nodes]


def test_an_add_of_a_node_with_itself() -> None:
    tiny = load_backbone("tiny", taps=[0])
    last = len(tiny.nodes) - 1
    doubled = Network(
        "double", tiny.scale, tiny.offset, (*tiny.nodes, Add("twice", (last, last))), (last + 1,)
    )
    np.testing.assert_array_equal(forward(doubled, images())[0], 2 * forward(tiny, images())[0])


PHOTOGRAPHS = {"coffee": "espresso", "chelsea": "cat", "rocket": "missile"}


def crop(picture: NDArray[np.uint8], size: int = 224) -> NDArray[np.uint8]:
    """The middle square, scaled."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = Image.fromarray(picture[top : top + side, left : left + side, :3])
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def names(logits: NDArray[np.float32], shared: Path) -> list[str]:
    """The five best labels, joined, of each row of 1000 logits."""
    labels = (shared / "weights/imagenet_labels.txt").read_text().splitlines()[-1000:]
    best = np.argsort(-logits, axis=1)[:, :5]
    return [" ".join(labels[i] for i in row) for row in best]


def test_lite0_names_photographs(shared: Path) -> None:
    network = LITE0.build(Request())
    whole = replace(network, taps=(len(network.nodes) - 1,))
    pictures = np.stack([crop(getattr(data, name)()) for name in PHOTOGRAPHS])
    arrays = read_weights(_published())
    mean = forward(whole, pictures)[0].mean(axis=(1, 2))
    found = names(mean @ arrays["_fc.weight"].T + arrays["_fc.bias"], shared)
    for label, wanted in zip(found, PHOTOGRAPHS.values(), strict=True):
        assert wanted in label.lower()


def test_keras_mobilenet_names_photographs(shared: Path) -> None:
    file = shared / "weights/mobilenet_v2_1.0_224_keras_folded.npz"
    network = mobilenet_v2.BACKBONE.build(Request(weights=file))
    whole = replace(network, taps=(len(network.nodes) - 1,))
    pictures = np.stack([crop(getattr(data, name)()) for name in PHOTOGRAPHS])
    arrays = read_weights(file)
    mean = forward(whole, pictures)[0].mean(axis=(1, 2))
    logits = mean @ arrays["predictions/kernel"] + arrays["predictions/bias"]
    for label, wanted in zip(names(logits[:, 1:], shared), PHOTOGRAPHS.values(), strict=True):
        assert wanted in label.lower()


def test_unknown_names_and_taps_are_refused() -> None:
    with pytest.raises(VadgenError, match="unknown backbone 'mobilnet_v2'") as caught:
        load_backbone("mobilnet_v2")
    assert "mobilenet_v2" in caught.value.hint
    with pytest.raises(VadgenError, match="no tap 99") as caught:
        load_backbone("tiny", taps=[0, 99])
    assert "0 to 2" in caught.value.hint
    for taps in ([], [2, 0], [1, 1]):
        with pytest.raises(VadgenError, match="not ascending"):
            load_backbone("tiny", taps=taps)
    with pytest.raises(VadgenError, match="has no width 0.5"):
        load_backbone("efficientnet_lite0", width=0.5)
    with pytest.raises(VadgenError, match="takes no weights"):
        load_backbone("tiny", weights=Path("some.pth"))


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    def refused(name: str, content: bytes | None, message: str, **kwargs: Any) -> VadgenError:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(VadgenError, match=message) as caught:
            load_backbone("mobilenet_v2", weights=path, **kwargs)
        assert "\n" not in caught.value.message + caught.value.hint
        return caught.value

    buffer = io.BytesIO()
    torch.save(TorchvisionLike(0.35).state_dict(), buffer)
    good = buffer.getvalue()
    refused("missing.pth", None, "does not exist")
    refused("text.pth", b"these are not weights", "neither a PyTorch")
    refused("empty.pth", b"", "neither a PyTorch|cannot be read")
    refused("cut.pth", good[: len(good) // 2], "neither a PyTorch|cannot be read")
    assert "--width" in refused("wide.pth", good, "has shape", width=0.5).hint
    damaged = TorchvisionLike(0.35).state_dict()
    damaged["features.0.0.weight"][0, 0, 0, 0] = float("nan")
    buffer = io.BytesIO()
    torch.save(damaged, buffer)
    refused("nan.pth", buffer.getvalue(), "0.weight' holds values that are not", width=0.35)
    buffer = io.BytesIO()
    torch.save({"state_dict": {"layer": torch.zeros(3)}}, buffer)
    refused("nested.pth", buffer.getvalue(), "has no 'features.0.0.weight'")
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 2), buffer)
    refused("module.pth", buffer.getvalue(), "neither a PyTorch")
    buffer = io.BytesIO()
    torch.save([1, 2], buffer)
    refused("list.pth", buffer.getvalue(), "neither a PyTorch")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        with archive.open("Conv1/kernel.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros((3, 3, 3, 32), np.float32))
    refused("other.npz", None, "has no 'Conv1/bias'")


def test_missing_weights_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "find_spec", lambda name: None)
    with pytest.raises(VadgenError, match="not installed") as caught:
        load_backbone("efficientnet_lite0")
    assert caught.value.code == Exit.TOOL_MISSING
    assert "--weights FILE" in caught.value.hint


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """Answers `urlopen` with the bytes in the list, in order; nothing left: no connection."""
    answers: list[bytes] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if not answers:
            raise urllib.error.URLError("Name or service not known")
        return io.BytesIO(answers.pop(0))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setenv("VADGEN_CACHE", str(tmp_path))
    return answers


def test_published_weights_without_a_connection(downloads: list[bytes]) -> None:
    with pytest.raises(VadgenError, match="cannot fetch https://") as caught:
        load_backbone("mobilenet_v2")
    assert "--weights FILE" in caught.value.hint
    with pytest.raises(VadgenError, match="no published weights .* width 0.35") as caught:
        load_backbone("mobilenet_v2", width=0.35)
    assert "--weights FILE" in caught.value.hint


def test_published_weights_are_checked_and_kept(
    downloads: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    torch.save(TorchvisionLike(1.0).state_dict(), buffer)
    downloads.append(b"something else")
    with pytest.raises(VadgenError, match="wrong SHA-256"):
        load_backbone("mobilenet_v2")
    monkeypatch.setattr(mobilenet_v2, "_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest()[:8])
    downloads.append(buffer.getvalue())
    first = forward(load_backbone("mobilenet_v2"), images())
    assert not downloads
    again = forward(load_backbone("mobilenet_v2"), images())
    np.testing.assert_array_equal(first[0], again[0])
