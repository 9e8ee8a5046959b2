"""Writes `vad_link_messages.h` from the classes of `vadgen.link.messages`.

    python tools/renew_link.py

Run it after a change to a message; a test compares the file with what this would write.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python"))

from vadgen.emit.link import HEADER, messages_header  # noqa: E402

if __name__ == "__main__":
    (ROOT / HEADER).write_text(messages_header(), encoding="utf-8", newline="\n")
    print(HEADER)
