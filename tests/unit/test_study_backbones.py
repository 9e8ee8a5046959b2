"""The study's networks: as published in layers, parameters and multiply-accumulates; int8 alike."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import publishers
import pytest
import torch
from many import run_models
from numpy.typing import NDArray
from torch import nn

from vadgen.backbones import (
    _tapped,
    backbones,
    load_backbone,
    mcunet_in3,
    micronet_m1,
    phinet,
    residual,
)
from vadgen.backbones.backbone import Request
from vadgen.backbones.network import Conv, DepthwiseConv, Network, forward, one_thread, preprocess
from vadgen.backbones.weights import Checkpoint, read_weights
from vadgen.build import compiler
from vadgen.errors import VadgenError
from vadgen.lower import Mul, Program, lower
from vadgen.quant.oracle import run_tflm
from vadgen.quant.quantize import Ranges, calibrate, input_quantization, quantize
from vadgen.quant.tflite_writer import write_tflite
from vadgen.ref.program import run_program

RANDOM = Path("random")
STUDY = ("mcunet_in3", "micronet_m1", "phinet", "resnet18", "wide_resnet50_2")


class Zeros:
    """Weights where only shapes matter."""

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Any:
        return np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Any:
        return np.zeros(shape, np.float32), np.zeros(shape[2], np.float32)


def whole(name: str) -> Network:
    """All layers but the classifier."""
    return backbones()[name].build(Request(random=Zeros()))


def convolutions(network: Network) -> Iterator[Conv | DepthwiseConv]:
    return (node for node in network.nodes if isinstance(node, Conv | DepthwiseConv))


def lowered(network: Network, size: int) -> Program:
    count = len(network.nodes)
    ranges = Ranges(size, size, np.full(count, -1.0), np.full(count, 1.0))
    return lower(quantize(replace(network, taps=network.taps or (count - 1,)), ranges))


def is_bare(name: str) -> bool:
    """Whether a layer has no batch norm."""
    return name == "stem.depthwise" or any(p in name for p in ("squeeze", "excite", "factors"))


def parameters(network: Network) -> int:
    """With batch norm's gain and shift, which inference folds; biases of attention's layers."""
    total = 0
    for node in convolutions(network):
        has_bias = ".squeeze" in node.name or ".factors" in node.name
        total += node.weights.size
        total += len(node.bias) * (int(has_bias) if is_bare(node.name) else 2)
    return total


@pytest.mark.parametrize(
    ("name", "size", "classifier", "published_parameters", "published_macs"),
    [
        # The model zoo's table: 0.74 M and 81.8 M at 176 x 176. github.com/mit-han-lab/mcunet
        ("mcunet_in3", 176, 160, 0.74e6, 81.8e6),
        # torchvision's documentation: 11,689,512 and 1.81 G; 68,883,240 and 11.4 G.
        ("resnet18", 224, 512, 11_689_512, 1.814e9),
        ("wide_resnet50_2", 224, 2048, 68_883_240, 11.398e9),
    ],
)
def test_parameters_and_macs_are_the_published_ones(
    name: str, size: int, classifier: int, published_parameters: float, published_macs: float
) -> None:
    network = whole(name)
    found = parameters(network) + 1000 * classifier + 1000
    assert found == pytest.approx(published_parameters, rel=5e-3 if name == "mcunet_in3" else 0)
    assert lowered(network, size).macs + 1000 * classifier == pytest.approx(
        published_macs, rel=1e-3
    )


def test_parameters_and_macs_of_phinet() -> None:
    """micromind's documentation of its default network at 224: 30,917 and 9,817,670.

    It counts a batch norm's parameters as multiply-accumulates, too.
    """
    layout = phinet.Layout(width=0.2, shape=1.0, expansion=6, downsampling=(5, 7), divisor=1)
    network = phinet.build(layout, Zeros())
    weights = sum(node.weights.size for node in convolutions(network))
    norms = sum(2 * len(node.bias) for node in convolutions(network) if not is_bare(node.name))
    assert weights + norms == 30_917
    assert lowered(network, 224).macs + norms == 9_817_670


def test_parameters_and_macs_of_micronet() -> None:
    """The repository's table: 1.8 M and 6 M, with the classifier of 576, 960 and 1000 channels."""
    network = whole("micronet_m1")
    classifier = 576 * 960 + 960 * 1000
    found = parameters(network) + classifier + 3 * (960 + 1000)
    assert found == pytest.approx(1.8e6, rel=0.02)
    program = lowered(network, 224)
    products = sum(
        program.values[layer.output].total_bytes
        for layer in program.layers
        if isinstance(layer, Mul)
    )
    assert program.macs + products + classifier == pytest.approx(6e6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "size", "shapes"),
    [
        ("mcunet_in3", 176, [(44, 16), (22, 24), (11, 40)]),
        ("micronet_m1", 224, [(28, 16), (14, 32), (7, 64)]),
        ("phinet", 224, [(112, 32), (14, 112), (7, 232)]),
        ("resnet18", 224, [(56, 64), (28, 128), (14, 256)]),
        ("wide_resnet50_2", 224, [(56, 256), (28, 512), (14, 1024)]),
    ],
)
def test_default_taps(name: str, size: int, shapes: list[tuple[int, int]]) -> None:
    backbone = backbones()[name]
    program = lowered(_tapped(backbone, whole(name), backbone.default_taps), size)
    found = [program.values[o] for o in program.outputs]
    assert [(v.rows, v.channels) for v in found] == shapes
    assert all(v.rows == v.width for v in found)


class Partial:
    """A checkpoint that ends behind the last tap; what follows is zeros."""

    def __init__(self, module: nn.Module, source: Any) -> None:
        self.arrays = {key: value.numpy() for key, value in module.state_dict().items()}
        self.keys = source._keys
        self.checkpoint = Checkpoint("w", self.arrays, source._keys, source._NORM_EPSILON)

    def source(self, name: str) -> Any:
        return self.checkpoint if f"{self.keys(name)[0]}.weight" in self.arrays else Zeros()

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Any:
        return self.source(name).conv(name, shape)

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Any:
        return self.source(name).depthwise(name, shape)


@pytest.mark.parametrize(
    ("name", "make", "source", "first", "last"),
    [
        ("resnet18", lambda: publishers.ResNet((2, 2, 2)), residual, 0, 2),
        ("mcunet_in3", publishers.McuNet, mcunet_in3, 0, 9),
        ("phinet", publishers.PhiNet, phinet, 1, 7),
        ("micronet_m1", publishers.MicroNet, micronet_m1, 0, 5),
    ],
)
def test_a_publishers_checkpoint_gives_the_same_features(
    name: str, make: Callable[[], nn.Module], source: Any, first: int, last: int
) -> None:
    module = publishers.awake(make())
    network = backbones()[name].build(Request(random=Partial(module, source)))
    taps = tuple(range(first, last + 1))
    check_features(_tapped(backbones()[name], network, taps), module, first)


def test_checkpoints_of_trainers_are_unwrapped(tmp_path: Path) -> None:
    state = {"module.features.0.weight": torch.ones(2, 3), "module.steps": torch.tensor(7)}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == {"features.0.weight", "steps"}


def test_a_wide_checkpoint_gives_the_same_features() -> None:
    module = publishers.awake(publishers.ResNet((1, 1, 1, 1), wide=True))
    arrays = {key: value.numpy() for key, value in module.state_dict().items()}
    layout = residual.Layout((1, 1, 1, 1), bottleneck=2, expansion=4)
    network = residual.build("wide", layout, Checkpoint("w", arrays, residual._keys, 1e-5))
    adds = [i for i, node in enumerate(network.nodes) if node.name.endswith(".add")]
    check_features(replace(network, taps=tuple(adds)), module, 0)


def check_features(network: Network, module: Any, first: int) -> None:
    """The taps are the module's, from number `first` on."""
    pictures = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3), np.uint8)
    x = torch.from_numpy(preprocess(network, pictures)).permute(0, 3, 1, 2)
    with one_thread(), torch.inference_mode():
        theirs = list(module.taps(x))[first:]
    for ours, expected in zip(forward(network, pictures), theirs, strict=True):
        wanted = expected.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(ours, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("name", [n for n in STUDY if not n.endswith("resnet18")])
def test_files_of_weights_are_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(url: str, timeout: float) -> None:
        raise urllib.error.URLError("no connection")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(VadgenError, match="weights of|cannot fetch https://") as caught:
        load_backbone(name)
    assert "--weights FILE" in caught.value.hint
    with pytest.raises(VadgenError, match="has no width 0.5"):
        load_backbone(name, width=0.5, weights=RANDOM)


def smooth(count: int, size: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    coarse = rng.uniform(0, 255, (count, size // 8, size // 8, 3)).repeat(8, axis=1)
    noisy = coarse.repeat(8, axis=2) + rng.normal(0, 15, (count, size, size, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "decibels"),
    [("mcunet_in3", 18), ("resnet18", 24), ("phinet", 12), ("micronet_m1", 10)],
)
def test_int8_taps(name: str, decibels: float, tmp_path: Path) -> None:
    """Near the float network's; the same bytes from the reference, TFLite Micro and C."""
    taps_of = (0, 1) if name == "resnet18" else None  # Its third stage is all weights.
    network, pictures = load_backbone(name, weights=RANDOM, taps=taps_of), smooth(8, 32)
    taps = forward(network, pictures)
    assert all(0.2 < tap.std() < 5 for tap in taps)
    graph = quantize(network, calibrate(network, [pictures]))
    table = input_quantization(network).table
    images = np.stack([table[c][pictures[..., c]] for c in range(3)], axis=-1)
    oracle = run_tflm(write_tflite(graph), images)
    program = lower(graph)
    made = run_models([program], [images[:1]], ("host", "portable"), compiler.SANITIZED, tmp_path)
    values = run_program(program, images[0])
    for k, (tap, tensor) in enumerate(zip(taps, graph.outputs, strict=True)):
        np.testing.assert_array_equal(values[program.outputs[k]], oracle[0][k][0])
        np.testing.assert_array_equal(made[0][k][0], oracle[0][k][0])
        got = np.concatenate([outputs[k] for outputs in oracle]).astype(np.float64)
        got = (got - graph.tensors[tensor].zero_point) * graph.tensors[tensor].scale
        assert 10 * np.log10((tap**2).sum() / ((tap - got) ** 2).sum()) > decibels
