"""The Jinja2 environment of all C templates: strict, deterministic, with `assert` and tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jinja2
import numpy as np
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from numpy.typing import NDArray

from vadgen import paths

_LINE = 100


class AssertExtension(Extension):
    """`{% assert condition, "message" %}` stops rendering with the message."""

    tags = {"assert"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Turns the statement into a call of `_check`."""
        line = next(parser.stream).lineno
        condition = parser.parse_expression()
        message: nodes.Expr = nodes.Const("assertion failed")
        if parser.stream.skip_if("comma"):
            message = parser.parse_expression()
        check = self.call_method("_check", [condition, message])
        return nodes.CallBlock(check, [], [], []).set_lineno(line)

    def _check(self, condition: object, message: str, caller: Callable[[], str]) -> str:
        if not condition:
            raise AssertionError(message)
        return ""


def c_table(values: NDArray[Any], indent: int = 4) -> str:
    """Integers separated by commas, wrapped to 100 columns, without a trailing comma."""
    lines: list[str] = []
    pad = " " * indent
    line = pad
    texts = [c_int(int(v)) for v in np.asarray(values).reshape(-1).tolist()]
    for i, text in enumerate(texts):
        piece = text + ("," if i + 1 < len(texts) else "")
        if len(line) + len(piece) > _LINE and line != pad:
            lines.append(line.rstrip())
            line = pad
        line += piece + " "
    lines.append(line.rstrip())
    return "\n".join(lines)


def c_int(value: int) -> str:
    """An integer constant that C reads with the right type: int32 minimum, unsigned, 64 bits."""
    if value == -(2**31):
        return "(-2147483647 - 1)"
    if not -(2**31) < value < 2**32:
        return f"{value}{'ULL' if value >= 2**63 else 'LL'}"
    return f"{value}u" if value >= 2**31 else str(value)


def c_byte(value: int) -> str:
    """A byte as people read digests."""
    return f"0x{value:02X}"


def c_comment(text: str) -> str:
    """Text that cannot end a comment."""
    return text.replace("*/", "* /").replace("\n", " ")


@functools.cache
def environment() -> jinja2.Environment:
    """The environment, with its templates compiled once; their names are paths below templates/."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(paths.templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        extensions=[AssertExtension],
    )
    env.filters["c_table"] = c_table
    env.filters["c_int"] = c_int
    env.filters["c_byte"] = c_byte
    env.filters["c_comment"] = c_comment
    return env
