"""The C header of the link's messages, and what tells one firmware from another."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from vadgen import __version__
from vadgen.emit.environment import environment
from vadgen.link import messages as link

HEADER = Path("firmware/lib/vad_link/include/vad_link_messages.h")
"""Where the header stands in a checkout."""


@dataclass(frozen=True)
class Identity:
    """What a firmware says of itself.

    Attributes:
        board: id of the board.
        model: 32 bytes, the same for all firmware of one model.
        tests: digests that the built-in images must give (see `vadgen.link.patterns`).
    """

    board: str = ""
    model: bytes = bytes(32)
    tests: tuple[int, ...] = ()


UNKNOWN = Identity()
"""Of code that is made for this computer alone."""


@dataclass(frozen=True)
class _Message:
    name: str
    macro: str
    kind: int
    note: str
    fields: tuple[link.Field, ...]
    bytes: int
    rest: str
    is_request: bool


def messages_header() -> str:
    """`vad_link_messages.h`."""
    messages = [_message(kind) for kind in link.MESSAGES]
    return (
        environment()
        .get_template("vad_link_messages.h.j2")
        .render(
            version=link.VERSION,
            baud=link.BAUD,
            head_bytes=link.HEAD.size,
            crc_bytes=link.CRC_BYTES,
            max_window=link.MAX_WINDOW,
            wants=[want for want in link.Want if want],
            codes=list(link.Code),
            texts=link.CODE_TEXT,
            messages=messages,
            request_bytes=max(m.bytes for m in messages if m.is_request),
        )
    )


def write_identity(out: Path, identity: Identity) -> Path:
    """Writes `vad_identity.h` into the folder of the generated C."""
    path = out / "vad_identity.h"
    template = environment().get_template("vad_identity.h.j2")
    text = template.render(version=__version__, identity=identity)
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _message(kind: type[link.Message]) -> _Message:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
    note = "\n * ".join(textwrap.wrap(" ".join((kind.__doc__ or "").split()), 94))
    layout = link.LAYOUTS[kind]
    return _Message(
        name,
        name.upper(),
        kind.KIND,
        note,
        layout.fields,
        layout.struct.size,
        layout.rest,
        kind.KIND < 0x80,
    )
