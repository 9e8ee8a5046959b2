"""The command line: the only place that prints and that knows exit codes.

A verb reads its arguments, calls one function of the pipeline, and hands back the object that
`--json` prints; `render` makes the lines for people from the same object. Standard output holds
the result alone, everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from vadgen import __version__, render
from vadgen.errors import Exit, VadgenError
from vadgen.progress import PlainProgress, Progress, RichProgress, open_progress
from vadgen.recipe import Key, keys, nearest, read_flag, read_recipe

if TYPE_CHECKING:
    from vadgen.board import Board

Object = Mapping[str, Any]

_IS_MODULE = Path(sys.argv[0]).parts[-2:] == ("vadgen", "__main__.py")
_COMMAND = "python -m vadgen" if _IS_MODULE else "vadgen"


@dataclass(frozen=True)
class Verb:
    """One verb of the command line.

    Attributes:
        name: as typed.
        help: what it does, for the list of verbs.
        example: a command that works, shown by `--help`.
        arguments: adds the verb's arguments.
        run: does the work and returns the object that `--json` prints.
        lines: the same for people.
    """

    name: str
    help: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Progress], Object]
    lines: Callable[[Object, render.Paint], list[str]]


class _Parser(argparse.ArgumentParser):
    """Argument errors are errors like all others."""

    def error(self, message: str) -> NoReturn:
        raise VadgenError(message, f"`{self.prog} --help` shows what it takes")


# --- the verbs ------------------------------------------------------------------------------------


def _boards_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--add",
        metavar="ID",
        help="draft a board from PlatformIO's description: its name there, or the JSON file",
    )


def _boards(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen.board import list_boards, load_board

    if args.add is not None:
        from vadgen.build.drafts import add_board, draft_board

        draft = draft_board(args.add)
        path = add_board(draft)
        return {"boards": [_board(draft.board)], "added": str(path), "notes": list(draft.notes)}
    return {"boards": [_board(load_board(name)) for name in list_boards()]}


def _board(board: Board) -> Object:
    """A board as `boards` tells it; `missing` says how to get the tools that are not here."""
    from vadgen.board import UNLIMITED
    from vadgen.build.platformio import platform_is_installed
    from vadgen.build.tools import missing_error, missing_tools

    missing = missing_tools(board)
    why = missing_error(missing).hint if missing else None
    if not missing and not platform_is_installed(board):
        why = f"PlatformIO fetches {board.platformio.platform} at the first build"
    return {
        "id": board.id,
        "title": board.title,
        "core": board.core,
        "flash_bytes": None if board.flash_bytes == UNLIMITED else board.flash_bytes,
        "ram_bytes": None if board.ram_bytes == UNLIMITED else board.ram_bytes,
        "built_with": f"{board.toolchain.prefix}gcc"
        if board.toolchain
        else board.platformio.platform,
        "emulator": board.emulator and f"{board.emulator.binary} -M {board.emulator.machine}",
        "tools": why is None,
        "missing": why,
    }


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", metavar="FILE", type=Path, help="TOML file; flags go before it")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="where to write (default: build/BOARD)"
    )
    parser.add_argument(
        "--from-row", metavar="DIR:ROW", help="build a row of a study; flags go before it"
    )
    titles = {
        "": "recipe (a key of the same name stands in FILE)",
        "padim": "PaDiM",
        "patchcore": "PatchCore",
        "student": "STFPM, PaSTe and CFA",
        "memory": "memory bank",
    }
    groups = {table: parser.add_argument_group(title) for table, title in titles.items()}
    for key in keys():
        options: dict[str, Any] = {"dest": key.dotted, "help": key.help, "default": None}
        if key.rule.is_switch:
            options |= {"action": "store_const", "const": True}
        else:
            options["metavar"] = key.rule.metavar
        groups[key.table].add_argument(key.flag, **options)


def _build(args: argparse.Namespace, progress: Progress) -> Object:
    given = vars(args)
    flags = {k.dotted: given[k.dotted] for k in keys() if given[k.dotted] is not None}
    from vadgen import pipeline

    if args.from_row is not None:
        if args.recipe is not None:
            raise VadgenError("--recipe and --from-row both say what to build", "give one of them")
        recipe, training = pipeline.open_row(args.from_row, flags)
        return pipeline.build(recipe, args.out, progress, training).to_json()
    recipe = read_recipe(args.recipe, flags)
    return pipeline.build(recipe, args.out, progress).to_json()


def _compile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL.tflite", type=Path, help="int8 network")
    parser.add_argument("--board", required=True, help="board to compile for")
    parser.add_argument("--out", metavar="DIR", type=Path, help="where to write")
    parser.add_argument("--explain", action="store_true", help="show how each operator is run")
    for key in _shared_keys():
        parser.add_argument(key.flag, dest=key.name, metavar=key.rule.metavar, help=key.help)


_SHARED = ("kernels", "flash_budget", "ram_budget", "runtime", "tflm")


def _shared_keys() -> list[Key]:
    """Keys of a recipe that `compile` takes, too."""
    return [key for key in keys() if key.name in _SHARED]


def _compile(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    given = {k.name: (k, getattr(args, k.name)) for k in _shared_keys()}
    budgets: dict[str, Any] = {
        name: read_flag(key, text) for name, (key, text) in given.items() if text is not None
    }
    result = pipeline.compile_model(
        args.model, args.board, args.out, progress, args.explain, **budgets
    )
    return result.to_json()


def _out_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="what a build wrote")


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument(
        "--on",
        default="auto",
        metavar="host|emulator|PORT",
        help="what to compare (default: the emulator where the board has one, else the host)",
    )


def _verify(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.verify(args.out, args.on, progress).to_json()


def _infer_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="picture to score")
    parser.add_argument(
        "--on",
        default="host",
        metavar="reference|host|emulator|PORT",
        help="what scores them (default: host)",
    )
    parser.add_argument("--map", metavar="DIR", type=Path, help="write heat maps there")


def _infer(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.infer(args.out, args.images, args.on, args.map).to_json()


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="labelled set")
    parser.add_argument(
        "--on",
        default="host",
        metavar="reference|host|emulator|PORT",
        help="what scores the images (default: host)",
    )


def _evaluate(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.evaluate(args.out, args.data, args.on, progress).to_json()


def _counts(text: str) -> tuple[int, ...]:
    """Whole numbers above 0, separated by commas."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as 500,1000")
    return numbers


def _size_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument(
        "--codes",
        metavar="N,N",
        type=_counts,
        default=(),
        help="what memory banks of so many rows would take, such as 500,1000",
    )
    parser.add_argument(
        "--candidates",
        metavar="K,K",
        type=_counts,
        default=(),
        help="the same for a two-phase search with so many candidates",
    )


def _size(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.size(args.out, args.codes, args.candidates).to_json()


def _port_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument("--port", help="serial port, such as /dev/ttyUSB0 (default: the only one)")


def _flash_arguments(parser: argparse.ArgumentParser) -> None:
    _port_arguments(parser)
    parser.add_argument(
        "--ports", metavar="A,B,C", type=_names, help="several boards, one after another"
    )
    parser.add_argument(
        "--no-check", action="store_true", help="do not ask the board afterwards what it runs"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _flash(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    ports = args.ports or (args.port,)
    return pipeline.flash(args.out, ports, progress, not args.no_check).to_json()


def _monitor_arguments(parser: argparse.ArgumentParser) -> None:
    _port_arguments(parser)
    parser.add_argument("--seconds", type=float, help="end after that time (default: at Ctrl-C)")


def _monitor(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.monitor(args.out, args.port, args.seconds, progress).to_json()


def _device_arguments(parser: argparse.ArgumentParser) -> None:
    _port_arguments(parser)
    parser.add_argument(
        "--threshold", metavar="SCORE", type=int, help="set the score above which is a defect"
    )
    parser.add_argument("--self-test", action="store_true", help="run the images built into it")
    parser.add_argument("--reset", action="store_true", help="first forget counters and threshold")


def _device(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    given = args.threshold, args.self_test, args.reset
    return pipeline.device(args.out, args.port, *given).to_json()


def _emulate_arguments(parser: argparse.ArgumentParser) -> None:
    _out_argument(parser)
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:5555",
        help="where its serial port answers (default: 127.0.0.1:5555)",
    )


def _emulate(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.emulate(args.out, args.listen, progress).to_json()


def _study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["pq"], help="pq: product quantization and its search")
    _out_argument(parser)
    parser.add_argument("--data", metavar="DIR", type=Path, required=True, help="labelled set")
    parser.add_argument(
        "--out", dest="to", metavar="DIR", type=Path, help="where to write (default: OUT-pq)"
    )
    for flag, metavar, text in (
        ("--codes", "N,N", "rows of the banks (default: 300,500,1000,2000)"),
        ("--candidates", "K,K", "candidates of the two-phase search (default: 1 to 1000)"),
        ("--subspaces", "M,M", "subspaces; the first is swept over all N and K (default: 16,8,44)"),
        ("--bits", "B,B", "bits of a code; the same (default: 8,4)"),
    ):
        parser.add_argument(flag, metavar=metavar, type=_counts, default=(), help=text)


def _study(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen.pipeline.study import Sweep, study_pq

    sweep = Sweep(args.codes, args.candidates, args.subspaces, args.bits)
    return study_pq(args.out, args.data, sweep, args.to, progress).to_json()


def _listed(text: str) -> tuple[str, ...]:
    """Names between commas."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise argparse.ArgumentTypeError("a list of names between commas is wanted")
    return tuple(dict.fromkeys(names))


def _shares(text: str) -> tuple[float, ...]:
    """Shares from 0 to 1 between commas."""
    try:
        values = tuple(float(name) for name in _listed(text))
    except ValueError:
        values = (math.nan,)
    if not all(0 <= value <= 1 for value in values):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of shares such as 0,0.1,0.2")
    return values


def _seeds(text: str) -> tuple[int, ...]:
    """Seeds between commas."""
    try:
        values = tuple(int(name) for name in _listed(text))
    except ValueError:
        values = (-1,)
    if not all(0 <= value < 2**32 for value in values):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of seeds such as 0,1,2")
    return values


def _weights(text: str) -> tuple[str, Path]:
    """BACKBONE=FILE, or FILE for all others."""
    name, equals, file = text.partition("=")
    return (name, Path(file)) if equals else ("", Path(text))


def _benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=["report"], help="write tables and plots of a study")
    add("study", metavar="DIR", nargs="?", type=Path, help="study to report on (default: --out)")
    add("--data", metavar="ROOT", nargs="+", type=Path, default=[], help="roots of data sets")
    add(
        "--datasets",
        type=_listed,
        default=("mvtec",),
        metavar="LIST",
        help="of mvtec, visa, realiad, elpv, folder (default: mvtec)",
    )
    add("--categories", type=_listed, default=(), metavar="LIST", help="parts (default: all)")
    add("--views", type=_listed, default=None, metavar="LIST", help="Real-IAD's cameras: C1,C2")
    add(
        "--backbones",
        type=_listed,
        default=("efficientnet_lite0",),
        metavar="LIST",
        help="networks, each with @WIDTH if wanted (default: efficientnet_lite0)",
    )
    add(
        "--detectors",
        type=_listed,
        default=("padim", "padim_diagonal", "patchcore"),
        metavar="LIST",
        help="ways to detect, those that are trained with @EPOCHS if wanted "
        "(default: padim,padim_diagonal,patchcore)",
    )
    add(
        "--contamination",
        type=_shares,
        default=(0.0,),
        metavar="LIST",
        help="anomalies to move into the training set, as shares of it (default: 0)",
    )
    add("--seeds", type=_seeds, default=(0, 1, 2), metavar="LIST", help="default: 0,1,2")
    add("--input", type=int, default=224, metavar="SIZE", help="side in pixels (default: 224)")
    add("--guard", action="store_true", help="also with suspicious training pictures dropped")
    add(
        "--weights",
        type=_weights,
        action="append",
        default=[],
        metavar="[BACKBONE=]FILE",
        help="weights of a backbone, or `random`; may be given again",
    )
    add("--board", default="qemu_m7", help="that integer detectors are measured for")
    add("--out", metavar="DIR", type=Path, default=Path("build/study"), help="folder of the study")
    add("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    add("--dask", metavar="ADDRESS", help="run on a Dask cluster: tcp://host:8786")


def _benchmark(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline
    from vadgen.data.realiad import VIEWS
    from vadgen.pipeline.benchmark import Sweep

    if args.action is not None:
        return pipeline.report(args.study or args.out, progress).to_json()
    if not 32 <= args.input <= 512 or args.workers < 1:
        raise VadgenError("--input is 32 to 512, --workers at least 1", "give other numbers")
    return pipeline.benchmark(
        Sweep(
            roots=tuple(args.data),
            datasets=args.datasets,
            categories=args.categories,
            views=args.views or VIEWS,
            backbones=args.backbones,
            detectors=args.detectors,
            contamination=args.contamination,
            seeds=args.seeds,
            input=args.input,
            guard=args.guard,
            weights=tuple(args.weights),
            board=args.board,
            out=args.out,
            workers=args.workers,
            dask=args.dask,
        ),
        progress,
    ).to_json()


def _clean_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "out",
        metavar="OUT",
        nargs="?",
        type=Path,
        help="one build (default: all of build/ and the cache)",
    )


def _clean(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.clean(args.out).to_json()


def _demo_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="new folder to write it to")
    parser.add_argument("--seed", type=int, default=0, help="seed of the painted defects")


def _demo_data(args: argparse.Namespace, progress: Progress) -> Object:
    from vadgen import pipeline

    return pipeline.demo_data(args.directory, args.seed, progress).to_json()


VERBS = (
    Verb(
        "boards",
        "list boards: core, memory, how each is built, whether its tools are here",
        "%(prog)s",
        _boards_arguments,
        _boards,
        render.render_boards,
    ),
    Verb(
        "build",
        "turn a folder of good images into firmware that finds bad ones",
        "%(prog)s --board qemu_m7 --data photos/good",
        _build_arguments,
        _build,
        render.render_build,
    ),
    Verb(
        "compile",
        "turn an int8 .tflite network into C, without a detector",
        "%(prog)s network.tflite --board qemu_m7 --explain",
        _compile_arguments,
        _compile,
        render.render_compile,
    ),
    Verb(
        "verify",
        "compare taps, cells, score and decision byte by byte",
        "%(prog)s build/qemu_m7 --on emulator",
        _verify_arguments,
        _verify,
        render.render_verify,
    ),
    Verb(
        "infer",
        "score pictures and draw their heat maps",
        "%(prog)s build/qemu_m7 photo.png --map maps",
        _infer_arguments,
        _infer,
        render.render_infer,
    ),
    Verb(
        "evaluate",
        "measure the shipped integer model on a labelled set",
        "%(prog)s build/qemu_m7 --data mvtec/transistor",
        _evaluate_arguments,
        _evaluate,
        render.render_evaluate,
    ),
    Verb(
        "size",
        "show flash and RAM by part against the board's budget",
        "%(prog)s build/qemu_m7",
        _size_arguments,
        _size,
        render.render_size,
    ),
    Verb(
        "flash",
        "put the firmware on the board",
        "%(prog)s build/esp32s3 --port /dev/ttyUSB0",
        _flash_arguments,
        _flash,
        render.render_flash,
    ),
    Verb(
        "monitor",
        "show the scores of a board that scores images of its own",
        "%(prog)s build/esp32s3 --port /dev/ttyUSB0",
        _monitor_arguments,
        _monitor,
        render.render_fields,
    ),
    Verb(
        "study",
        "sweep memory banks of a built model's features, and plot them",
        "%(prog)s pq build/qemu_m7 --data mvtec/transistor",
        _study_arguments,
        _study,
        render.render_study,
    ),
    Verb(
        "benchmark",
        "compare backbones and detectors on data sets; tables and plots",
        "%(prog)s --data mvtec --backbones mobilenet_v2 --out study",
        _benchmark_arguments,
        _benchmark,
        render.render_benchmark,
    ),
    Verb(
        "device",
        "ask an attached board what it is and counted; set its threshold; test it",
        "%(prog)s build/esp32s3 --port /dev/ttyUSB0 --self-test",
        _device_arguments,
        _device,
        render.render_device,
    ),
    Verb(
        "emulate",
        "run the firmware on its emulator, with its serial port on a TCP socket",
        "%(prog)s build/qemu_m7 --listen 127.0.0.1:5555",
        _emulate_arguments,
        _emulate,
        render.render_fields,
    ),
    Verb(
        "clean",
        "remove build outputs and caches",
        "%(prog)s build/qemu_m7",
        _clean_arguments,
        _clean,
        render.render_fields,
    ),
    Verb(
        "demo-data",
        "write the demo set as a folder of images",
        "%(prog)s demo",
        _demo_data_arguments,
        _demo_data,
        render.render_fields,
    ),
)


# --- from the arguments to the exit code ----------------------------------------------------------


def _format(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=render.WIDTH)


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog=_COMMAND,
        description="From a folder of good pictures to a microcontroller that finds the bad ones.",
        epilog="start with:\n  %(prog)s build --board qemu_m7",
        formatter_class=_format,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"vadgen {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    by_name = {}
    for verb in VERBS:
        sub = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=verb.help[0].upper() + verb.help[1:] + ".",
            epilog=f"example:\n  {verb.example}",
            formatter_class=_format,
            allow_abbrev=False,
        )
        verb.arguments(sub)
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(chosen=verb)
        by_name[verb.name] = sub
    return parser, by_name


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser, by_name = _parser()
    if not argv:
        parser.print_help()
        raise SystemExit(Exit.OK)
    if not argv[0].startswith("-") and argv[0] not in by_name:
        raise VadgenError(f"unknown verb '{argv[0]}'", nearest(argv[0], by_name))
    args, extra = parser.parse_known_args(argv)
    if not args.verb:
        raise VadgenError("no verb given", "`vadgen --help` lists them")
    if extra:
        flags = by_name[args.verb]._option_string_actions
        raise VadgenError(f"unknown argument '{extra[0]}'", _flag_hint(extra[0], args.verb, flags))
    return args


def _flag_hint(given: str, verb: str, flags: Iterable[str]) -> str:
    names = [f[2:] for f in flags if f.startswith("--")]
    near = difflib.get_close_matches(given.split("=")[0].lstrip("-"), names, n=1)
    if given.startswith("--") and near:
        return f"did you mean --{near[0]}?"
    return f"`vadgen {verb} --help` shows what it takes"


def explain(error: BaseException) -> VadgenError:
    """The error as a user reads it: what happened, what to do, which exit code."""
    if isinstance(error, VadgenError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return VadgenError(
            "interrupted",
            "nothing half-written is left; the same command starts again",
            Exit.INTERRUPTED,
        )
    if isinstance(error, MemoryError):
        return VadgenError(
            "not enough memory on this computer", "close other programs, or try a smaller --input"
        )
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("vadgen"):
        return VadgenError(
            f"the Python package '{error.name}' is not installed",
            "pip install vadgen brings it; in a checkout: make setup",
            Exit.TOOL_MISSING,
        )
    if isinstance(error, OSError):
        if error.errno is None and os.strerror(errno.ENOSPC) in str(error):
            error = OSError(errno.ENOSPC, "")  # shutil.Error: a list of texts
        if error.errno is not None:
            return _explain_os(error)
    return VadgenError(
        f"fault in vadgen: {type(error).__name__}: {error}", "--debug shows where; please report it"
    )


def _explain_os(error: OSError) -> VadgenError:
    where = error.filename2 or error.filename
    where = render.short(os.fsdecode(where)) if isinstance(where, str | bytes) else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return VadgenError(
            f"the disk is full{f' (writing {where})' if where else ''}",
            "free some space, or write elsewhere with --out; VADGEN_CACHE moves the cache",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return VadgenError(
            f"no permission{f' for {where}' if where else ''}",
            "check who owns it, or write elsewhere with --out",
        )
    what = error.strerror or str(error)
    return VadgenError(f"{where}: {what}" if where else what, "check the path")


def _verdict(obj: Object) -> VadgenError | None:
    """What a finished result still has to say: parity broken, or a tool missing."""
    broken = [run for run, same in (obj.get("parity") or {}).items() if same is False]
    if broken:
        return VadgenError(
            f"parity broken: {' and '.join(broken)} differ from the reference",
            "this firmware must not be used; please report it with the recipe",
            Exit.PARITY,
        )
    if False in (obj.get("self_test") or ()):
        return VadgenError(
            "the board fails its self-test: it gives other bytes than the build expected",
            "flash it again; if it stays, its memory or its clock is at fault",
            Exit.PARITY,
        )
    failed = [board for board in obj.get("flashed") or () if board["error"]]
    if failed:
        return VadgenError(
            f"{len(failed)} of {len(obj['flashed'])} boards were not flashed; "
            f"{failed[0]['port']}: {failed[0]['error']}",
            failed[0]["hint"],
            Exit(failed[0]["code"]),
        )
    needs = obj.get("needs_tool")
    if needs:
        return VadgenError(needs["message"], needs["hint"], Exit.TOOL_MISSING)
    return None


@contextlib.contextmanager
def _only_result_on_stdout() -> Iterator[None]:
    """Send all that libraries and child processes print to standard error meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _plain(value: Any) -> Any:
    """Only what JSON can hold: no path, no numpy scalar, null in place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        # What is left in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if not isinstance(error, BrokenPipeError):
            raise


def _paint(stream: TextIO) -> render.Paint:
    colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    unicode = (stream.encoding or "ascii").lower().startswith("utf")
    return render.Paint(colour, unicode, _COMMAND)


def _report(error: VadgenError) -> None:
    """Print the two lines; commands in them are spelled as this one was."""
    paint = _paint(sys.stderr)
    message, hint = (
        " ".join(text.split()).replace("`vadgen ", f"`{_COMMAND} ")
        for text in (error.message, error.hint)
    )
    print(f"{paint.bad('error:')} {message}\n{paint.bold('hint:')} {hint}", file=sys.stderr)


def _progress() -> PlainProgress | RichProgress:
    return open_progress(sys.stderr)


def _run(argv: Sequence[str], as_json: bool) -> int:
    args = _parse(argv)
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(_only_result_on_stdout())
        progress = stack.enter_context(_progress())
        obj = _plain(args.chosen.run(args, progress))
    if as_json:
        _print(json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print("\n".join(args.chosen.lines(obj, _paint(sys.stdout))))
    verdict = _verdict(obj)
    if verdict is None:
        return Exit.OK
    _report(verdict)
    return verdict.code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    # Before numpy is loaded: BLAS's threads sleep at once when they wait, since others have work.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")
    argv = sys.argv[1:] if argv is None else argv
    as_json = "--json" in argv
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return _run(argv, as_json)
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in argv:
            traceback.print_exc()
        told = explain(error)
        _report(told)
        if as_json:
            shown = {"error": told.message, "hint": told.hint, "code": int(told.code)}
            _print(json.dumps(shown, indent=2, ensure_ascii=False))
        return told.code
