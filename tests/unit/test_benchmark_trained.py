"""STFPM, PaSTe and CFA: losses fall, planted defects are found, and each against its formula."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from vadgen.backbones import load_backbone
from vadgen.backbones.network import IMAGE, Network, forward, preprocess
from vadgen.benchmark.integer import integer_of
from vadgen.benchmark.methods import cfa, method_of, methods, stfpm
from vadgen.benchmark.methods.cfa import Spheres
from vadgen.benchmark.methods.method import Model, Pictures, Scores, smooth_maps
from vadgen.benchmark.methods.stfpm import Pair
from vadgen.benchmark.methods.student import draw_student, shared_start
from vadgen.benchmark.tables import family_of
from vadgen.errors import VadgenError
from vadgen.progress import SilentProgress

SIDE = 48
FITS = {
    "stfpm": partial(stfpm.fit, epochs=12),
    "paste": partial(stfpm.fit, shares=True, epochs=12),
    "cfa": partial(cfa.fit, epochs=4),
}
TINY = load_backbone("tiny", taps=[1, 2])


def textured(count: int, seed: int, odd: int = 0, network: Network = TINY) -> Pictures:
    """Stripes that shift a little, with noise; the last `odd` have a bright square."""
    rng = np.random.default_rng(seed)
    across = np.arange(SIDE) + rng.uniform(0, 2, (count, 1))
    stripes = np.sin(across * (2 * np.pi / 8))[:, None, :, None] * np.array([50, 40, 30])
    images = 110 + stripes + rng.normal(0, 6, (count, SIDE, SIDE, 3))
    images[count - odd :, 14:26, 18:30] = 235
    pixels = np.clip(images, 0, 255).astype(np.uint8)

    def read_taps(indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        return tuple(forward(network, pixels[indices]))

    return Pictures(network, SIDE, np.arange(count), lambda indices: pixels[indices], read_taps)


TRAIN, TEST = textured(40, 0), textured(12, 1, odd=4)


@cache
def fitted(name: str) -> Model:
    return FITS[name](TRAIN, 0, SilentProgress())


@cache
def scored(name: str) -> Scores:
    return fitted(name).score(TEST)


@pytest.mark.parametrize("name", FITS)
def test_the_loss_falls(name: str) -> None:
    losses = fitted(name).losses
    assert len(losses) == FITS[name].keywords["epochs"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", FITS)
def test_planted_defects_are_found(name: str) -> None:
    scores = scored(name)
    assert scores.images.shape == (12,) and scores.images.dtype == np.float32
    assert scores.maps.shape == (12, SIDE, SIDE) and scores.maps.dtype == np.float32
    assert scores.images[8:].min() > scores.images[:8].max()
    np.testing.assert_allclose(scores.images, scores.maps.max(axis=(1, 2)))
    row, column = np.unravel_index(scores.maps[-1].argmax(), (SIDE, SIDE))
    assert 8 <= row < 32 and 12 <= column < 36


@pytest.mark.parametrize("name", FITS)
def test_same_seed_same_model_whatever_the_batches(name: str) -> None:
    short = partial(FITS[name].func, **{**FITS[name].keywords, "epochs": 2})
    first, again = (short(TRAIN, 3, SilentProgress()).score(TEST) for _ in range(2))
    assert np.array_equal(first.maps, again.maps)
    other = short(TRAIN, 4, SilentProgress()).score(TEST)
    assert not np.array_equal(first.maps, other.maps)
    parts = [fitted(name).score(batch).images for batch in TEST.batches(5)]
    np.testing.assert_allclose(np.concatenate(parts), scored(name).images, rtol=1e-4)


def test_methods_are_registered() -> None:
    assert {"stfpm", "paste", "cfa"} <= set(methods())
    assert {methods()[name].family for name in FITS} == {"stfpm", "paste", "cfa"}
    assert [methods()[name].epochs for name in FITS] == [100, 100, 30]


def test_epochs_behind_a_name() -> None:
    short = method_of("cfa@2")
    assert (short.name, short.epochs, short.family) == ("cfa@2", 2, "cfa")
    assert len(short.fit(TRAIN.take(np.arange(6)), 0, SilentProgress()).losses) == 2
    assert family_of("paste@7") == "paste"
    assert method_of("stfpm") is methods()["stfpm"]
    for name, message in (
        ("padim@3", "padim is not trained"),
        ("cfa@", "no number of epochs"),
        ("cfa@0", "no number of epochs"),
        ("cfo", "unknown detector 'cfo'"),
    ):
        with pytest.raises(VadgenError, match=message):
            method_of(name)


def test_epochs_go_into_what_is_built() -> None:
    assert method_of("paste").build == {"detector": "paste"}
    for method in (method_of("paste@7"), integer_of("paste_int8@7")):
        assert method is not None and method.epochs == 7
        assert method.build == {"detector": "paste", "student.epochs": "7"}
    assert family_of("stfpm_int8@3") == "stfpm"
    assert method_of("cfa@7").build == {"detector": "cfa", "student.epochs": "7"}
    assert integer_of("paste@7") is None
    with pytest.raises(VadgenError, match="padim_int8 is not trained"):
        integer_of("padim_int8@3")


def test_maps_are_products_of_differences() -> None:
    pair = fitted("stfpm")
    assert isinstance(pair, Pair)
    with torch.inference_mode():
        found = pair.student.features(pair.feed(TEST), training=False)
        product = torch.ones(())
        for tap, student in zip(TEST.taps(), found, strict=True):
            teacher = torch.from_numpy(tap).permute(0, 3, 1, 2)
            cosine = functional.cosine_similarity(teacher, student, dim=1)[:, None]
            cells = 2 - 2 * cosine  # |a - b|^2 of unit vectors
            product = product * functional.interpolate(cells, (SIDE, SIDE), mode="bilinear")
    np.testing.assert_allclose(scored("stfpm").maps, product[:, 0], rtol=2e-3, atol=1e-6)


def test_the_best_epoch_is_kept() -> None:
    """Weights that an epoch makes worse on the pictures kept aside are not taken."""
    long = stfpm.fit(TRAIN, 0, SilentProgress(), epochs=3)
    rng = np.random.default_rng(0)
    held = TRAIN.take(rng.permutation(len(TRAIN))[:8])
    untrained = Pair(draw_student(TINY, IMAGE, 0), None)
    assert long.score(held).maps.mean() < untrained.score(held).maps.mean()


def test_paste_shares_the_first_layers() -> None:
    names = [node.name for node in TINY.nodes]
    start = shared_start(TINY)
    assert names[start] == "blocks.0.project"
    pair, whole = fitted("paste"), fitted("stfpm")
    assert isinstance(pair, Pair) and isinstance(whole, Pair)
    assert pair.trunk is not None and [n.name for n in pair.trunk.nodes] == names[: start + 1]
    assert whole.trunk is None
    assert min(pair.student.weights) == start + 1 and min(whole.student.weights) == 0
    assert 0 < pair.model_bytes < whole.model_bytes
    images = TEST.images()
    np.testing.assert_array_equal(
        pair.feed(TEST).permute(0, 2, 3, 1).numpy(), forward(pair.trunk, images)[0]
    )


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("mobilenet_v2", "blocks.2.add"),
        ("mcunet_in3", "blocks.2.add"),
        ("resnet18", "layer1.0.add"),
        ("phinet", "stem.swish"),
        ("micronet_m1", "features.1.projected.sum.0"),
    ],
)
def test_where_the_shared_layers_end(name: str, last: str) -> None:
    network = load_backbone(name, weights=Path("random"))
    assert network.nodes[shared_start(network)].name == last


def test_a_student_of_attention_trains() -> None:
    """Factors of one pixel have biases in place of norms; all are trained."""
    network = load_backbone("micronet_m1", weights=Path("random"), taps=[2])
    pictures = textured(6, 2, network=network)
    before = draw_student(network, IMAGE, 0)
    assert before.biases and not set(before.biases) & set(before.norms)
    pair = stfpm.fit(pictures, 0, SilentProgress(), epochs=1)
    assert isinstance(pair, Pair)
    for index, bias in pair.student.biases.items():
        assert not torch.equal(bias, before.biases[index]), network.nodes[index].name


def test_cfa_scores_by_hand() -> None:
    model = fitted("cfa")
    assert isinstance(model, Spheres)
    x, (rows, cols) = cfa.described(TEST)
    cells = rows * cols
    assert model.centres.shape == (x.shape[2] - 2, cells) and (rows, cols) == (6, 6)
    assert x[0, 0, -2:].tolist() == [-1, -1] and x[0, -1, -2:].tolist() == [1, 1]
    phi = x.astype(np.float64) @ model.weights.numpy().T + model.bias.numpy()
    centres = model.centres.numpy().T.astype(np.float64)
    distances = np.sqrt(((phi[:2, :, None] - centres[None, None]) ** 2).sum(axis=3))
    nearest = np.sort(distances, axis=2)[..., :3]
    weights = np.exp(-nearest) / np.exp(-nearest).sum(axis=2, keepdims=True)
    expected = smooth_maps((weights[..., 0] * nearest[..., 0]).reshape(2, rows, cols), SIDE)
    np.testing.assert_allclose(scored("cfa").maps[:2], expected, rtol=1e-2, atol=1e-4)


def test_cfa_loss_by_hand() -> None:
    squared = torch.tensor([[[0.5, 9.0, 0.25, 0.01, 4.0, 1.0, 2.0]]])
    near, far = [0.01, 0.25, 0.5], [1.0, 2.0, 4.0]
    radius = torch.tensor(1.2)
    attraction = np.mean([max(0, d - 1.44) for d in near])
    repulsion = np.mean([max(0, 1.44 - d - 0.1) for d in far])
    expected = 1000 * (attraction + repulsion)
    assert float(cfa._loss(squared, radius)) == pytest.approx(expected, rel=1e-5)


def test_a_fine_grid_is_clustered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfa, "MOST_CENTRES", 20)
    model = cfa.fit(TRAIN.take(np.arange(8)), 0, SilentProgress(), epochs=1)
    assert isinstance(model, Spheres) and model.centres.shape[1] == 20


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_the_loss_is_told() -> None:
    notes = Notes()
    model = cfa.fit(TRAIN.take(np.arange(8)), 0, notes, epochs=2)
    assert notes.lines == [f"epoch {i + 1} of 2: loss {v:.4g}" for i, v in enumerate(model.losses)]


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(VadgenError, match="1 pictures train no student"):
        stfpm.fit(TRAIN.take(np.arange(1)), 0, SilentProgress())
    with pytest.raises(VadgenError, match="no pictures"):
        cfa.fit(TRAIN.take(np.arange(0)), 0, SilentProgress())


@pytest.mark.parametrize("name", ["stfpm", "paste"])
def test_teacher_and_student_as_one_network(name: str) -> None:
    """Batch norms are folded, shared layers stand there once, and what a map sees is the same."""
    pair = fitted(name)
    assert isinstance(pair, Pair)
    network = pair.network()
    shared = shared_start(TINY) + 1 if name == "paste" else 0
    names = [node.name for node in network.nodes]
    assert names[:shared] == [node.name for node in TINY.nodes[:shared]]
    assert names[shared + 1 :: 2] == [f"student.{name}" for name in names[shared::2]]
    assert len(names) == 2 * len(TINY.nodes) - shared
    taps = forward(network, TEST.images())
    with torch.inference_mode():
        found = pair.student.features(pair.feed(TEST), training=False)
    for got, want in zip(taps[:2], TEST.taps(), strict=True):
        np.testing.assert_array_equal(got, want)
    for got, student in zip(taps[2:], found, strict=True):
        want = student.permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_a_student_with_biases_as_a_network() -> None:
    network = load_backbone("micronet_m1", weights=Path("random"), taps=[2])
    pair = stfpm.draw(network, 0, shares=False)
    images = textured(2, 2, network=network).images()
    with torch.inference_mode():
        found = pair.student.features(
            torch.from_numpy(preprocess(network, images)).permute(0, 3, 1, 2), training=False
        )
    own = forward(pair.network(), images)[1]
    np.testing.assert_allclose(own, found[0].permute(0, 2, 3, 1).numpy(), rtol=1e-3, atol=1e-4)
