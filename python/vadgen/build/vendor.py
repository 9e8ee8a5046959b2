"""Libraries of chips' vendors that kernel sets call: where a build finds them.

Their code is no part of vadgen. On boards of ESP-IDF its component manager brings a library in the
version that is named here; elsewhere an environment variable names a folder in which whoever builds
has one compiled for the core: headers in `include`, the archive beside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vadgen.board import Board
from vadgen.errors import Exit, VadgenError


@dataclass(frozen=True)
class Vendor:
    """A library that a kernel set calls.

    Attributes:
        kernels: the kernel set; `vad_<kernels>` in `firmware/lib` holds its C.
        title: of the library.
        variable: of the environment, names the folder.
        header: in `include`.
        library: its name for the linker; the archive is `lib<library>.a`.
        defines: flags by which its header shows the loops that its own build system would choose.
        component: ESP-IDF's name of it, "" where it has none.
        version: of the component that was tried, as its manager reads it.
    """

    kernels: str
    title: str
    variable: str
    header: str
    library: str
    defines: tuple[str, ...] = ()
    component: str = ""
    version: str = ""

    @property
    def folder(self) -> str:
        """Our library that calls it."""
        return f"vad_{self.kernels}"

    def find(self) -> Path:
        """The folder that the environment names.

        Raises:
            VadgenError: TOOL_MISSING; no folder is named, or it holds no such library.
        """
        named = os.environ.get(self.variable)
        wants = f"a folder with include/{self.header} and lib{self.library}.a, for the board's core"
        if not named:
            raise VadgenError(
                f"the kernel set {self.kernels} calls {self.title}, which is not here",
                f"set {self.variable} to {wants}",
                Exit.TOOL_MISSING,
            )
        folder = Path(named).resolve()
        files = (folder / "include" / self.header, folder / f"lib{self.library}.a")
        missing = [path for path in files if not path.is_file()]
        if missing:
            raise VadgenError(
                f"{self.variable}: no file {missing[0]}", f"name {wants}", Exit.TOOL_MISSING
            )
        return folder


VENDORS = (
    Vendor("cmsis_nn", "CMSIS-NN", "VADGEN_CMSIS_NN", "arm_nnfunctions.h", "cmsis-nn"),
    Vendor(
        *("esp_nn", "ESP-NN", "VADGEN_ESP_NN", "esp_nn.h", "esp-nn"),
        defines=("-DCONFIG_NN_OPTIMIZED=1",),
        component="espressif/esp-nn",
        version="1.2.3",
    ),
)


def vendors_of(board: Board) -> tuple[Vendor, ...]:
    """Of the kernel sets that the board uses."""
    return tuple(vendor for vendor in VENDORS if vendor.kernels in board.kernels)


def components_of(board: Board) -> tuple[Vendor, ...]:
    """Those that ESP-IDF's component manager brings."""
    if board.platformio.framework != "espidf":
        return ()
    return tuple(vendor for vendor in vendors_of(board) if vendor.component)


def linked_by(board: Board) -> tuple[Vendor, ...]:
    """Those that whoever builds has compiled."""
    brought = components_of(board)
    return tuple(vendor for vendor in vendors_of(board) if vendor not in brought)
