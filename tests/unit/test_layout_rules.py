"""The rules of ARCHITECTURE.md that no one module can keep: who imports whom, what has its twin."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "vadgen"
LIB = ROOT / "firmware" / "lib"
VECTORS = ROOT / "tests" / "vectors"
ALL = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}

# `paths` and `__version__` say where and what we are: everyone may ask.
EVERYONE = {"paths", "__version__"}
TRAINING = {"model", "lower", "sink", "looked", "fixed", "ref", "errors", "progress"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "fixed": set(),
    "paths": set(),
    "progress": {"errors"},
    "units": set(),
    "threshold": {"errors"},
    "render": {"errors", "progress", "units"},
    "model": {"errors"},
    "board": {"errors"},
    "recipe": {"errors", "units"},
    "lower": {"model", "fixed", "errors"},
    "sink": {"lower"},
    "looked": set(),
    "ref": {"fixed", "lower"},
    "backbones": TRAINING,
    "quant": TRAINING | {"backbones"},
    "detectors": TRAINING,
    "data": TRAINING,
    "benchmark": TRAINING | {"backbones", "detectors", "data", "threshold", "report", "units"},
    "link": {"errors"},
    "kernels": {"lower", "fixed", "errors"},
    "plan": {"lower", "sink", "kernels", "model", "board", "errors"},
    "emit": {"lower", "kernels", "plan", "model", "board", "link", "errors"},
    "build": {"model", "lower", "sink", "looked", "board", "recipe", "link", "errors"},
    "report": {"errors", "units"},
    "pipeline": ALL - {"cli"},
    "cli": ALL - {"cli"},
}
TORCH = {"backbones", "quant", "detectors", "benchmark"}
LIBRARIES = {"vad_core": set(), "vad_kernels": {"vad_core"}, "vad_port": set()}
LIBRARIES |= dict.fromkeys(("vad_cmsis_nn", "vad_esp_nn"), {"vad_core", "vad_kernels"})
LIBRARIES["vad_link"] = {"vad_core"}
LIBRARIES["vad_detect"] = {"vad_core", "vad_kernels"}


def modules() -> Iterator[tuple[str, Path]]:
    """The part of the package and the file, for each module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a module imports, anywhere in it, and their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def type_checking_lines(path: Path) -> set[int]:
    """Lines under `if TYPE_CHECKING:`, which import nothing when run."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def test_every_part_has_a_rule() -> None:
    assert {part for part, _ in modules()} == set(MAY_IMPORT)


def test_parts_import_only_what_they_may() -> None:
    wrong = []
    for part, path in modules():
        allowed = MAY_IMPORT[part] | EVERYONE | {part}
        for name, line in imports(path):
            head, _, rest = name.partition(".")
            if head == "vadgen" and rest.partition(".")[0] not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_torch_only_where_networks_are_floats() -> None:
    wrong = []
    for part, path in modules():
        for name, line in imports(path):
            if name.partition(".")[0] in ("torch", "torchvision") and part not in TORCH:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("heavy", ["torch", "sklearn", "skimage", "scipy"])
def test_heavy_imports_stand_in_functions(heavy: str) -> None:
    wrong = []
    for _, path in modules():
        idle = type_checking_lines(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for inner in ast.walk(node) if not _is_definition(node) else []:
                if not isinstance(inner, ast.Import | ast.ImportFrom) or inner.lineno in idle:
                    continue
                names = [alias.name for alias in inner.names]
                if isinstance(inner, ast.ImportFrom):
                    names = [inner.module or ""]
                if any(name.partition(".")[0] == heavy for name in names):
                    wrong.append(f"{path.relative_to(ROOT)}:{inner.lineno}")
    assert not wrong, "\n".join(wrong)


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def test_tools_are_not_imported() -> None:
    names = {p.stem for p in (ROOT / "tools").glob("*.py")}
    for _, path in modules():
        assert not {n for n, _ in imports(path) if n.partition(".")[0] in names}, path


def test_libraries_include_only_what_they_may() -> None:
    owner = {h.name: h.parts[-3] for h in LIB.glob("*/include/*.h")}
    wrong = []
    for path in sorted([*LIB.rglob("*.c"), *LIB.rglob("*.h")]):
        library = path.relative_to(LIB).parts[0]
        private = {h.name for h in (LIB / library / "src").rglob("*.h")}
        for name in re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8")):
            if name in private or owner.get(name) in LIBRARIES[library] | {library}:
                continue
            if library == "vad_port" and not name.startswith("vad_model"):
                continue  # headers of chips and of the board's platform
            wrong.append(f"{path.relative_to(ROOT)} includes {name}")
    assert not wrong, "\n".join(wrong)


def kernel_headers() -> list[Path]:
    """Headers that declare a function with the kernels' contract."""
    headers = sorted(LIB.glob("*/include/vad_*.h"))
    declares = re.compile(r"^void \w+\(const \w+ \*op, const int8_t \*const \*rows,", re.MULTILINE)
    return [h for h in headers if declares.search(h.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("header", kernel_headers(), ids=lambda h: h.stem)
def test_kernel_has_its_rooms(header: Path) -> None:
    """A kernel's header names its numpy twin; twin, vectors and C stand where they belong."""
    first = header.read_text(encoding="utf-8").partition("\n\n")[0].partition("#ifndef")[0]
    twin = re.search(r"numpy twin: ref/(\w+)\.py", " ".join(first.split()))
    assert twin, f"{header.name} does not name its numpy twin"
    stem = twin.group(1)
    assert (PACKAGE / "ref" / f"{stem}.py").is_file()
    assert (VECTORS / f"{stem}.json").is_file()
    sources = list((header.parents[1] / "src").rglob(f"{header.stem}.c"))
    assert sources, f"no kernel set has {header.stem}.c"
    assert (LIB / "vad_kernels/src/portable" / f"vad_{stem}.c").is_file()


def test_portable_kernels_have_headers() -> None:
    """And so, by the test above, all rooms."""
    headers = {h.stem for h in kernel_headers()}
    assert {s.stem for s in (LIB / "vad_kernels/src/portable").glob("*.c")} <= headers


def test_references_name_files_that_exist() -> None:
    """Docstrings of ref/ name the C twin and the vectors."""
    files = {p.name for p in LIB.rglob("*.c")}
    for path in sorted((PACKAGE / "ref").glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for name in re.findall(r"(vad_\w+\.c)\b", text):
            assert name in files, (path.name, name)
        for name in re.findall(r"vectors:? `(?:tests/vectors/)?(\w+\.json)`", text):
            assert (VECTORS / name).is_file(), (path.name, name)


def test_files_of_tests_have_names_of_their_own() -> None:
    """Pytest imports them by name alone, wherever they lie."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 60
    assert not {name for name in names if names.count(name) > 1}
