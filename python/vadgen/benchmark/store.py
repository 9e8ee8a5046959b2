"""Rows of a study: one Parquet data set, a file a cell, so that nothing finished is ever lost.

A file appears whole or not at all, whichever process writes it. Columns are the fields of `Row`,
those of its parts under their own names.
"""

from __future__ import annotations

import os
import tempfile
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from vadgen.benchmark.cell import Cell, Costs, Figures, Row, Suspects
from vadgen.benchmark.contamination import Draw
from vadgen.errors import Exit, VadgenError

FOLDER = "results"
_PARTS: dict[str, type[Any]] = {
    "cell": Cell,
    "draw": Draw,
    "metrics": Figures,
    "costs": Costs,
    "suspects": Suspects,
}


def check_packages() -> None:
    """Raises a VadgenError that says what to install, unless Parquet can be written."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise VadgenError(
            "the study keeps its rows as Parquet: the Python package 'pyarrow' is not installed",
            "pip install 'vadgen[study]' brings it; in a checkout: make setup",
            Exit.TOOL_MISSING,
        ) from None


def is_finished(out: Path, cell: Cell) -> bool:
    """Whether the cell's row is there."""
    return _path(out, cell.key).is_file()


def write_row(out: Path, row: Row) -> None:
    """Writes the row aside and moves it into place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _path(out, row.cell.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([flat(row)], schema=_schema())
    handle, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def read_rows(out: Path) -> tuple[Row, ...]:
    """Every finished row, ordered by its cell.

    Raises:
        VadgenError: there is no study, or a file of it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((out / FOLDER).glob("*.parquet"))
    if not files:
        raise VadgenError(
            f"{out} holds no finished row of a study",
            "`vadgen benchmark --data ROOT --datasets mvtec --out DIR` makes some",
        )
    rows = []
    for path in files:
        try:
            rows += [_row(record) for record in pq.read_table(path).to_pylist()]
        except (OSError, pa.ArrowException, KeyError, TypeError) as error:
            raise VadgenError(
                f"{path} is damaged or of another version: {error}",
                "remove it and run the same benchmark again",
            ) from None
    return tuple(sorted(rows, key=lambda row: row.cell))


def flat(row: Row) -> dict[str, Any]:
    """The row as one record; parts that are None leave their columns null."""
    record: dict[str, Any] = {"key": row.cell.key}
    for name, value in vars(row).items():
        if name not in _PARTS:
            record[name] = value
            continue
        for field in fields(_PARTS[name]):
            record[_column(name, field.name)] = (
                None if value is None else getattr(value, field.name)
            )
    return record


def _row(record: dict[str, Any]) -> Row:
    given: dict[str, Any] = {}
    for field in fields(Row):
        part = _PARTS.get(field.name)
        if part is None:
            given[field.name] = _frozen(record[field.name])
            continue
        values = {f.name: _frozen(record[_column(field.name, f.name)]) for f in fields(part)}
        missing = field.name in ("draw", "metrics") and all(v is None for v in values.values())
        given[field.name] = None if missing else part(**values)
    return Row(**given)


def _column(part: str, field: str) -> str:
    """The column of a field: alone for cell, metrics and costs, else behind its part's name."""
    return field if part in ("cell", "metrics", "costs") else f"{part}_{field}"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _schema() -> Any:
    """Arrow's types of the columns, from the dataclasses."""
    import pyarrow as pa

    simple = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}

    def arrow(hint: Any) -> Any:
        if isinstance(hint, types.UnionType):
            (hint,) = (h for h in typing.get_args(hint) if h is not type(None))
        if typing.get_origin(hint) is tuple:
            return pa.list_(simple[typing.get_args(hint)[0]])
        return simple[hint]

    def columns() -> Iterator[tuple[str, Any]]:
        yield "key", pa.string()
        for name, hint in typing.get_type_hints(Row).items():
            if name not in _PARTS:
                yield name, arrow(hint)
                continue
            for inner, inner_hint in typing.get_type_hints(_PARTS[name]).items():
                yield _column(name, inner), arrow(inner_hint)

    return pa.schema(list(columns()))


def _path(out: Path, key: str) -> Path:
    return out / FOLDER / f"{key}.parquet"
