"""SCons script of the in-project platform: compiler, flags and linker script of one board."""

import os
from pathlib import Path

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
here = Path(env.PioPlatform().get_dir()).resolve()


def from_project(path: Path) -> str:
    """The path as compilers see it from the project's folder, whose own may hold spaces."""
    return os.path.relpath(path, env.subst("$PROJECT_DIR"))


prefix = board.get("build.prefix")
startup = board.get("build.startup")
flags = board.get("build.flags")
symbols = board.get("build.symbols")

env.Replace(
    AR=f"{prefix}gcc-ar",
    AS=f"{prefix}gcc",
    CC=f"{prefix}gcc",
    CXX=f"{prefix}g++",
    RANLIB=f"{prefix}gcc-ranlib",
    SIZETOOL=f"{prefix}size",
    ARFLAGS=["rcsD"],
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
    SIZEPROGREGEXP=r"^\.(?:vectors|text|rodata|ARM\.exidx|data)\s+(\d+).*",
    SIZEDATAREGEXP=r"^\.(?:stack|data|bss)\s+(\d+).*",
    SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
    SIZEPRINTCMD="$SIZETOOL -B -d $SOURCES",
)
env.Append(
    ASFLAGS=flags,
    ASPPFLAGS=["-x", "assembler-with-cpp"],
    CCFLAGS=[
        *flags,
        "-ffunction-sections",
        "-fdata-sections",
        "-g",
        # Paths of this machine stay out of the firmware.
        f"-ffile-prefix-map={env.subst('$PROJECT_DIR')}=.",
    ],
    CFLAGS=["-std=c11"],
    # Of a runtime that is C++; the rest has none.
    CXXFLAGS=["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"],
    CPPPATH=[str(here / "include")],
    LINKFLAGS=[*flags, *board.get("build.link_flags"), "-Wl,--gc-sections"],
)
if startup:
    env.Append(
        # For each object a .ci file: its calls, and the stack of each function.
        CCFLAGS=["-fcallgraph-info=su"],
        LINKFLAGS=[
            "-nostartfiles",
            f"-Wl,-Map={from_project(Path(env.subst('$BUILD_DIR')) / 'firmware.map')}",
            *(f"-Wl,--defsym={name}={value:#x}" for name, value in symbols.items()),
        ],
    )
    env.Replace(LDSCRIPT_PATH=from_project(here / startup / "link.ld"))
    for folder in ("common", startup):
        env.BuildSources(f"$BUILD_DIR/{folder}", str(here / folder))

program = env.BuildProgram()
env.AddPlatformTarget("buildprog", program, None, "Build")
AlwaysBuild(env.Alias("nobuild", program))
size = env.AddPlatformTarget(
    "size", program, env.VerboseAction("$SIZEPRINTCMD", "Measuring $SOURCE"), "Program size"
)
Default([program, size])
