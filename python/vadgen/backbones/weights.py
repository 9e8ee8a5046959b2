"""Where a network's weights come from: checkpoints, folded arrays, a seeded generator, a URL."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vadgen import paths
from vadgen.backbones.network import (
    IMAGE,
    LINEAR,
    Conv,
    DepthwiseConv,
    Network,
    Node,
    Windowed,
    one_thread,
    preprocess,
    run_node,
    sources,
)
from vadgen.errors import VadgenError

if TYPE_CHECKING:
    import torch

Folded = tuple[NDArray[np.float32], NDArray[np.float32]]
Arrays = Mapping[str, NDArray[np.float32]]

_DOWNLOAD_SECONDS = 60


class WeightSource(Protocol):
    """Gives a convolution's weights and bias by the layer's name, batch norm folded."""

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Folded:
        """Weights float32 of `shape` (O, KH, KW, I) and bias (O,)."""
        ...

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Folded:
        """Weights float32 of `shape` (KH, KW, C) and bias (C,)."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A PyTorch state dict: w' = w f and b' = b - m f with the batch norm's f = g / sqrt(v + eps).

    Attributes:
        file: name for errors.
        arrays: the state dict.
        keys: gives the prefixes of the convolution and its batch norm by the layer's name; None in
            place of a batch norm: the layer has none, and a bias or not.
        epsilon: the batch norms'.
    """

    file: str
    arrays: Arrays
    keys: Callable[[str], tuple[str, str | None]]
    epsilon: float

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Folded:
        """See `WeightSource.conv`; the file keeps (O, I, KH, KW)."""
        out, height, width, channels = shape
        weights, bias = self._folded(name, (out, channels, height, width))
        return np.ascontiguousarray(weights.transpose(0, 2, 3, 1)), bias

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Folded:
        """See `WeightSource.depthwise`; the file keeps (C, 1, KH, KW)."""
        height, width, channels = shape
        weights, bias = self._folded(name, (channels, 1, height, width))
        return np.ascontiguousarray(weights[:, 0].transpose(1, 2, 0)), bias

    def _folded(self, name: str, shape: tuple[int, ...]) -> Folded:
        conv, norm = self.keys(name)
        key = f"{conv}.weight"
        is_matrix = self.arrays.get(key, np.empty(0)).ndim == 2 and shape[2:] == (1, 1)
        found = lookup(self.arrays, key, shape[:2] if is_matrix else shape, self.file)
        weights = found.reshape(shape)
        if norm is None:
            if f"{conv}.bias" not in self.arrays:
                return weights, np.zeros(shape[0], np.float32)
            return weights, lookup(self.arrays, f"{conv}.bias", shape[:1], self.file)
        gain, shift, mean, variance = (
            lookup(self.arrays, f"{norm}.{part}", shape[:1], self.file)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor = gain / np.sqrt(variance + np.float32(self.epsilon))
        return weights * factor[:, None, None, None], shift - mean * factor


@dataclass(frozen=True)
class FoldedArrays:
    """Keras layers with batch norm folded already: `<layer>/kernel` (HWIO; h, w, C, 1), `/bias`.

    Attributes:
        file: name for errors.
        arrays: the file.
        keys: gives the Keras layer by the layer's name.
    """

    file: str
    arrays: Arrays
    keys: Callable[[str], str]

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Folded:
        """See `WeightSource.conv`."""
        out, height, width, channels = shape
        weights, bias = self._arrays(name, (height, width, channels, out), out)
        return np.ascontiguousarray(weights.transpose(3, 0, 1, 2)), bias

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Folded:
        """See `WeightSource.depthwise`."""
        weights, bias = self._arrays(name, (*shape, 1), shape[2])
        return np.ascontiguousarray(weights[:, :, :, 0]), bias

    def _arrays(self, name: str, shape: tuple[int, ...], channels: int) -> Folded:
        layer = self.keys(name)
        return (
            lookup(self.arrays, f"{layer}/kernel", shape, self.file),
            lookup(self.arrays, f"{layer}/bias", (channels,), self.file),
        )


@dataclass(frozen=True)
class RandomWeights:
    """Normal weights of variance 2 / fan-in, no bias; `settle` then brings them into range."""

    rng: np.random.Generator

    def conv(self, name: str, shape: tuple[int, int, int, int]) -> Folded:
        """See `WeightSource.conv`."""
        return self._draw(shape, shape[1] * shape[2] * shape[3], shape[0])

    def depthwise(self, name: str, shape: tuple[int, int, int]) -> Folded:
        """See `WeightSource.depthwise`."""
        return self._draw(shape, shape[0] * shape[1], shape[2])

    def _draw(self, shape: tuple[int, ...], fan_in: int, channels: int) -> Folded:
        weights = self.rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        return weights, np.zeros(channels, np.float32)


def settle(network: Network, rng: np.random.Generator) -> Network:
    """Scale random weights as batch norm would, so that activations stay in range.

    Each convolution's channels get mean 1 and deviation 2 before a ReLU, mean 0 and deviation 1
    otherwise, on smooth random images; those of a single pixel, on which attention rests, little
    deviation. The factors are rounded to 8 bits, so that a processor that sums in another order
    gives the same weights.
    """
    import torch

    # Large enough for a window in the deepest layer.
    blocks = 8 * max(1, _stride(network) // 16)
    coarse = rng.uniform(0, 255, (2, blocks, blocks, 3)).repeat(8, axis=1).repeat(8, axis=2)
    images = np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
    nodes: list[Node] = []
    with one_thread(), torch.inference_mode():
        image = torch.from_numpy(preprocess(network, images)).permute(0, 3, 1, 2)
        values = {IMAGE: image}
        for index, node in enumerate(network.nodes):
            inputs = [values[source] for source in sources(node)]
            if isinstance(node, Conv | DepthwiseConv):
                linear = run_node(replace(node, limits=LINEAR), inputs)
                is_pixel = linear.shape[2:].numel() == 1
                node = _scaled(node, linear) if is_pixel else _normalized(node, linear)
            nodes.append(node)
            values[index] = run_node(node, inputs)
    return replace(network, nodes=tuple(nodes))


def _stride(network: Network) -> int:
    """Pixels of the image between two of the coarsest node's."""
    strides = {IMAGE: 1}
    for index, node in enumerate(network.nodes):
        own = node.stride[0] if isinstance(node, Windowed) else 1
        strides[index] = own * max(strides[source] for source in sources(node))
    return max(strides.values())


def _normalized(node: Conv | DepthwiseConv, linear: torch.Tensor) -> Conv | DepthwiseConv:
    """The node with each channel's output moved to the wanted mean and deviation."""
    channels = linear.transpose(0, 1).flatten(1).numpy().astype(np.float64)
    mean, deviation = channels.mean(axis=1), channels.std(axis=1)
    wanted_mean, wanted_deviation = (1, 2) if node.limits[0] == 0 else (0, 1)
    gain = round_mantissa(wanted_deviation / np.maximum(deviation, 1e-6), 8)
    bias = round_mantissa(wanted_mean - mean * gain, 8).astype(np.float32)
    shape = (-1, 1, 1, 1) if isinstance(node, Conv) else (-1,)
    weights = node.weights * gain.reshape(shape).astype(np.float32)
    return replace(node, weights=weights, bias=bias)


def _scaled(node: Conv | DepthwiseConv, linear: torch.Tensor) -> Conv | DepthwiseConv:
    """The node with a deviation of at most 1/16, of all channels: one pixel has none by channel."""
    deviation = (linear[:, :, 0, 0].numpy() - node.bias).std(dtype=np.float64)
    gain = round_mantissa(np.minimum(1, 1 / 16 / np.maximum(deviation, 1e-6)), 8)
    return replace(node, weights=node.weights * np.float32(gain))


def round_mantissa(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Round to `bits` significant binary digits."""
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float64] = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def lookup(arrays: Arrays, key: str, shape: tuple[int, ...], file: str) -> NDArray[np.float32]:
    """One array of a weights file.

    Raises:
        VadgenError: it is missing, has another shape or values that are not finite.
    """
    if key not in arrays:
        raise VadgenError(
            f"weights file {file} has no '{key}'",
            "give the weights of this very network (--backbone and --weights must agree)",
        )
    if arrays[key].shape != shape:
        raise VadgenError(
            f"weights file {file}: '{key}' has shape {arrays[key].shape}, expected {shape}",
            "give the weights of this network and width (--width)",
        )
    values = np.asarray(arrays[key], np.float32)
    if not np.isfinite(values).all():
        raise VadgenError(
            f"weights file {file}: '{key}' holds values that are not finite",
            "the file is damaged, or its training diverged: take another",
        )
    return values


def read_weights(path: Path) -> Arrays:
    """Read a PyTorch state dict (.pth) or a NumPy archive (.npz); code in it is never run.

    Raises:
        VadgenError: missing, unreadable, or neither.
    """
    if not path.is_file():
        raise VadgenError(f"weights file {path} does not exist", "check --weights")
    try:
        if _is_npz(path):
            with np.load(path, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        return _read_checkpoint(path)
    except OSError as error:
        raise VadgenError(
            f"weights file {path} cannot be read: {error.strerror or error}",
            "check that the file is complete and may be read",
        ) from error
    except Exception as error:  # A damaged pickle may lead anywhere.
        raise VadgenError(
            f"weights file {path} is neither a PyTorch state dict nor a NumPy archive",
            "save it with torch.save(model.state_dict(), FILE) or numpy.savez(FILE, ...)",
        ) from error


def _is_npz(path: Path) -> bool:
    """A zip archive of .npy files; a .pth is a zip archive too."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


def _read_checkpoint(path: Path) -> Arrays:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    # DataParallel puts `module.` before every name.
    return {
        key.removeprefix("module."): value.numpy()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def download(url: str, sha256: str, hint: str) -> Path:
    """Fetch a published file once into the cache.

    Args:
        url: where it is published, its last part is the file's name.
        sha256: the digest's first hexadecimal digits, as many as the publisher gives.
        hint: what to do when the file cannot be had.

    Raises:
        VadgenError: no connection, or the bytes are not those that were published.
    """
    path = paths.cache() / "weights" / url.rsplit("/", 1)[1]
    if path.is_file() and _has_digest(path.read_bytes(), sha256):
        return path
    try:
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_SECONDS) as response:
            data = response.read()
    except (OSError, urllib.error.URLError) as error:
        raise VadgenError(f"cannot fetch {url} ({error})", hint) from error
    if not _has_digest(data, sha256):
        raise VadgenError(f"{url} gave other bytes than were published (wrong SHA-256)", hint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
            temporary.write(data)
        os.replace(temporary.name, path)
    except OSError as error:
        raise VadgenError(
            f"cannot write {path} ({error.strerror})", "set VADGEN_CACHE to a folder with room"
        ) from error
    return path


def _has_digest(data: bytes, sha256: str) -> bool:
    return hashlib.sha256(data).hexdigest().startswith(sha256)
