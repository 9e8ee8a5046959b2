"""Counts what the search of a memory bank costs on the emulated Cortex-M7: benchmarks/search.csv.

    python tools/bench_search.py [--data DIR ...] [--image N] [--counts]

The features are those of EfficientNet-Lite0 at 224 pixels, int8, of the demo set; data sets of
development (VADGEN_SHARED, or ../shared beside the checkout) are added where they are. One picture
is scored by the search as it is shipped, and by the plain loop (all tables of every patch, all
look-ups of every row; the same code makes the tables). Both must give the reference's cells.
Look-ups are counted in the same C on this computer. Each change is printed.

With --counts other banks are searched, as shipped alone, and what each looks at stands beside its
instructions in benchmarks/search_counts.csv: the model of `patchcore.instructions` is fitted to it.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from vadgen.board import Board, load_board  # noqa: E402
from vadgen.build.icount import count  # noqa: E402
from vadgen.build.platformio import build_project, create_project  # noqa: E402
from vadgen.build.search import count_search  # noqa: E402
from vadgen.detectors.coreset import BatchedCoreset  # noqa: E402
from vadgen.detectors.patchcore import (  # noqa: E402
    Geometry,
    Options,
    PatchcoreTables,
    code,
    features,
    freeze,
    instructions,
    lay_out,
)
from vadgen.detectors.pq import FlatBank  # noqa: E402
from vadgen.emit.environment import c_table, environment  # noqa: E402
from vadgen.looked import Looked  # noqa: E402
from vadgen.pipeline import backbone as nets  # noqa: E402
from vadgen.pipeline.bank import look_at, search_parts  # noqa: E402
from vadgen.pipeline.data import open_dataset  # noqa: E402
from vadgen.progress import PlainProgress  # noqa: E402
from vadgen.recipe import Recipe  # noqa: E402

TABLE = ROOT / "benchmarks" / "search.csv"
COUNTS = ROOT / "benchmarks" / "search_counts.csv"
SHARED = Path(os.environ.get("VADGEN_SHARED", ROOT.parent / "shared")) / "data"
BOARD = "qemu_m7"
SIZE = 224
BANKS = (
    Options("adc", 300, n_subspaces=16, bits=8),
    Options("adc", 1000, n_subspaces=16, bits=8),
    Options("adc", 2000, n_subspaces=16, bits=8),
    Options("adc", 1000, n_subspaces=44, bits=8),
    Options("adc", 1000, n_subspaces=44, bits=4),
    Options("pqnn", 1000, 300, n_subspaces=16, bits=8),
    Options("flat", 1000, bits=8),
)
COUNTED = (
    Options("adc", 300, n_subspaces=16, bits=8),
    Options("adc", 1000, n_subspaces=16, bits=8),
    Options("adc", 2000, n_subspaces=44, bits=8),
    Options("adc", 1000, n_subspaces=22, bits=8),
    Options("adc", 600, n_subspaces=88, bits=4, small_tables=True),
    Options("adc", 1500, n_subspaces=88, bits=4),
    Options("adc", 2000, n_subspaces=44, bits=4, rotate=True),
    Options("adc", 1900, n_subspaces=44, bits=4, rotate=True, small_tables=True),
    Options("adc", 2000, n_subspaces=22, bits=8, rotate=True),
    Options("flat", 600, bits=8),
    Options("flat", 600, bits=4, small_tables=True),
    Options("flat", 1200, bits=4),
    Options("pqnn", 1000, 300, n_subspaces=22, bits=8),
    Options("pqnn", 1000, 100, n_subspaces=16, bits=8),
    Options("pqnn", 1000, 10, n_subspaces=16, bits=8),
)


@dataclass(frozen=True)
class Row:
    """One measurement; instructions of one image.

    Attributes:
        data, search, rows, subspaces, bits: what was searched.
        instructions: of the detector: patches, tables, scan.
        patches: of these, to make the patches.
        tables: to make look-up tables.
        scan: all the rest.
        estimate: what `patchcore.instructions` says of what the search looked at.
        plain: of the plain loop, without the patches; empty where there is none.
        plain_tables: of these, to make the tables.
        share: tables and scan over the plain loop.
        per_code: tables and scan by patch and code.
        look_ups: share of the plain loop's look-ups.
    """

    data: str
    search: str
    rows: int
    subspaces: int
    bits: int
    instructions: int
    patches: int
    tables: int
    scan: int
    estimate: int
    plain: int | None
    plain_tables: int | None
    share: float | None
    per_code: float
    look_ups: float


@dataclass(frozen=True, eq=False)
class Scene:
    """A data set's bank of float rows and the taps of one picture."""

    name: str
    geometry: Geometry
    rows: NDArray[np.float32]
    image: tuple[NDArray[np.int8], ...]


def open_scene(data: Path | None, image: int, most: int) -> Scene:
    """The demo set's, or that of a folder."""
    recipe = Recipe(board=BOARD, data=data, detector="patchcore", input=SIZE)
    dataset, progress = open_dataset(recipe), PlainProgress(sys.stderr)
    sha = dataset.sha256()
    network = nets.open_network(recipe)
    backbone = nets.make_backbone(recipe, network, dataset, sha, progress)
    train, _ = nets.features(backbone, dataset.train, sha, progress)
    test, _ = nets.features(backbone, [i.path for i in dataset.test], sha, progress)
    geometry = lay_out([backbone.program.values[i] for i in backbone.program.outputs])
    coreset = BatchedCoreset(
        most, geometry.dims, Options().coreset_memory, np.random.default_rng(recipe.seed)
    )
    for i in range(0, len(train[0]), nets.BATCH):
        batch = tuple(np.asarray(tap[i : i + nets.BATCH]) for tap in train)
        coreset.add(features(batch, geometry).reshape(-1, geometry.dims))
    chosen = tuple(np.asarray(tap[image : image + 1]) for tap in test)
    return Scene(dataset.name, geometry, coreset.select(), chosen)


def measure(scene: Scene, options: Options, board: Board) -> Row:
    """Builds and counts both programs."""
    tables = freeze(scene.rows[: options.n_codes], scene.geometry, options, 0)
    expected = tables.score(scene.image)[0]
    counts = run(scene, tables, expected, board, plain=False)
    parts = search_parts(counts)
    total = sum(counts.values())
    searched = total - parts["patches"]
    dims = scene.geometry.dims
    codes = expected.size * options.n_codes * options.subspaces(dims)
    cells, looked = count_search(code(tables), tables.sink, tables.cell_shape, scene.image)
    assert np.array_equal(cells, expected)
    plain: dict[str, int] | None = None
    if options.search == "adc" and options.bits == 8:
        plain = run(scene, tables, expected, board, plain=True)
    whole = None if plain is None else sum(plain.values())
    return Row(
        scene.name,
        options.search,
        options.n_codes,
        options.subspaces(dims),
        options.bits,
        total,
        parts["patches"],
        parts["tables"],
        searched - parts["tables"],
        instructions(scene.geometry, options, looked),
        whole,
        None if plain is None else search_parts(plain)["tables"],
        None if whole is None else round(searched / whole, 4),
        round(searched / codes, 3),
        round(looked.look_ups / (codes * options.bits / 8), 4),
    )


def count_bank(scene: Scene, options: Options, board: Board) -> tuple[int, Looked]:
    """Instructions of the detector for the picture, and what its search looks at."""
    tables = freeze(scene.rows[: options.n_codes], scene.geometry, options, 0)
    cells, looked = look_at(tables, scene.image)
    return sum(run(scene, tables, cells, board, plain=False).values()), looked


def renew_counts(scene: Scene, image: int, banks: Sequence[Options], board: Board) -> None:
    """Writes the lines of one picture again."""
    old = list(csv.reader(COUNTS.read_text(encoding="utf-8").splitlines()))[1:]
    new = []
    for options in banks:
        counted, looked = count_bank(scene, options, board)
        told = scene.name, image, options.title, options.n_codes, counted, *astuple(looked)
        new.append([str(value) for value in told])
        print(*new[-1], sep="  ", flush=True)
    renewed = {tuple(line[:4]) for line in new}
    with COUNTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [field.name for field in fields(Looked)]
        writer.writerow(["data", "image", "kind", "bank_rows", "instructions", *names])
        writer.writerows([line for line in old if tuple(line[:4]) not in renewed] + new)


def header(tables: PatchcoreTables) -> str:
    """`vad_patchcore_tables.h`."""
    template = environment().get_template("detectors/patchcore.h.j2")
    return template.render(
        model={"detector": {"tables": code(tables)}}, version="bench", source="a benchmark"
    )


def run(
    scene: Scene,
    tables: PatchcoreTables,
    expected: NDArray[np.uint32],
    board: Board,
    plain: bool,
) -> dict[str, int]:
    """Instructions by function, once the cells were found to be those expected."""
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        folder = Path(name)
        generated = folder / "generated"
        generated.mkdir()
        (generated / "vad_patchcore_tables.h").write_text(header(tables), encoding="utf-8")
        text = "".join(data_header(scene, tables, expected, plain))
        (generated / "bench_data.h").write_text(text, encoding="utf-8")
        project = create_project(folder, board, generated)
        shutil.copy(ROOT / "tools" / "search" / "main.c", project / "src" / "main.c")
        shutil.copy(ROOT / "firmware" / "host" / "vad_patchcore_whole.h", project / "src")
        counts = count(build_project(project, board), board, np.zeros(1, np.uint8))
    if counts.total is None:
        raise SystemExit(f"{board.id}: {counts.reason}")
    return dict(counts.by_function)


def data_header(
    scene: Scene, tables: PatchcoreTables, expected: NDArray[np.uint32], plain: bool
) -> Iterator[str]:
    """Taps, the cells, the sizes."""
    sink = tables.sink
    subspaces = 0 if isinstance(tables.bank, FlatBank) else len(tables.bank.codewords)
    sizes = {
        "PLAIN": int(plain),
        "N_CELLS": expected.size,
        "N_DIMS": tables.geometry.dims,
        "STATE_BYTES": sink.state_bytes,
        "SCRATCH_BYTES": sink.scratch_bytes,
        "MAPS_BYTES": sink.made_bytes,
        "PLAIN_TABLE_WORDS": 256 * subspaces,
    }
    yield "#include <stdint.h>\n"
    yield from (f"#define {name} {size}\n" for name, size in sizes.items())
    yield array("uint32_t", "bench_cells", expected)
    for i, tap in enumerate(scene.image):
        yield array("int8_t", f"bench_tap_{i}", tap)
    names = ", ".join(f"bench_tap_{i}" for i in range(len(scene.image)))
    yield f"static const int8_t *const bench_taps[] = {{{names}}};\n"


def array(c_type: str, name: str, values: NDArray[Any]) -> str:
    """A constant array."""
    return f"static const {c_type} {name}[] = {{\n{c_table(values)}\n}};\n"


def read_table() -> dict[tuple[str, ...], list[str]]:
    """The stored lines by what was searched."""
    if not TABLE.exists():
        return {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {tuple(line[:5]): line for line in list(csv.reader(file))[1:]}


def main(argv: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="*", type=Path, help="other sets than the usual ones")
    parser.add_argument("--image", type=int, default=0, help="number of the test picture")
    parser.add_argument("--bank", nargs="*", type=int, help="numbers of the banks; all by default")
    parser.add_argument("--counts", action="store_true", help="renew search_counts.csv instead")
    chosen = parser.parse_args(argv)
    usual_banks = COUNTED if chosen.counts else BANKS
    usual = [None, *(p for p in (SHARED / "transistor",) if p.is_dir())]
    board, lines = load_board(BOARD), read_table()
    banks = [b for i, b in enumerate(usual_banks) if chosen.bank is None or i in chosen.bank]
    for data in usual if chosen.data is None else chosen.data:
        scene = open_scene(data, chosen.image, max(b.n_codes for b in usual_banks))
        if chosen.counts:
            renew_counts(scene, chosen.image, banks, board)
            continue
        for options in banks:
            row = measure(scene, options, board)
            new = ["" if value is None else str(value) for value in astuple(row)]
            old = lines.get(tuple(new[:5]), [""] * len(new))
            for field, before, now in zip(fields(Row), old, new, strict=True):
                change = f"   (was {before})" if before and before != now else ""
                print(f"{field.name:>14} {now}{change}")
            print(flush=True)
            lines[tuple(new[:5])] = new
            TABLE.parent.mkdir(exist_ok=True)
            with TABLE.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([f.name for f in fields(Row)])
                writer.writerows(lines[key] for key in sorted(lines))


if __name__ == "__main__":
    main()
