"""What to build and how: a TOML file, with command line flags over it, read into a frozen `Recipe`.

Every key is declared once, as a field with its rule and its help text; the reader, the flags of
`vadgen build` and the messages all come from that declaration.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadgen.errors import VadgenError
from vadgen.units import parse_bytes


@dataclass(frozen=True)
class Rule:
    """What a key may hold.

    Attributes:
        check: takes a TOML value, returns the field's value, raises ValueError when it is wrong.
        parse: turns a flag's text into a TOML value, raises ValueError when it cannot.
        wanted: ends the sentence "it must be ...".
        metavar: stands for the value in `--help`.
        choices: the only values allowed; empty when there are others.
        is_switch: the flag takes no value.
    """

    check: Callable[[object], object]
    parse: Callable[[str], object]
    wanted: str
    metavar: str
    choices: tuple[str, ...] = ()
    is_switch: bool = False


def _whole(least: int, most: int, step: int = 1) -> Rule:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(value)
        if not least <= value <= most or value % step:
            raise ValueError(value)
        return value

    kind = "a whole number" if step == 1 else f"a multiple of {step}"
    return Rule(check, int, f"{kind} from {least} to {most}", "N")


def _real(above: float, most: float, *, zero: bool = False) -> Rule:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(value)
        if not (above < value <= most or (zero and value == above)):
            raise ValueError(value)
        return float(value)

    bounds = f"from {above:g} to {most:g}" if zero else f"above {above:g} and at most {most:g}"
    return Rule(check, float, f"a number {bounds}", "X")


def _size() -> Rule:
    def check(value: object) -> int:
        size = parse_bytes(value)
        if size < 1024:
            raise ValueError(value)
        return size

    wanted = 'a size of at least 1024 bytes, such as 65536, "512K" or "2M"'
    return Rule(check, str, wanted, "SIZE")


def _one_of(*choices: str) -> Rule:
    def check(value: object) -> str:
        if value not in choices:
            raise ValueError(value)
        return str(value)

    listed = ", ".join(choices[:-1]) + " or " + choices[-1] if choices[1:] else choices[0]
    return Rule(check, str, listed, "|".join(choices), choices)


def _bits() -> Rule:
    def check(value: object) -> int:
        if isinstance(value, bool) or value not in (4, 8):
            raise ValueError(value)
        return int(str(value))

    return Rule(check, int, "4 or 8", "4|8")


def _text(wanted: str, metavar: str) -> Rule:
    def check(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(value)
        return value

    return Rule(check, str, wanted, metavar)


def _path(wanted: str, metavar: str) -> Rule:
    rule = _text(wanted, metavar)
    return dataclasses.replace(rule, check=lambda value: Path(str(rule.check(value))))


def _switch() -> Rule:
    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError(value)
        return value

    return Rule(check, str, "true or false", "", is_switch=True)


def _key(default: Any, rule: Rule, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"rule": rule, "help": text})


@dataclass(frozen=True)
class PadimOptions:
    """Table `[padim]`."""

    channels: int | None = _key(
        None, _whole(1, 4096), "feature channels to keep (default: as many as the flash holds)"
    )
    variant: str | None = _key(
        None,
        _one_of("diagonal", "full"),
        "covariance of a cell: its diagonal, or whole over a few dozen projected features"
        " (default: full)",
    )


@dataclass(frozen=True)
class PatchcoreOptions:
    """Table `[patchcore]`; None leaves the choice to the picker."""

    search: str = _key(
        "auto",
        _one_of("auto", "adc", "pqnn", "flat"),
        "how the nearest row of the bank is found (default: auto, the best of those that fit)",
    )
    codes: int | None = _key(None, _whole(1, 1_000_000), "rows of the memory bank")
    candidates: int | None = _key(
        None, _whole(1, 1_000_000), "rows that the coarse phase of pqnn keeps"
    )
    subspaces: int | None = _key(None, _whole(1, 1024), "subspaces of the product quantizer")
    bits: int | None = _key(None, _bits(), "bits of one code: 4 or 8")
    centroids: int | None = _key(
        None, _whole(2, 256), "centroids of a subspace (default: 16 at 4 bits, 256 at 8)"
    )
    bank_bytes: int | None = _key(
        None, _size(), "most bytes of the bank: codes, codebooks, look-up tables; such as 64K"
    )
    instructions: int | None = _key(
        None,
        _whole(1, 2**40),
        "instructions that a picture may cost in the detector (default: as many as the backbone's"
        " multiply-accumulates)",
    )
    opq: bool | None = _key(
        None, _switch(), "rotate the features first, so that codes keep more of them"
    )
    opq_block: int | None = _key(
        None,
        _whole(2, 1 << 16),
        "features that are rotated together (default: all of a resolution)",
    )
    small_tables: bool | None = _key(
        None, _switch(), "a look-up table for each 4-bit code: less RAM, more instructions"
    )
    reweight: bool = _key(
        False,
        _switch(),
        "weigh the image score by nine neighbours of the nearest row, as in the PatchCore paper",
    )


@dataclass(frozen=True)
class StudentOptions:
    """Table `[student]`."""

    epochs: int | None = _key(
        None, _whole(1, 10_000), "passes over the training pictures (default: 100, of cfa 30)"
    )


@dataclass(frozen=True)
class MemoryOptions:
    """Table `[memory]`: how the memory bank is gathered on this computer."""

    coreset_memory: int = _key(
        512 * 1024**2, _size(), "most bytes the coreset selection may take (default: 512M)"
    )
    trim: float = _key(
        0.0,
        _real(0.0, 0.5, zero=True),
        "fraction of training patches to drop as unlike those of all other images (default: 0)",
    )


TRAINED = ("stfpm", "paste", "cfa")
"""Detectors with epochs."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a build makes, apart from the bytes of its inputs.

    Attributes:
        board: name of a file in `boards/`.
        data: folder of images; None is the demo set.
        backbone: name of a module in `backbones/`.
        weights: file of the backbone's weights, or `random`; None is the published ones.
        width: the backbone's channel multiplier.
        input: height and width of the input in pixels; None is the largest that fits the board.
        detector: "padim", "patchcore", "stfpm", "paste", "cfa", or "auto" to take of the first two
            what fits.
        roi: picture whose white part is the region of interest; None is the whole picture.
        kernels: kernel sets, best first, with commas between; None is the board's.
        flash_budget: most bytes of flash of the firmware; None is the board's.
        ram_budget: most bytes of RAM, all of which may be taken for speed; None is the board's, of
            which no more is taken than pays.
        runtime: what runs the network: "vadgen" is the generated C, "tflm" TensorFlow Lite Micro.
        tflm: folder of a built TensorFlow Lite Micro; None where the board's registry brings it.
        alpha: false-positive rate the threshold is set for; None is 0.05 or what the normals allow.
        seed: of every random choice.
        calibration_images: training images that the int8 ranges are measured on.
        padim: options of that detector.
        patchcore: options of that detector.
        student: options of detectors that are trained.
        memory: how the memory bank is gathered.
    """

    board: str = _key(
        "", _text("the name of a board", "NAME"), "board to build for; see `vadgen boards`"
    )
    data: Path | None = _key(
        None,
        _path("a folder", "DIR"),
        "folder of good images, or a data set (default: the demo set)",
    )
    backbone: str = _key(
        "efficientnet_lite0",
        _text("the name of a backbone", "NAME"),
        "network that makes the features (default: efficientnet_lite0)",
    )
    weights: Path | None = _key(
        None,
        _path("a file", "FILE"),
        "weights of the backbone (default: its published ImageNet weights)",
    )
    width: float = _key(1.0, _real(0.0, 2.0), "channel multiplier of the backbone (default: 1.0)")
    input: int | None = _key(
        None,
        _whole(32, 512, 16),
        "input height and width in pixels (default: the largest that fits the board)",
    )
    detector: str = _key(
        "auto",
        _one_of("auto", "padim", "patchcore", "stfpm", "paste", "cfa"),
        "how features become a score (default: auto, patchcore where it fits, else padim)",
    )
    kernels: str | None = _key(
        None,
        _text("names of kernel sets", "SET,SET"),
        "kernel sets, best first, such as cmsis_nn,dsp (default: the board's)",
    )
    flash_budget: int | None = _key(
        None, _size(), "flash to fill, such as 512K (default: what pays of the board's)"
    )
    ram_budget: int | None = _key(
        None, _size(), "RAM to fill, such as 192K (default: what pays of the board's)"
    )
    roi: Path | None = _key(
        None,
        _path("a file", "FILE"),
        "mask of the region of interest: white counts, black is not looked at (default: all)",
    )
    runtime: str = _key(
        "vadgen",
        _one_of("vadgen", "tflm"),
        "what runs the network: vadgen's own C, or TensorFlow Lite Micro (default: vadgen)",
    )
    tflm: Path | None = _key(
        None,
        _path("a folder", "DIR"),
        "tree in which TensorFlow Lite Micro's makefile built its target microlite",
    )
    alpha: float | None = _key(
        None,
        _real(0.0, 0.5),
        "false alarms the threshold allows, such as 0.05 (default: 0.05, or what the images allow)",
    )
    seed: int = _key(0, _whole(0, 2**32 - 1), "seed of every random choice (default: 0)")
    calibration_images: int = _key(
        64, _whole(1, 10_000), "training images that set the int8 ranges (default: 64)"
    )
    padim: PadimOptions = PadimOptions()
    patchcore: PatchcoreOptions = PatchcoreOptions()
    student: StudentOptions = StudentOptions()
    memory: MemoryOptions = MemoryOptions()


_Table = type[PadimOptions] | type[PatchcoreOptions] | type[StudentOptions] | type[MemoryOptions]
_TABLES: dict[str, _Table] = {
    "padim": PadimOptions,
    "patchcore": PatchcoreOptions,
    "student": StudentOptions,
    "memory": MemoryOptions,
}


@dataclass(frozen=True)
class Key:
    """One key of a recipe: `table` is "" at the top level."""

    table: str
    name: str
    rule: Rule
    help: str

    @property
    def dotted(self) -> str:
        """The key as TOML writes it, such as `padim.channels`."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def flag(self) -> str:
        """The command line flag, such as `--coreset-memory`."""
        return "--" + self.name.replace("_", "-")


def keys() -> Iterator[Key]:
    """Every key of a recipe, in the order of the dataclasses."""
    for table, kind in (("", Recipe), *_TABLES.items()):
        for field in dataclasses.fields(kind):
            if field.metadata:
                yield Key(table, field.name, field.metadata["rule"], field.metadata["help"])


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of the known names, or all of them when none is near."""
    listed = sorted(known)
    near = difflib.get_close_matches(name.lower(), listed, n=2)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(listed)}"


def read_recipe(path: Path | None, flags: Mapping[str, str | bool]) -> Recipe:
    """Reads a recipe and lays the flags over it.

    Args:
        path: TOML file; None for flags alone. Paths in it are relative to its folder.
        flags: text by dotted key (`{"padim.channels": "40"}`), True for a switch; paths are
            relative to the working folder.

    Raises:
        VadgenError: file missing or not TOML, unknown key, value of the wrong type or range,
            no board, or epochs asked for where nothing is trained; a file may state them.
    """
    known = {key.dotted: key for key in keys()}
    values: dict[str, object] = {}
    if path is not None:
        for dotted, value in _flatten(_read_toml(path), path):
            if dotted not in known:
                raise VadgenError(f"{path}: unknown key '{dotted}'", nearest(dotted, known))
            checked = _check(known[dotted], value, f"{path}: key '{dotted}'")
            values[dotted] = path.parent / checked if isinstance(checked, Path) else checked
    for dotted, text in flags.items():
        values[dotted] = read_flag(known[dotted], text)
    if not values.get("board"):
        raise VadgenError(
            "no board given", "add --board qemu_m7, for instance; `vadgen boards` lists them"
        )
    top: dict[str, Any] = {k: v for k, v in values.items() if "." not in k}
    for table, kind in _TABLES.items():
        prefix = f"{table}."
        options: dict[str, Any] = {
            k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)
        }
        top[table] = kind(**options)
    recipe = Recipe(**top)
    if "student.epochs" in flags and recipe.detector not in TRAINED:
        raise VadgenError(
            f"--epochs has no meaning: the detector {recipe.detector} is not trained",
            f"leave it out, or add --detector {' or '.join(TRAINED)}",
        )
    return recipe


def read_flag(key: Key, text: str | bool) -> object:
    """The value of a key given as a flag.

    Raises:
        VadgenError: it has the wrong type or range.
    """
    return _check(key, text, key.flag, is_text=True)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise VadgenError(f"recipe {path} does not exist", "check the path") from None
    except UnicodeDecodeError:
        raise VadgenError(f"recipe {path} is not text", "a recipe is a TOML file") from None
    except OSError as error:
        raise VadgenError(
            f"recipe {path} cannot be read: {error.strerror}", "a recipe is a TOML file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise VadgenError(
            f"recipe {path} is not valid TOML: {error}", 'strings need quotes: board = "qemu_m7"'
        ) from None


def _flatten(tree: Mapping[str, Any], path: Path) -> Iterator[tuple[str, object]]:
    """Pairs of dotted key and value; tables are one level deep."""
    for name, value in tree.items():
        if name in _TABLES and not isinstance(value, dict):
            raise VadgenError(
                f"{path}: key '{name}' is {_shown(value)}", f"it is a table: write [{name}] instead"
            )
        if isinstance(value, dict) and (name in _TABLES or name not in _top_names()):
            if name not in _TABLES:
                raise VadgenError(f"{path}: unknown table [{name}]", nearest(name, _TABLES))
            yield from ((f"{name}.{inner}", v) for inner, v in value.items())
        else:
            yield name, value


def _top_names() -> set[str]:
    return {key.name for key in keys() if not key.table}


def _check(key: Key, value: object, where: str, *, is_text: bool = False) -> object:
    try:
        parsed = key.rule.parse(value) if is_text and isinstance(value, str) else value
        return key.rule.check(parsed)
    except (ValueError, OverflowError):
        hint = f"it must be {key.rule.wanted}"
        if isinstance(value, str) and key.rule.choices:
            near = difflib.get_close_matches(value, key.rule.choices, n=1)
            hint += f"; did you mean {near[0]}?" if near else ""
        raise VadgenError(f"{where} is {_shown(value)}", hint) from None


def _shown(value: object) -> str:
    return json.dumps(value, default=str)


def _named(path: Path | None, sha256: str | None, missing: str) -> dict[str, str | None]:
    """An input by name and digest, since a path would say where it lies on this machine."""
    name = missing if path is None else path.resolve().name
    return {"name": name, "sha256": sha256}


def canonical_json(
    recipe: Recipe,
    *,
    data_sha256: str | None = None,
    weights_sha256: str | None = None,
    roi_sha256: str | None = None,
    tflm_sha256: str | None = None,
) -> str:
    """The recipe as JSON with sorted keys, for the manifest: same recipe, same bytes, no path.

    Args:
        recipe: the recipe.
        data_sha256: digest of the images, or None when not known.
        weights_sha256: digest of the weights, or None when not known.
        roi_sha256: digest of the mask, or None when there is none.
        tflm_sha256: digest of TensorFlow Lite Micro's library, or None when there is none.
    """
    tree = dataclasses.asdict(recipe)
    tree["data"] = _named(recipe.data, data_sha256, "demo")
    tree["weights"] = _named(recipe.weights, weights_sha256, "published")
    tree["roi"] = None if recipe.roi is None else _named(recipe.roi, roi_sha256, "")
    tree["tflm"] = None if recipe.tflm is None else _named(recipe.tflm, tflm_sha256, "")
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def recipe_hash(recipe: Recipe, **digests: str | None) -> str:
    """SHA-256 of `canonical_json`, 64 hexadecimal digits; `digests` are its own."""
    text = canonical_json(recipe, **digests)
    return hashlib.sha256(text.encode()).hexdigest()


def to_toml(recipe: Recipe) -> str:
    """The recipe as a TOML file that builds the same again; paths are cut to their last name."""
    lines: list[str] = []
    for key in keys():
        if key.table and f"[{key.table}]" not in lines:
            lines += ["", f"[{key.table}]"]
        owner = getattr(recipe, key.table) if key.table else recipe
        value = getattr(owner, key.name)
        if isinstance(value, Path):
            value = value.resolve().name
        if value is not None:
            lines.append(f"{key.name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
