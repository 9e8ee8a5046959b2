"""PlatformIO platform that builds with the system's compilers and downloads nothing."""

import importlib.util
import json
from pathlib import Path

from platformio.dependencies import get_core_dependencies
from platformio.public import PlatformBase

SCONS = "import sys\n\nfrom SCons.Script.Main import main\n\nsys.exit(main())\n"


def provide_scons(packages: Path) -> None:
    """Gives PlatformIO the SCons of this Python as the package that it would download.

    Does nothing where SCons is not installed: PlatformIO then downloads its own.
    """
    if importlib.util.find_spec("SCons") is None:
        return
    version = get_core_dependencies()["tool-scons"].lstrip("~^=")
    spec = {"owner": "platformio", "id": None, "name": "tool-scons"}
    spec |= {"requirements": None, "uri": None}
    stamp = {"type": "tool", "name": "tool-scons", "version": version, "spec": spec}
    files = {
        "scons.py": SCONS,
        "package.json": json.dumps({"name": "tool-scons", "version": version, "system": "*"}),
        ".piopm": json.dumps(stamp),
    }
    folder = packages / "tool-scons"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


class VadgenPlatform(PlatformBase):
    """Found by PlatformIO through its name; loaded before SCons is looked up."""

    def __init__(self, manifest_path):
        super().__init__(manifest_path)
        provide_scons(Path(self.config.get("platformio", "packages_dir")))
