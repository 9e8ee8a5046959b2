"""The C of CFA against its numpy twin, and the integers against the trained floats."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cfa_cases import CfaCase, cfa_digest, load_cfa

from vadgen import paths
from vadgen.benchmark.methods.cfa import learn
from vadgen.detectors import cfa
from vadgen.detectors.cfa import CfaTables, freeze, places_of, sizes_for
from vadgen.detectors.patchcore import features, lay_out
from vadgen.emit.environment import environment
from vadgen.errors import Exit, VadgenError
from vadgen.lower import Value
from vadgen.pipeline.cfa import fit_cfa, float_cells
from vadgen.progress import SilentProgress
from vadgen.recipe import Recipe, StudentOptions
from vadgen.ref.cfa import Convolution, describe, nearest, softmin
from vadgen.ref.reweight import Reweight

FIRMWARE = paths.firmware()
DETECT = FIRMWARE / "lib" / "vad_detect"
DRIVER = """
#include "vad_cfa_tables.h"
#include "vad_patchcore_whole.h"

uint32_t run(const int8_t *const taps[], uint8_t *memory, uint8_t *scratch, int8_t *maps,
             uint32_t *cells, uint32_t n_cells) {
    vad_cfa_state_t state;
    const int8_t *made[VAD_PATCH_MAX_LEVELS] = {NULL};
    vad_cfa_begin(&vad_cfa, memory, &state);
    vad_patchcore_whole_patches(&vad_cfa_patches, taps, NULL, maps, made);
    for (uint32_t y = 0; y < vad_cfa_patches.levels[0].rows; y++) {
        const int8_t *rows[VAD_PATCHCORE_WHOLE_ROWS];
        vad_patchcore_whole_rows(&vad_cfa_patches, y, made, rows);
        vad_cfa_search(&vad_cfa, y, rows, scratch, &state);
    }
    for (uint32_t i = 0; i < n_cells; i++) {
        cells[i] = state.cells[i];
    }
    return vad_cfa_score(&state);
}
"""


def run_c(tables: CfaTables, outputs: Sequence[np.ndarray], folder: Path) -> np.ndarray:
    """Cells of all images; each buffer lies between guard bytes."""
    template = environment().get_template("detectors/cfa.h.j2")
    model = {"detector": {"tables": tables}}
    text = template.render(model=model, version="test", source="a test")
    (folder / "vad_cfa_tables.h").write_text(text)
    (folder / "driver.c").write_text(DRIVER)
    names = ("cfa", "smooth", "patch", "patchcore", "reweight", "rotate", "squared_distance")
    sources = [str(DETECT / "src" / f"vad_{name}.c") for name in names]
    flags = "-std=c11 -O1 -Wall -Wextra -Wconversion -Wpedantic -Werror -fPIC -shared"
    flags += " -fsanitize=undefined -fno-sanitize-recover"
    flags += f" -I{DETECT / 'include'} -I{FIRMWARE / 'host'}"
    command = ["gcc", *flags.split(), "driver.c", *sources, "-o", "cfa.so"]
    subprocess.run(command, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "cfa.so"))
    library.run.restype = ctypes.c_uint32
    sink, guard = tables.sink, 64
    results = []
    for i in range(len(outputs[0])):
        taps = [np.ascontiguousarray(tap[i]) for tap in outputs]
        sizes = (sink.state_bytes, sink.scratch_bytes, sink.made_bytes)
        buffers = [np.full(size + 2 * guard, 0xA5, np.uint8) for size in sizes]
        cells = np.zeros(tables.geometry.inside.shape, np.uint32)
        score = library.run(
            (ctypes.c_void_p * len(taps))(*(t.ctypes.data for t in taps)),
            *(ctypes.c_void_p(buffer.ctypes.data + guard) for buffer in buffers),
            ctypes.c_void_p(cells.ctypes.data),
            cells.size,
        )
        for buffer in buffers:
            assert (buffer[:guard] == 0xA5).all() and (buffer[-guard:] == 0xA5).all()
        assert score == cells.max()
        results.append(cells)
    return np.stack(results)


@pytest.mark.parametrize("case", load_cfa(), ids=lambda case: case.name)
def test_vectors(case: CfaCase, tmp_path: Path) -> None:
    """Stored digest == numpy reference == C."""
    cells, scores = case.tables().score(case.images())
    assert cfa_digest(cells) == case.sha256
    np.testing.assert_array_equal(run_c(case.tables(), case.images(), tmp_path), cells)
    np.testing.assert_array_equal(scores, cells.max(axis=(1, 2)))


def test_a_descriptor_by_hand() -> None:
    convolution = Convolution(
        np.array([[1, -2], [127, 127]], np.int8),
        np.array([5, -(1 << 29)], np.int32),
        np.array([[3, -4], [0, 0]], np.int16),
        2,
    )
    patches = np.zeros((1, 3, 2, 2), np.int8)
    patches[0, 2, 1] = 10, -7
    found = describe(patches, convolution)
    # Rows lie at -2, 0, 2 and columns at -1, 1.
    assert found[0, 2, 1].tolist() == [(10 + 14 + 5 + 3 * 2 - 4) >> 2, -127]
    assert found[0, 0, 0, 0] == (5 - 6 + 4) >> 2
    assert found[0, 1, 0, 0] == (5 + 4) >> 2


def test_softmin_is_that_of_floats() -> None:
    rng = np.random.default_rng(0)
    distances = np.sort(rng.integers(0, 1 << 24, (4000, 3)), axis=1)
    distances[1000:2000] = distances[1000:2000, :1] + rng.integers(0, 3000, (1000, 3))
    distances[:3] = [[0, 0, 0], [7, 7, 7], [(1 << 24) - 1] * 3]
    distances = np.sort(distances, axis=1)
    weigh = Reweight(1500, 11)
    rate = weigh.multiplier / 2**weigh.shift / 256 * np.log(2)  # of exp, a unit of distance
    share = 1 / np.exp(-rate * (distances - distances[:, :1])).sum(axis=1)
    found = softmin(weigh, distances.astype(np.uint32))
    np.testing.assert_allclose(found, distances[:, 0] * share, rtol=4e-3, atol=1)
    assert found[:3].tolist() == [0, 2, ((1 << 24) - 1) // 3]


def test_nearest_are_the_least_of_all() -> None:
    rng = np.random.default_rng(1)
    centres = rng.integers(-127, 128, (50, 7)).astype(np.int8)
    queries = rng.integers(-127, 128, (1100, 7)).astype(np.int8)
    wide = (queries[:, None].astype(int) - centres[None].astype(int)) ** 2
    np.testing.assert_array_equal(nearest(centres, queries), np.sort(wide.sum(axis=2))[:, :3])


def values_of() -> list[Value]:
    return [Value(0, "fine", 8, 8, 12, 0.05, -3), Value(1, "coarse", 4, 4, 20, 0.04, 9)]


def taps_of(count: int, seed: int, noise: float = 0.1) -> tuple[np.ndarray, ...]:
    """Every cell has features of its own, with noise from picture to picture."""
    rng = np.random.default_rng(seed)
    own = np.random.default_rng(99)
    taps = []
    for value in values_of():
        shape = value.rows, value.width, value.channels
        real = own.normal(0, 1, shape) + rng.normal(0, noise, (count, *shape))
        q = np.rint(real / value.scale) + value.zero_point
        taps.append(np.clip(q, -128, 127).astype(np.int8))
    return tuple(taps)


def recipe_of(epochs: int) -> Recipe:
    return Recipe("", detector="cfa", student=StudentOptions(epochs))


def trained(epochs: int = 20, roi: np.ndarray | None = None) -> CfaTables:
    taps = taps_of(12, 0)
    batches = [tuple(t[:7] for t in taps), tuple(t[7:] for t in taps)]
    return fit_cfa(
        recipe_of(epochs), values_of(), lambda: iter(batches), 1 << 20, roi, SilentProgress()
    )


def test_integers_are_the_trained_floats() -> None:
    tables, test = trained(), taps_of(6, 1)
    odd = tuple(t.copy() for t in test)
    odd[0][:, 3, 4] = -odd[0][:, 3, 4]
    train = features(taps_of(12, 0), tables.geometry)
    for taps in (test, odd):
        floats = float_cells(
            recipe_of(20),
            tables,
            lambda chosen: train[chosen],
            len(train),
            iter([features(taps, tables.geometry)]),
            SilentProgress(),
        )
        cells = tables.score(taps)[0] * tables.scale
        np.testing.assert_allclose(cells, floats, rtol=0.06, atol=0.02 * floats.max())
    assert (tables.score(odd)[1] > 1.5 * tables.score(test)[1].max()).all()


def test_places_reach_from_end_to_end() -> None:
    geometry = lay_out(values_of())
    places = places_of(geometry)
    assert places[0].tolist() == [-1, -1] and places[-1].tolist() == [1, 1]
    one = lay_out([Value(0, "", 1, 7, 4, 1.0, 0)])
    assert places_of(one)[:, 0].tolist() == [0] * 7


def test_what_lies_outside_the_region_does_not_matter(tmp_path: Path) -> None:
    roi = np.zeros((16, 16), np.bool_)
    roi[6:12, 4:10] = True
    tables = trained(2, roi)
    inside = tables.geometry.inside
    assert len(tables.centres) == inside.sum() and 0 < inside.sum() < inside.size
    test = taps_of(2, 3)
    cells, _ = tables.score(test)
    assert (cells[:, ~inside] == 0).all() and (cells[:, inside] > 0).all()
    changed = tuple(t.copy() for t in test)
    changed[0][:, 0], changed[0][:, :, 7] = 90, -90
    np.testing.assert_array_equal(tables.score(changed)[0], cells)
    np.testing.assert_array_equal(run_c(tables, changed, tmp_path), cells)


def test_features_that_are_all_zero(tmp_path: Path) -> None:
    """Black pictures: nothing to divide by, and places alone tell cells apart."""
    taps = tuple(
        np.full((3, v.rows, v.width, v.channels), v.zero_point, np.int8) for v in values_of()
    )
    tables = fit_cfa(
        recipe_of(1), values_of(), lambda: iter([taps]), 1 << 20, None, SilentProgress()
    )
    np.testing.assert_array_equal(
        run_c(tables, taps_of(1, 4), tmp_path), tables.score(taps_of(1, 4))[0]
    )


def test_tables_shrink_until_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    values = values_of()
    widest = sizes_for(values, 1 << 20)
    assert (widest.dims, widest.n_centres) == (16, 64)
    less = sizes_for(values, widest.flash_bytes - 1)
    assert less.dims == 8 and less.flash_bytes < widest.flash_bytes
    with pytest.raises(VadgenError, match="CFA's tables need") as caught:
        sizes_for(values, 900)
    assert caught.value.code is Exit.DOES_NOT_FIT
    monkeypatch.setattr(cfa, "MOST_CENTRES", 40)
    assert sizes_for(values, 1 << 20).n_centres == 40


def test_a_region_of_few_cells_is_refused() -> None:
    roi = np.zeros((8, 8), np.bool_)
    roi[3, 2:7] = True
    with pytest.raises(VadgenError, match="the region of interest has 5 cells"):
        sizes_for(values_of(), 1 << 20, roi)


def test_weights_of_any_size_have_an_integer_form() -> None:
    """Sums stay in int32, whatever is large."""
    geometry = lay_out(values_of())
    rng = np.random.default_rng(5)
    centres = rng.normal(0, 1, (64, 16)).astype(np.float32)
    for weight, bias, place in ((1e-9, 1, 1), (1, 1e6, 1), (1e-6, 1, 1e4), (1e6, 1, 1)):
        weights = rng.normal(0, weight, (16, 34)).astype(np.float32)
        weights[:, -2:] = rng.normal(0, place, (16, 2))
        offsets = rng.normal(0, bias, 16).astype(np.float32)
        made = freeze(weights, offsets, centres, 3.0, geometry).convolution
        assert 0 <= made.shift <= 30
        largest = np.abs(made.weights.astype(np.int64)).sum(axis=1) * 127
        largest += np.abs(made.bias.astype(np.int64))
        largest += np.abs(made.places.astype(np.int64)).sum(axis=1) * 7
        assert largest.max() < 1 << 31


def test_a_loss_that_is_no_number() -> None:
    cells = np.full((4, 8, 5), np.nan, np.float32)
    with pytest.raises(VadgenError, match="loss is no number after 1 epochs"):
        learn(lambda chosen: cells[chosen], 4, 0, SilentProgress(), epochs=2)


def test_sizes_are_those_of_the_tables() -> None:
    tables = trained(1)
    convolution = tables.convolution
    arrays = (convolution.weights, convolution.bias, convolution.places, tables.centres)
    runs = [level.runs for level in tables.patches.levels] + [tables.patches.down]
    total = sum(a.nbytes for a in (*arrays, tables.powers)) + sum(r.nbytes for r in runs)
    assert tables.sizes.flash_bytes == total
    assert replace(tables.sizes, n_centres=0).flash_bytes == total - tables.centres.nbytes
