"""The one exception that reaches the user, and the exit codes it carries."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every verb; other programs rely on them."""

    OK = 0
    INPUT = 1
    DOES_NOT_FIT = 2
    PARITY = 3
    TOOL_MISSING = 4
    INTERRUPTED = 130


class VadgenError(Exception):
    """Something the user can mend: what happened, what to do, and the exit code.

    Args:
        message: what happened, one line, no trailing period needed.
        hint: what to do about it, one line.
        code: process exit code, `Exit.INPUT` unless said.
    """

    def __init__(self, message: str, hint: str, code: Exit = Exit.INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
