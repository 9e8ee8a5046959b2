"""`study pq`: product quantization and the two-phase search, swept on a built model's features."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadgen.benchmark.pq_sweep import float_distances, two_phase
from vadgen.data.dataset import Dataset
from vadgen.data.folder import load_dataset
from vadgen.data.images import Notes, iter_batches
from vadgen.detectors.coreset import BatchedCoreset
from vadgen.detectors.patchcore import (
    Geometry,
    Options,
    PatchcoreTables,
    features,
    freeze,
    lay_out,
    ledger,
)
from vadgen.detectors.pq import PqBank, check_sizes, divisors
from vadgen.errors import VadgenError
from vadgen.pipeline.backbone import BATCH
from vadgen.pipeline.bank import look_at
from vadgen.pipeline.cache import Outputs, cached, load_arrays, save_arrays
from vadgen.pipeline.evaluation import evaluate_maps
from vadgen.pipeline.frozen import load_frozen, save_frozen
from vadgen.pipeline.manifest import (
    code_digest,
    read_manifest,
    sha256_file,
    sha256_text,
    write_json,
    write_manifest,
)
from vadgen.pipeline.shipped import Shipped, load_shipped
from vadgen.pipeline.staging import shown, staged
from vadgen.progress import Progress
from vadgen.ref.patchcore import queries, to_scores
from vadgen.ref.smooth import smooth
from vadgen.report.figures import Line, Plot, check_drawing, write_plot
from vadgen.report.heatmap import pixels_of

ROWS = (300, 500, 1000, 2000)
CANDIDATES = (1, 3, 10, 30, 100, 300, 1000)
BITS = (8, 4)
_SUBSPACES = (16, 8, 44)
_USUAL_ROWS, _USUAL_CANDIDATES = 1000, 300  # the thesis's c and K
_COUNTED_IMAGES = 8
_POINTS = "points.npz"


@dataclass(frozen=True)
class Sweep:
    """What to vary; empty is the usual choice.

    The first M and the first of the bits are swept over all N and K, the others at the N and the K
    nearest to the thesis's 1,000 and 300.
    """

    codes: tuple[int, ...] = ()
    candidates: tuple[int, ...] = ()
    subspaces: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figures:
    """Of the labelled pictures; F1 at the best threshold that the labels allow."""

    image_auroc: float | None
    image_f1: float | None
    pixel_auroc: float | None
    pixel_f1: float | None


@dataclass(frozen=True)
class Point:
    """One bank searched in one way, on the labelled pictures.

    Attributes:
        search: "float": unquantized rows, exhaustively; "adc": codes, exhaustively; "pqnn": codes,
            in two phases.
        rows: N.
        candidates: K of "pqnn".
        subspaces, bits: of the codes.
        figures: how well it tells defects.
        found: share of the patches whose nearest row the search found.
        flash_bytes: codes and codebook, or float32 rows.
        python_bytes: what Python's objects hold that search it.
    """

    search: str
    rows: int
    candidates: int | None
    subspaces: int | None
    bits: int | None
    figures: Figures
    found: float
    flash_bytes: int
    python_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As `study --json` prints it."""
        own = {k: v for k, v in vars(self).items() if k != "figures"}
        return {**own, **asdict(self.figures)}


@dataclass(frozen=True)
class Work:
    """What searching one bank costs, a patch; `look_ups` of the search as it is shipped.

    Attributes:
        rows, subspaces: N and M.
        exhaustive: look-ups of every row.
        look_ups: entries of tables that the exact search read.
        table_entries: distances to centroids that tables were made of.
        direct: distances to centroids without a table.
        two_phase: look-ups of the first phase and of K candidates.
    """

    rows: int
    subspaces: int
    exhaustive: float
    look_ups: float
    table_entries: float
    direct: float
    two_phase: float


@dataclass(frozen=True)
class StudyResult:
    """The sweep's points, its plots, and how long it took."""

    out: str
    build: str
    data: str
    points: tuple[Point, ...]
    work: tuple[Work, ...]
    plots: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As `study --json` prints it."""
        own = {k: v for k, v in vars(self).items() if k not in ("points", "work")}
        points = [point.to_json() for point in self.points]
        return {**own, "points": points, "work": [*map(asdict, self.work)]}


@dataclass(frozen=True, eq=False)
class _Set:
    """The pictures as the built network sees them: int8 taps of training and test pictures."""

    shipped: Shipped
    dataset: Dataset
    geometry: Geometry
    train: Outputs
    test: Outputs
    key: str
    seed: int


def study_pq(
    build: Path, data: Path, sweep: Sweep, out: Path | None, progress: Progress
) -> StudyResult:
    """Sweeps banks of the built model's features and draws the thesis's figures 8.3 to 8.8.

    Every bank that is done is kept in the cache: a study that was stopped goes on where it was.

    Args:
        build: an output of `build`, with any detector.
        data: a labelled set; its good pictures make the banks.
        sweep: what to vary.
        out: where to write; None is beside the build.
        progress: told each step.

    Raises:
        VadgenError: no matplotlib, no labelled pictures, sizes that cannot be, or as `infer`.
    """
    started = time.monotonic()
    check_drawing()
    manifest = read_manifest(build, "build")
    dataset = load_dataset(data)
    if not dataset.test:
        raise VadgenError(
            f"{data} has no labelled pictures", "it needs test/good and test/<defect>"
        )
    given, notes = _open(build, dataset, manifest["seed"], progress)
    sweep = _usual(sweep, given.geometry)
    rows = _rows(given, max(sweep.codes), progress)
    points: list[Point] = []
    work: list[Work] = []
    progress.step("Search")
    jobs = list(_jobs(sweep))
    for n, m, bits, candidates in progress.track(jobs, len(jobs), "banks"):
        if m is None or bits is None:
            points.append(_float_point(given, rows[:n]))
            continue
        found, cost = _bank_points(given, rows[:n], m, bits, candidates)
        points += found
        work += [cost] if (m, bits) == (sweep.subspaces[0], sweep.bits[0]) else []
    progress.step("Draw")
    target = out or build.with_name(f"{build.name}-pq")
    with staged(target) as folder:
        plots = [
            write_plot(plot, folder)[0].name for plot in _plots(points, work, sweep, dataset.name)
        ]
        result = StudyResult(
            shown(target),
            shown(build),
            dataset.name,
            tuple(points),
            tuple(work),
            tuple(plots),
            notes,
            round(time.monotonic() - started, 1),
        )
        told = result.to_json()
        write_json(folder / "study.json", {k: told[k] for k in ("data", "points", "work")})
        facts = {"build": build.name, "data": dataset.name, "sweep": asdict(sweep)}
        write_manifest(folder, "study", facts)
    return result


# --- what is swept --------------------------------------------------------------------------------


def _usual(sweep: Sweep, geometry: Geometry) -> Sweep:
    dims = geometry.dims
    nearest = (_middle(divisors(dims), m) for m in _SUBSPACES)
    filled = Sweep(
        tuple(sorted(set(sweep.codes or ROWS))),
        tuple(sorted(set(sweep.candidates or CANDIDATES))),
        tuple(dict.fromkeys(sweep.subspaces or nearest)),
        tuple(dict.fromkeys(sweep.bits or BITS)),
    )
    if any(bits not in (4, 8) for bits in filled.bits):
        raise VadgenError("codes have 4 or 8 bits", "ask for --bits 4, --bits 8 or --bits 8,4")
    for m, bits in itertools.product(filled.subspaces, filled.bits):
        check_sizes(dims, m, 1 << bits, filled.codes[0])
    if min(filled.candidates) > filled.codes[0]:
        raise VadgenError(
            f"{min(filled.candidates)} candidates are more than a bank of {filled.codes[0]} rows",
            f"ask for --candidates {filled.codes[0]} or fewer",
        )
    return filled


def _jobs(sweep: Sweep) -> Iterator[tuple[int, int | None, int | None, tuple[int, ...]]]:
    """N, M, bits and the K of every bank; M and bits are None for float rows."""
    m, bits = sweep.subspaces[0], sweep.bits[0]
    for n in sweep.codes:
        yield n, None, None, ()
        yield n, m, bits, tuple(k for k in sweep.candidates if k <= n)
    n = _middle(sweep.codes, _USUAL_ROWS)
    k = _middle([k for k in sweep.candidates if k <= n], _USUAL_CANDIDATES)
    for other_m in sweep.subspaces:
        for other_bits in sweep.bits:
            if (other_m, other_bits) != (m, bits):
                yield n, other_m, other_bits, (k,)


def _middle(values: Sequence[int], wanted: int) -> int:
    return min(values, key=lambda value: (abs(value - wanted), value))


# --- features and banks ---------------------------------------------------------------------------


def _open(
    build: Path, dataset: Dataset, seed: int, progress: Progress
) -> tuple[_Set, tuple[str, ...]]:
    shipped = load_shipped(build)
    files = [sha256_file(build / name) for name in ("model.tflite", "model.npz")]
    key = sha256_text(code_digest(), dataset.sha256(), *files)
    test = [item.path for item in dataset.test]

    def make(folder: Path) -> None:
        host, notes = shipped.host(build), Notes()
        for name, paths in (("train", dataset.train), ("test", test)):
            progress.step(f"Features of {len(paths)} {name} pictures")
            batches = iter_batches(paths, shipped.input_size, BATCH, notes)
            tracked = progress.track(batches, -(-len(paths) // BATCH), "batches")
            save_arrays(folder, name, len(paths), (host.run(b).outputs for b in tracked))
        (folder / "notes.txt").write_text("\n".join(notes.lines()), encoding="utf-8")

    folder = cached("study", sha256_text(key, "taps"), make)
    values = [shipped.program.values[i] for i in shipped.program.outputs]
    train, tested = (load_arrays(folder, name) for name in ("train", "test"))
    notes = tuple((folder / "notes.txt").read_text(encoding="utf-8").splitlines())
    inside, size = shipped.detector.inside, shipped.input_size
    roi = None if inside.all() else pixels_of(inside, size, size)
    return _Set(shipped, dataset, lay_out(values, roi=roi), train, tested, key, seed), notes


def _rows(given: _Set, n: int, progress: Progress) -> NDArray[np.float32]:
    """The bank of `n` float rows, farthest first: its first rows are any smaller bank."""

    def make(folder: Path) -> None:
        progress.step(f"Choose {n} rows")
        dims, rng = given.geometry.dims, np.random.default_rng(given.seed)
        coreset = BatchedCoreset(n, dims, Options().coreset_memory, rng)
        count = len(given.train[0])
        for i in progress.track(range(0, count, BATCH), -(-count // BATCH), "batches"):
            batch = tuple(np.asarray(tap[i : i + BATCH]) for tap in given.train)
            coreset.add(features(batch, given.geometry).reshape(-1, dims))
        np.save(folder / "rows.npy", coreset.select())

    rows: NDArray[np.float32] = np.load(
        cached("study", sha256_text(given.key, "rows", str(n), str(given.seed)), make) / "rows.npy"
    )
    return rows


def _float_point(given: _Set, rows: NDArray[np.float32]) -> Point:
    geometry, options = given.geometry, Options("flat", len(rows))

    def distances(index: int) -> NDArray[np.float32]:
        taps = tuple(tap[index : index + 1] for tap in given.test)
        return float_distances(features(taps, geometry).reshape(-1, geometry.dims), rows)

    def make(folder: Path) -> None:
        cells = np.stack([distances(i) for i in range(len(given.test[0]))])
        count = ledger(geometry, options)
        memory = count.float_bytes, count.python_float_bytes
        figures = _figures(given, cells)
        save_frozen(
            folder / _POINTS, Point("float", len(rows), None, None, None, figures, 1.0, *memory)
        )

    folder = cached("study", sha256_text(given.key, "float", str(len(rows))), make)
    point: Point = load_frozen(folder / _POINTS)
    return point


def _bank_points(
    given: _Set, rows: NDArray[np.float32], m: int, bits: int, candidates: tuple[int, ...]
) -> tuple[tuple[Point, ...], Work]:
    """The exhaustive search and every K of one bank, and what its search looks at."""
    options = Options("adc", len(rows), n_subspaces=m, bits=bits)

    def make(folder: Path) -> None:
        tables = freeze(rows, given.geometry, options, given.seed)
        points = _search(given, tables, options, candidates)
        work = _work(given, tables, max(candidates, default=0))
        save_frozen(folder / _POINTS, (tuple(points), work))

    names = map(str, (len(rows), m, bits, *candidates))
    folder = cached("study", sha256_text(given.key, "bank", *names), make)
    points, work = load_frozen(folder / _POINTS)
    return points, work


def _search(
    given: _Set, tables: PatchcoreTables, options: Options, candidates: tuple[int, ...]
) -> list[Point]:
    assert isinstance(tables.bank, PqBank)
    geometry = tables.geometry
    vectors = queries(given.test, geometry.taps, geometry.levels)[:, geometry.inside]
    vectors = vectors.reshape(-1, geometry.dims)
    result = two_phase(tables.bank, vectors, candidates)
    points = []
    for i, k in (*enumerate(candidates), (None, None)):
        squared = result.exact if i is None else result.squared[i]
        found = 1.0 if i is None else result.found(i)
        searched = options if k is None else replace(options, search="pqnn", n_candidates=k)
        count = ledger(geometry, searched)
        cells = to_scores(squared).reshape(len(given.test[0]), -1)
        points.append(
            Point(
                searched.search,
                options.n_codes,
                k,
                options.n_subspaces,
                options.bits,
                _figures(given, cells),
                found,
                count.flash_bytes,
                count.python_bytes,
            )
        )
    return points


def _figures(given: _Set, found: NDArray[Any]) -> Figures:
    """What the distances of the cells inside the region of interest (n, cells) tell."""
    inside = given.geometry.inside
    cells = np.zeros((len(found), *inside.shape), found.dtype)
    cells[:, inside] = found
    cells = smooth(cells, inside)
    size = given.shipped.input_size
    m = evaluate_maps(given.dataset, size, cells.max(axis=(1, 2)), cells, inside).metrics
    image_f1, pixel_f1 = (None if f1 is None else f1.f1 for f1 in (m.image_f1, m.pixel_f1))
    return Figures(m.image_auroc, image_f1, m.pixel_auroc, pixel_f1)


def _work(given: _Set, tables: PatchcoreTables, most_candidates: int) -> Work:
    """Counts the shipped search over a few test pictures, and checks its cells on the way."""
    assert isinstance(tables.bank, PqBank)
    count = len(given.test[0])
    chosen = np.linspace(0, count - 1, min(count, _COUNTED_IMAGES)).astype(np.int64)
    images = tuple(np.asarray(tap[chosen]) for tap in given.test)
    cells, looked = look_at(tables, images)
    assert (cells == tables.score(images)[0]).all()
    m, n = len(tables.bank.codewords), tables.bank.n_codes
    per = 1 / (len(chosen) * int(tables.geometry.inside.sum()))
    return Work(
        n,
        m,
        float(n * m),
        looked.look_ups * per,
        looked.table_entries * per,
        looked.direct * per,
        float((n + most_candidates) * m),
    )


# --- the plots ------------------------------------------------------------------------------------

_LABELS = {
    "image_f1": "Image F1",
    "pixel_f1": "Pixel F1",
    "image_auroc": "Image AUROC",
    "pixel_auroc": "Pixel AUROC",
}


def _plots(
    points: Sequence[Point], work: Sequence[Work], sweep: Sweep, name: str
) -> Iterator[Plot]:
    m, bits = sweep.subspaces[0], sweep.bits[0]
    kind = f"M = {m}, {bits} bits"
    own = [p for p in points if p.search != "float" and (p.subspaces, p.bits) == (m, bits)]
    floats = {p.rows: p for p in points if p.search == "float"}
    exact = {p.rows: p for p in own if p.search == "adc"}
    two = [p for p in own if p.search == "pqnn"]
    yield _memory(name, kind, floats, exact, two)
    yield _comparison(name, kind, floats, exact)
    for key, label in _LABELS.items():
        yield _against_candidates(key, label, name, kind, two, floats)
    yield _found(name, kind, two)
    yield _effort(name, kind, work, sweep)
    yield _kinds(name, points, floats)


def _line(
    name: str,
    points: Sequence[Point],
    x: str,
    y: str,
    is_dashed: bool = False,
    colour: int | None = None,
) -> Line:
    told = [point.to_json() for point in points]
    kept = [p for p in told if p[y] is not None]
    xs, ys = (tuple(float(p[axis]) for p in kept) for axis in (x, y))
    return Line(name, xs, ys, is_dashed, colour)


def _memory(
    name: str,
    kind: str,
    floats: dict[int, Point],
    exact: dict[int, Point],
    two: Sequence[Point],
) -> Plot:
    k = _middle([p.candidates or 0 for p in two], _USUAL_CANDIDATES)
    held = [p for p in two if p.candidates == k]
    return Plot(
        "memory",
        f"{name}: memory of the bank",
        f"{kind}; in Python: what numpy's and nanopq's objects hold over one query, K = {k}",
        "rows of the bank, N",
        "bytes",
        (
            _line("in Python, float32", [*floats.values()], "rows", "python_bytes", True),
            _line("in Python, quantized, two phases", held, "rows", "python_bytes"),
            _line("in Python, quantized", [*exact.values()], "rows", "python_bytes"),
            _line("on the device: codes and codebook", [*exact.values()], "rows", "flash_bytes"),
        ),
        x_log=True,
        y_log=True,
        y_unit="bytes",
    )


def _comparison(name: str, kind: str, floats: dict[int, Point], exact: dict[int, Point]) -> Plot:
    lines = []
    for i, (key, label) in enumerate(_LABELS.items()):
        lines.append(_line(f"{label}, float32", [*floats.values()], "rows", key, True, i))
        lines.append(_line(f"{label}, quantized", [*exact.values()], "rows", key, colour=i))
    return Plot(
        "quantized",
        f"{name}: what quantization costs",
        f"{kind}; every row searched; F1 at the best threshold the labels allow",
        "rows of the bank, N",
        "F1, AUROC",
        tuple(line for line in lines if line.x),
        x_log=True,
    )


def _against_candidates(
    key: str, label: str, name: str, kind: str, two: Sequence[Point], floats: dict[int, Point]
) -> Plot:
    ks = sorted({p.candidates or 0 for p in two})
    lines = []
    for n in sorted({p.rows for p in two}):
        lines.append(_line(f"N = {n:,}", [p for p in two if p.rows == n], "candidates", key))
    value = floats[max(floats)].to_json()[key]
    if value is not None:
        reference = f"float32, N = {max(floats):,}"
        lines.append(Line(reference, (ks[0], ks[-1]), (value, value), is_dashed=True))
    note = "; at the best threshold the labels allow" if key.endswith("f1") else ""
    return Plot(
        key,
        f"{name}: {label} of the two-phase search",
        f"{kind}{note}",
        "candidates, K",
        label,
        tuple(line for line in lines if line.x),
        x_log=True,
    )


def _found(name: str, kind: str, two: Sequence[Point]) -> Plot:
    return Plot(
        "found",
        f"{name}: how often two phases find the nearest row",
        kind,
        "candidates, K",
        "share of the patches",
        tuple(
            _line(f"N = {n:,}", [p for p in two if p.rows == n], "candidates", "found")
            for n in sorted({p.rows for p in two})
        ),
        x_log=True,
    )


def _effort(name: str, kind: str, work: Sequence[Work], sweep: Sweep) -> Plot:
    rows = tuple(float(w.rows) for w in work)

    def line(label: str, key: str, is_dashed: bool = False) -> Line:
        return Line(label, rows, tuple(float(getattr(w, key)) for w in work), is_dashed)

    return Plot(
        "work",
        f"{name}: work of the search",
        f"{kind}; a patch, counted in the C that is shipped, {_COUNTED_IMAGES} test pictures",
        "rows of the bank, N",
        "look-ups, distances to centroids",
        (
            line("look-ups, two phases, most K", "two_phase", True),
            line("look-ups, every row", "exhaustive", True),
            line("look-ups, exact search as shipped", "look_ups"),
            line("distances to centroids, tables", "table_entries"),
            line("distances to centroids, direct", "direct"),
        ),
        x_log=True,
        y_log=True,
        y_unit="count",
    )


def _kinds(name: str, points: Sequence[Point], floats: dict[int, Point]) -> Plot:
    exact = [p for p in points if p.search == "adc"]
    bits = sorted({p.bits or 0 for p in exact}, reverse=True)
    n = _middle([p.rows for p in exact], _USUAL_ROWS)
    lines = [
        _line(
            f"{b} bits, N = {n:,}, M = {', '.join(str(p.subspaces) for p in chosen)}",
            chosen,
            "flash_bytes",
            "image_auroc",
        )
        for b in bits
        if (
            chosen := sorted(
                (p for p in exact if p.bits == b and p.rows == n), key=lambda p: p.flash_bytes
            )
        )
    ]
    lines.append(_line("float32", [*floats.values()], "flash_bytes", "image_auroc", True))
    return Plot(
        "bytes",
        f"{name}: image AUROC against the bank's bytes",
        "every row searched; lines go through the subspaces M, or the rows N of float banks",
        "codes and codebook, bytes",
        "Image AUROC",
        tuple(lines),
        x_log=True,
        x_unit="bytes",
    )
