"""A TensorFlow Lite Micro that the user has built: its library for a board's core, and its headers.

vadgen compiles nothing of it. The user names a folder in which TFLM's own makefile made its target
`microlite`; the library is chosen among those below it by what its objects say they were made for.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vadgen.board import Board, Tool
from vadgen.build.tools import find_program, missing_error, require_tools, tool_is_here
from vadgen.errors import Exit, VadgenError

ARCHIVE = "libtensorflow-microlite.a"
HEADER = "tensorflow/lite/micro/micro_interpreter.h"
CXX_FLAGS = ("-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
DEFINES = ("-DTF_LITE_STATIC_MEMORY",)
"""As TFLM's makefile has it: the layout of its structures depends on it."""

# Where a tree keeps what its headers include: the repository's own, and create_tflm_tree.py's.
_THIRD_PARTY = ("tensorflow/lite/micro/tools/make/downloads", "third_party")
_CXX_PACKAGES = {"": "g++", "arm-none-eabi-": "libstdc++-arm-none-eabi-newlib"}
_MAGIC = b"!<arch>\n"
_MEMBER_BYTES = 60

# Tag_CPU_arch of the ABI's build attributes, each able to run what stands before it.
_ARM_CORES = {11: "v6-M", 12: "v6S-M", 10: "v7-M", 13: "v7E-M", 17: "v8-M", 21: "v8.1-M"}
_ARM_ORDER = tuple(_ARM_CORES)
_MACHINES = {"cortex": "EM_ARM", "xtensa": "EM_XTENSA", "rv": "EM_RISCV"}
_CORTEX = {"m3": 10, "m4": 13, "m7": 13, "m33": 17, "m55": 21}


@dataclass(frozen=True)
class Abi:
    """What an object was compiled for; None where it is not known.

    Attributes:
        machine: ELF's name, as in "EM_ARM".
        bits: 32 or 64.
        core: Arm's Tag_CPU_arch.
        hard_float: floats are passed in the FPU's registers.
        fpu: Arm's Tag_FP_arch, 0 for none.
        single: the FPU has single precision only.
        helium: Arm's Tag_MVE_arch, 0 for none.
    """

    machine: str
    bits: int | None = None
    core: int | None = None
    hard_float: bool | None = None
    fpu: int | None = None
    single: bool | None = None
    helium: int | None = None

    def runs(self, other: Abi) -> bool:
        """Whether code for `other` can be linked into code for this and run there."""
        if any(
            mine is not None and theirs is not None and mine != theirs
            for mine, theirs in (
                (self.machine, other.machine),
                (self.bits, other.bits),
                (self.hard_float, other.hard_float),
            )
        ):
            return False
        if self.core is not None and other.core is not None:
            if other.core not in _ARM_ORDER or self.core not in _ARM_ORDER:
                return False
            if _ARM_ORDER.index(other.core) > _ARM_ORDER.index(self.core):
                return False
        if self.single and other.fpu and not other.single:
            return False
        return all(
            mine is None or theirs is None or theirs <= mine
            for mine, theirs in ((self.fpu, other.fpu), (self.helium, other.helium))
        )

    def __str__(self) -> str:
        """For messages, as in "ARM v7E-M, hard float"."""
        text = self.machine.removeprefix("EM_")
        if self.core is not None:
            text += f" {_ARM_CORES.get(self.core, '?')}"
        if self.hard_float is not None:
            text += ", hard float" if self.hard_float else ", soft float"
        if self.fpu and self.single is not None:
            text += f" (FPU {self.fpu}{', single' if self.single else ''})"
        return text


@dataclass(frozen=True)
class Library:
    """TensorFlow Lite Micro for one board.

    Attributes:
        archive: the static library.
        includes: folders of its headers.
        abi: what the archive was compiled for.
    """

    archive: Path
    includes: tuple[Path, ...]
    abi: Abi


def find_library(folder: Path, board: Board) -> Library:
    """The library for a board, and its headers.

    Args:
        folder: a tree of TFLM or a part of it; its headers may lie above it, the library below.
        board: gives core and float ABI.

    Raises:
        VadgenError: TOOL_MISSING without a C++ compiler; what is missing or of the wrong kind.
    """
    require_cxx(board)
    includes = _includes(folder)
    found = [(path, _archive_abi(path)) for path in sorted(folder.rglob(ARCHIVE))]
    if not found:
        raise VadgenError(
            f"{folder} has no {ARCHIVE}",
            f"build TFLM's target `microlite` for {board.core} there, with its own makefile",
            Exit.TOOL_MISSING,
        )
    wanted = _board_abi(board)
    fitting = [(path, abi) for path, abi in found if wanted.runs(abi)]
    if not fitting:
        there = "; ".join(f"{abi} in {path.parent}" for path, abi in found)
        raise VadgenError(
            f"no {ARCHIVE} in {folder} is for {board.id} ({wanted}); found {there}",
            f"build TFLM's target `microlite` for {board.core} there, with its own makefile",
            Exit.TOOL_MISSING,
        )
    nearest = max(_likeness(wanted, abi) for _, abi in fitting)
    best = [(path, abi) for path, abi in fitting if _likeness(wanted, abi) == nearest]
    if len(best) > 1:
        names = " or ".join(f"--tflm {path.parent}" for path, _ in best)
        raise VadgenError(
            f"{len(best)} of {folder}'s libraries fit {board.id}", f"name one: {names}"
        )
    return Library(best[0][0], includes, best[0][1])


def require_cxx(board: Board) -> None:
    """Checks that the board's C++ compiler is here; boards of PlatformIO's platforms bring theirs.

    Raises:
        VadgenError: TOOL_MISSING; names the package, or says that there is none.
    """
    if board.toolchain is None:
        return
    require_tools(board)
    prefix = board.toolchain.prefix
    package = _CXX_PACKAGES.get(prefix)
    if package is None:
        raise VadgenError(
            f"no package has a C++ library for {prefix}gcc, which {board.id} needs for TFLM",
            "leave --runtime tflm out, or take another board",
            Exit.TOOL_MISSING,
        )
    if not tool_is_here("libstdc++.a", f"{prefix}g++", board.toolchain.flags):
        raise missing_error([Tool(f"{prefix}g++ with libstdc++.a", package)])


def copy_library(library: Library, board: Board, glue: Path, project: Path) -> None:
    """Copies the archive, and those headers that the glue includes, into `project/tflm`.

    Args:
        library: as found.
        board: names the compiler.
        glue: C++ that includes them.
        project: the firmware project, whose `generated` the glue includes, too.

    Raises:
        VadgenError: a header is missing.
    """
    target = project / "tflm"
    (target / "include").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(library.archive, target / ARCHIVE)
    own = [glue.parent, *sorted((project / "lib").glob("*/include"))]
    for path in _dependencies(library, board, glue, own):
        roots = [root for root in library.includes if path.is_relative_to(root)]
        if roots:
            copy = target / "include" / path.relative_to(max(roots, key=lambda r: len(r.parts)))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _dependencies(
    library: Library, board: Board, glue: Path, own: Sequence[Path]
) -> Iterator[Path]:
    """Files that the glue includes, as its compiler finds them."""
    prefix = board.toolchain.prefix if board.toolchain else _a_prefix(board)
    compiler = find_program(f"{prefix}g++", _CXX_PACKAGES[prefix])
    folders = [f"-I{folder}" for folder in (*library.includes, *own)]
    flags = board.toolchain.flags if board.toolchain else ()
    command = [str(compiler), *flags, *CXX_FLAGS, *DEFINES, *folders, "-M", str(glue)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = done.stderr.splitlines()
        first = next((line for line in lines if "error" in line), "no message")
        raise VadgenError(
            f"TFLM's headers cannot be included: {first}",
            "give --tflm the tree that the library was built in, whole",
        )
    names = done.stdout.partition(": ")[2].replace("\\\n", " ").split()
    yield from (Path(name) for name in names)


def _a_prefix(board: Board) -> str:
    """Of a compiler that reads headers like the one that PlatformIO brings for the board."""
    arm = "arm-none-eabi-"
    return arm if board.core.startswith("cortex") and shutil.which(f"{arm}g++") else ""


def _includes(folder: Path) -> tuple[Path, ...]:
    folder = folder.resolve()
    root = next((f for f in (folder, *folder.parents) if (f / HEADER).is_file()), None)
    if root is None:
        raise VadgenError(
            f"{folder} is no tree of TensorFlow Lite Micro: it has no {HEADER}",
            "give --tflm the tree in which its makefile built the target `microlite`",
        )
    for third in _THIRD_PARTY:
        if (root / third / "flatbuffers" / "include").is_dir():
            more = ("flatbuffers/include", "gemmlowp", "ruy")
            return (root, *(root / third / name for name in more))
    raise VadgenError(
        f"{root} lacks the headers of flatbuffers, gemmlowp and ruy",
        f"TFLM's makefile downloads them to {root / _THIRD_PARTY[0]}",
    )


def _likeness(wanted: Abi, abi: Abi) -> tuple[int, ...]:
    """Greater for a library that uses more of what the core can do."""
    return (
        _ARM_ORDER.index(abi.core) if abi.core in _ARM_ORDER else 0,
        abi.fpu or 0,
        abi.helium or 0,
        sum(getattr(wanted, f.name) == getattr(abi, f.name) for f in fields(Abi)),
    )


def _board_abi(board: Board) -> Abi:
    """As the board's own compiler makes objects; for PlatformIO's boards, what their core says."""
    if board.toolchain is None:
        family, _, name = board.core.partition("-")
        core = _CORTEX.get(name) if family == "cortex" else None
        machine = next((m for start, m in _MACHINES.items() if family.startswith(start)), family)
        return Abi(machine, core=core)
    compiler = find_program(f"{board.toolchain.prefix}gcc", board.packages[0])
    with tempfile.TemporaryDirectory(prefix="vadgen-") as name:
        source, made = Path(name) / "empty.c", Path(name) / "empty.o"
        source.write_text("float vad_float(float x) { return x; }\n", encoding="utf-8")
        flags = [*board.toolchain.flags, "-c", str(source), "-o", str(made)]
        subprocess.run([str(compiler), *flags], check=True, capture_output=True)
        abi = _object_abi(made.read_bytes())
    assert abi is not None, "the compiler makes ELF objects"
    return abi


def _archive_abi(path: Path) -> Abi:
    """Of the archive's first object.

    Raises:
        VadgenError: it is no archive, or holds no object.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) == _MAGIC:
                while len(head := stream.read(_MEMBER_BYTES)) == _MEMBER_BYTES:
                    size = int(head[48:58])
                    abi = _object_abi(stream.read(size))
                    if abi is not None:
                        return abi
                    stream.seek(size % 2, io.SEEK_CUR)
    except (OSError, ValueError):
        pass
    raise VadgenError(
        f"{path} is no library of compiled objects", "build TFLM's target `microlite` again"
    )


def _object_abi(data: bytes) -> Abi | None:
    """None for what is no ELF file, such as an archive's own index."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    if not data.startswith(b"\x7fELF"):
        return None
    try:
        elf = ELFFile(io.BytesIO(data))
        machine, bits = elf.header.e_machine, elf.elfclass
        if machine != "EM_ARM":
            return Abi(machine, bits)
        tags = dict(_arm_tags(elf.get_section_by_name(".ARM.attributes")))
    except ELFError:
        return None
    return Abi(
        machine,
        bits,
        tags.get("TAG_CPU_ARCH"),
        tags.get("TAG_ABI_VFP_ARGS", 0) == 1,
        tags.get("TAG_FP_ARCH", 0),
        tags.get("TAG_ABI_HARDFP_USE", 0) == 1,
        tags.get("TAG_MVE_ARCH", 0),
    )


def _arm_tags(section: Any) -> Iterator[tuple[str, int]]:
    """Numbers of the build attributes, by tag."""
    if section is None:
        return
    for subsection in section.iter_subsections():
        for subsubsection in subsection.iter_subsubsections():
            for attribute in subsubsection.iter_attributes():
                if isinstance(attribute.value, int):
                    yield attribute.tag, attribute.value
