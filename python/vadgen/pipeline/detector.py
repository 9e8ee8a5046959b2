"""What the build needs of a detector, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vadgen.lower import Value
from vadgen.pipeline.cache import Outputs
from vadgen.pipeline.cfa import fit_cfa
from vadgen.pipeline.students import SHARES
from vadgen.progress import Progress
from vadgen.recipe import PatchcoreOptions, Recipe
from vadgen.ref.roi import Inside
from vadgen.sink import Sink

if TYPE_CHECKING:
    from vadgen.detectors.patchcore import Options
    from vadgen.detectors.picker import Given, Limits

Batches = Callable[[], Iterable[Outputs]]
Scores = tuple[NDArray[np.uint32], NDArray[np.uint32]]


@dataclass(frozen=True, eq=False)
class Detector:
    """A frozen detector.

    Attributes:
        name: stem of its templates.
        title: for people, as in "PatchCore, 1000 rows of 16 codes".
        tables: its frozen dataclass, which `save_frozen` can write.
        inside: bool (rows, cols), the cells that count; the others score 0.
        sink: what it does with the taps, as the plan sees it.
        table_bytes: flash of its tables.
        code: the tables as its templates know them.
        score: numpy twin: int8 taps (n, ...) to cells uint32 (n, rows, cols) and scores (n,).
        score_note: what the integer score means, for the generated header.
    """

    name: str
    title: str
    tables: Any
    inside: Inside
    sink: Sink
    table_bytes: int
    code: Any
    score: Callable[[Outputs], Scores]
    score_note: str

    @property
    def cell_shape(self) -> tuple[int, int]:
        """Rows and columns of its scores."""
        rows, cols = self.inside.shape
        return rows, cols


def fit_detector(
    recipe: Recipe,
    values: Sequence[Value],
    batches: Batches,
    table_bytes: int,
    progress: Progress,
    roi: Inside | None = None,
) -> Detector:
    """Fits the recipe's detector on the int8 taps of training normals and freezes it.

    Args:
        recipe: names the detector and its options.
        values: shape and quantization of each tap.
        batches: gives the taps in batches, each time it is called.
        table_bytes: flash that its tables may take.
        progress: told of what is trained.
        roi: mask of the picture, True where it counts; None for all of it.
    """
    from vadgen.detectors import padim, padim_full, patchcore, students

    if recipe.detector in SHARES:
        return detector_of(students.fit(batches, values, roi))
    if recipe.detector == "cfa":
        return detector_of(fit_cfa(recipe, values, batches, table_bytes, roi, progress))
    channels = recipe.padim.channels
    if recipe.detector == "padim" and recipe.padim.variant == "diagonal":
        return detector_of(padim.fit(batches, values, channels, table_bytes, recipe.seed, roi))
    if recipe.detector == "padim":
        return detector_of(padim_full.fit(batches, values, channels, table_bytes, roi))
    return detector_of(patchcore.fit(batches, values, patchcore_options(recipe), recipe.seed, roi))


def empty_tables(
    recipe: Recipe, values: Sequence[Value], flash_bytes: int, roi: Inside | None = None
) -> tuple[Sink, int]:
    """Any detector but PatchCore as the plan sees it, and bytes of its tables, before the fit.

    Raises:
        VadgenError: DOES_NOT_FIT; not even the fewest channels do, or CFA's shortest descriptors.
    """
    from vadgen.detectors import cfa, padim, padim_full, students

    if recipe.detector in SHARES:
        paired = students.empty(values, roi)
        return paired.sink, paired.flash_bytes
    if recipe.detector == "cfa":
        sizes = cfa.sizes_for(values, flash_bytes, roi)
        return sizes.sink, sizes.flash_bytes
    empty = padim.empty if recipe.padim.variant == "diagonal" else padim_full.empty
    tables = empty(values, recipe.padim.channels, flash_bytes, roi)
    return tables.sink, tables.flash_bytes


def least_bank(
    recipe: Recipe, values: Sequence[Value], limits: Limits, roi: Inside | None = None
) -> tuple[Sink, int]:
    """PatchCore as the plan sees it, and bytes of its bank, before the fit.

    Of the banks that fit, the one that takes least RAM counts.

    Raises:
        VadgenError: DOES_NOT_FIT; no bank fits.
    """
    from vadgen.detectors import patchcore, picker

    base = patchcore_options(recipe)
    geometry = patchcore.lay_out(values, base.halve, roi)
    banks = picker.fitting(geometry, bank_given(recipe.patchcore), limits, base)
    ledgers = [(patchcore.ledger(geometry, bank), bank) for bank in banks]
    least, bank = min(ledgers, key=lambda pair: pair[0].ram_bytes)
    return patchcore.sink_of(geometry, bank), least.flash_bytes


def detector_of(tables: Any) -> Detector:
    """The detector around its frozen tables."""
    from vadgen.detectors import cfa, padim, padim_full, patchcore, students

    if isinstance(tables, cfa.CfaTables):
        sizes = tables.sizes
        return Detector(
            "cfa",
            f"CFA, {sizes.n_centres} centres, descriptors of {sizes.dims} values",
            tables,
            sizes.geometry.inside,
            tables.sink,
            sizes.flash_bytes,
            tables,
            tables.score,
            f"A score s is a smoothed distance, times its softmin: s * {tables.scale:.9g}.",
        )
    if isinstance(tables, students.StudentTables):
        channels = " + ".join(str(level.channels) for level in tables.levels)
        return Detector(
            "students",
            f"teacher and student, {channels} channels",
            tables,
            tables.inside,
            tables.sink,
            tables.flash_bytes,
            tables,
            tables.score,
            f"A score s is a product of differences (1 - cosine): s * {tables.scale:.9g}.",
        )
    if isinstance(tables, padim_full.PadimFullTables):
        return Detector(
            "padim_full",
            f"PaDiM, full covariance of {tables.features} features",
            tables,
            tables.inside,
            tables.sink,
            tables.flash_bytes,
            tables,
            tables.score,
            f"A score s is a smoothed Mahalanobis distance: s * {tables.scale:.9g}.",
        )
    if isinstance(tables, padim.PadimTables):
        kept = sum(len(tap.channels) for tap in tables.taps)
        return Detector(
            "padim",
            f"diagonal PaDiM, {kept} of {sum(tables.n_channels)} channels",
            tables,
            tables.inside,
            tables.sink,
            tables.flash_bytes,
            tables,
            tables.score,
            f"A score s is a smoothed Mahalanobis distance: s * {tables.scale:.9g}.",
        )
    assert isinstance(tables, patchcore.PatchcoreTables), type(tables)
    code = patchcore.code(tables)
    return Detector(
        "patchcore",
        f"PatchCore, {patchcore.summary(tables)}",
        tables,
        tables.geometry.inside,
        tables.sink,
        patchcore.ledger(tables.geometry, patchcore.options_of(tables)).flash_bytes
        + code.patches.runs_bytes,
        code,
        tables.score,
        f"A score s is a smoothed distance of s * {tables.scale:.9g} in feature units.",
    )


def patchcore_options(recipe: Recipe) -> Options:
    """What the recipe says of the bank; what it leaves open is as `Options` has it."""
    from vadgen.detectors.patchcore import Options

    given, defaults = recipe.patchcore, Options()
    return Options(
        "adc" if given.search == "auto" else given.search,  # type: ignore[arg-type]
        given.codes or defaults.n_codes,
        given.candidates or min(defaults.n_candidates, given.codes or defaults.n_codes),
        given.subspaces or defaults.n_subspaces,
        given.bits or defaults.bits,
        coreset_memory=recipe.memory.coreset_memory,
        trim=recipe.memory.trim,
        n_centroids=given.centroids,
        rotate=bool(given.opq or (given.opq is None and given.opq_block)),
        small_tables=bool(given.small_tables),
        reweight=given.reweight,
        block=given.opq_block,
    )


def bank_given(given: PatchcoreOptions) -> Given:
    """What the user fixed of the bank."""
    from vadgen.detectors.picker import Given

    return Given(
        given.search,
        given.codes,
        given.candidates,
        given.subspaces,
        given.bits,
        given.centroids,
        True if given.opq is None and given.opq_block else given.opq,
        given.small_tables,
        given.opq_block,
    )
