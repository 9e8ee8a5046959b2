"""The study's detectors: the protocol that all keep, and each against its formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_pictures import SIDE, drawn

from vadgen.benchmark.guard import rank
from vadgen.benchmark.methods import methods
from vadgen.benchmark.methods.method import BATCH, Pictures, smooth_maps
from vadgen.benchmark.methods.padim import choose_channels, fit_diagonal, fit_full, repeated
from vadgen.benchmark.methods.patchcore import average, fit, fit_quantized, patches
from vadgen.detectors.padim import REGULARIZATION
from vadgen.errors import VadgenError
from vadgen.progress import SilentProgress
from vadgen.report.heatmap import upsample

TRAIN = drawn(40)
TEST = drawn(12, seed=1, odd=4)
FROM_FEATURES = ("padim", "padim_diagonal", "patchcore", "patchcore_pq")


@pytest.mark.parametrize("name", FROM_FEATURES)
def test_protocol(name: str) -> None:
    method = methods()[name]
    model = method.fit(TRAIN, 0, SilentProgress())
    scores = model.score(TEST)
    assert scores.images.shape == (12,) and scores.images.dtype == np.float32
    assert scores.maps.shape == (12, SIDE, SIDE) and scores.maps.dtype == np.float32
    assert scores.images[8:].min() > scores.images[:8].max()
    worst = np.unravel_index(scores.maps[-1].argmax(), (SIDE, SIDE))
    assert all(4 <= at < 28 for at in worst), "the moved cells lie in rows and columns 8 to 24"
    assert model.model_bytes > 0 and model.losses == ()


@pytest.mark.parametrize("name", FROM_FEATURES)
def test_same_seed_same_model_whatever_the_batches(name: str) -> None:
    method = methods()[name]
    first, again = (method.fit(TRAIN, 3, SilentProgress()).score(TEST) for _ in range(2))
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.maps, again.maps)
    model = method.fit(TRAIN, 3, SilentProgress())
    parts = [model.score(batch).images for batch in TEST.batches(5)]
    np.testing.assert_allclose(np.concatenate(parts), first.images, rtol=1e-5)


@pytest.mark.parametrize("name", [*FROM_FEATURES, "guard"])
def test_fits_read_a_batch_at_a_time(name: str) -> None:
    """So memory does not grow with the number of pictures; `tools/study_memory.py` measures it."""
    train, most = drawn(150), [0]

    def read_taps(indices: np.ndarray) -> tuple[np.ndarray, ...]:
        most[0] = max(most[0], len(indices))
        return train.read_taps(indices)

    watched = replace(train, read_taps=read_taps)
    if name == "guard":
        rank(watched, 0)
    else:
        methods()[name].fit(watched, 0, SilentProgress())
    assert 0 < most[0] <= BATCH


def _batch_moments(train: Pictures, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance at each cell, all pictures at once."""
    x = repeated(train.taps(), choose_channels(train, seed)).astype(np.float64)
    covariance = np.stack([np.cov(cell, rowvar=False, ddof=1) for cell in x.transpose(1, 0, 2)])
    return x.mean(axis=0), covariance


def test_streaming_padim_equals_batch_padim() -> None:
    """To 1e-5, means, covariances and distances alike."""
    mean, covariance = _batch_moments(TRAIN, 0)
    covariance += REGULARIZATION * np.eye(covariance.shape[1])
    full = fit_full(TRAIN, 0, SilentProgress())
    np.testing.assert_allclose(full.mean, mean, atol=1e-5)
    inverse = full.whitening.transpose(0, 2, 1) @ full.whitening
    np.testing.assert_allclose(inverse, np.linalg.inv(covariance), rtol=1e-4, atol=1e-4)

    d = repeated(TEST.taps(), full.kept) - mean
    distances = np.sqrt(np.einsum("nki,kij,nkj->nk", d, np.linalg.inv(covariance), d))
    maps = smooth_maps(distances.reshape(-1, *full.shape), SIDE)
    np.testing.assert_allclose(full.score(TEST).maps, maps, rtol=1e-5)

    diagonal = fit_diagonal(TRAIN, 0, SilentProgress())
    variances = np.diagonal(covariance, axis1=1, axis2=2)
    distances = np.sqrt((d * d / variances).sum(axis=2))
    maps = smooth_maps(distances.reshape(-1, *full.shape), SIDE)
    np.testing.assert_allclose(diagonal.score(TEST).maps, maps, rtol=1e-5)


def test_channels_are_a_random_draw_of_all_taps() -> None:
    kept = choose_channels(TRAIN, 0)
    assert [k.tolist() for k in kept] == [list(range(5)), list(range(7))]
    with pytest.raises(VadgenError, match="at least 2"):
        fit_full(TRAIN.take(np.arange(1)), 0, SilentProgress())


def test_average_counts_zeros_around_the_tap() -> None:
    tap = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    found = average(tap)[0, :, :, 0]
    assert found[0, 0] == pytest.approx((0 + 1 + 4 + 5) / 9)
    assert found[1, 1] == pytest.approx(tap[0, :3, :3].mean())


def test_patchcore_is_the_distance_from_the_nearest_row() -> None:
    bank = fit(TRAIN, 0, SilentProgress())
    assert len(bank.rows) == 1000 and bank.model_bytes == bank.rows.nbytes
    x = patches(TEST.taps()).astype(np.float64)
    distances = np.sqrt(((x[:64, None] - bank.rows[None]) ** 2).sum(axis=2).min(axis=1))
    assert bank.score(TEST).images[0] == pytest.approx(distances.max(), rel=1e-5)


def test_quantized_patchcore_takes_a_byte_a_subspace() -> None:
    bank = fit_quantized(TRAIN, 0, SilentProgress())
    assert bank.model_bytes == 1000 * 12 + 256 * 12  # 12 divides 12 features and is nearest to 16
    assert len(np.unique(bank.rows, axis=0)) <= 1000


def test_maps_are_bilinear_then_gaussian() -> None:
    from scipy.ndimage import gaussian_filter

    cells = np.random.default_rng(0).random((1, 5, 7))
    expected = gaussian_filter(upsample(cells[0], 30, 30), 4.0)
    np.testing.assert_allclose(smooth_maps(cells, 30)[0], expected, atol=1e-6)
