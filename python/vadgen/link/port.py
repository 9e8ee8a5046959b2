"""A serial line by its name: `/dev/ttyUSB0`, `COM3` or `socket://host:port`."""

from __future__ import annotations

import os
import re
from types import TracebackType
from typing import Any

from vadgen.errors import Exit, VadgenError
from vadgen.link.messages import BAUD

_WRITE_SECONDS = 30.0
_AT_ONCE = 1 << 16


def is_port(name: str) -> bool:
    """Whether a name can be one of a port: it has a slash, or is that of a port of Windows."""
    return "/" in name or re.fullmatch(r"COM\d+", name, re.IGNORECASE) is not None


def only_port() -> str:
    """Name of the serial port of this computer, where there is just one.

    Raises:
        VadgenError: none, or several.
    """
    from serial.tools import list_ports

    names: list[str] = sorted(port.device for port in list_ports.comports() if port.hwid != "n/a")
    if len(names) != 1:
        found = "no serial port" if not names else f"several serial ports: {', '.join(names)}"
        raise VadgenError(f"there is {found}", "attach the board, or name its port with --port")
    return names[0]


class Port:
    """An open line.

    Args:
        name: as in the module's description.

    Raises:
        VadgenError: it cannot be opened.
    """

    def __init__(self, name: str) -> None:
        try:
            import serial
        except ModuleNotFoundError:
            raise VadgenError(
                "the Python package 'pyserial' is not installed",
                "pip install pyserial",
                Exit.TOOL_MISSING,
            ) from None
        if name.startswith("socket:") and not re.fullmatch(r"socket://[^/]+:\d{1,5}", name):
            raise VadgenError(
                f"{name} cannot be opened: it is no address", "write it as socket://host:port"
            )
        self.name = name
        self._errors = (serial.SerialException, OSError)
        try:
            self._serial: Any = serial.serial_for_url(
                name, baudrate=BAUD, write_timeout=_WRITE_SECONDS
            )
        except (*self._errors, ValueError) as error:
            raise VadgenError(
                f"{name} cannot be opened: {_reason(error)}",
                "is the board attached, or `vadgen emulate` running, and does no other program "
                "use the port?",
            ) from None

    def read(self, seconds: float) -> bytes:
        """What has come, at least one byte; nothing when none comes in that time.

        Raises:
            VadgenError: the line is gone.
        """
        try:
            self._serial.timeout = seconds
            data: bytes = self._serial.read(1)
            if data:
                self._serial.timeout = 0
                data += self._serial.read(_AT_ONCE)
        except self._errors as error:
            raise self._lost(error) from None
        return data

    def write(self, data: bytes) -> None:
        """Sends all of it.

        Raises:
            VadgenError: the line is gone, or takes nothing for a long time.
        """
        try:
            self._serial.write(data)
        except self._errors as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """Closes the line."""
        self._serial.close()

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lost(self, error: Exception) -> VadgenError:
        return VadgenError(
            f"{self.name} was lost: {_reason(error)}",
            "check the cable, then the same command again",
        )


def _reason(error: Exception) -> str:
    """The system's words where pyserial wraps them."""
    numbers = re.findall(r"\[Errno (\d+)\]", str(error))
    return os.strerror(int(numbers[-1])) if numbers else str(error) or type(error).__name__
