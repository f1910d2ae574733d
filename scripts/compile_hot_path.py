"""Build hook of the wheel: the server's hot path as machine code, by mypyc from the same typed Python.

`[tool.hatch.build.targets.wheel.hooks.custom]` in pyproject.toml lists the modules. The sources stay in the wheel, and
are what runs where nothing was compiled: in a checkout, and in a wheel built without a C compiler or Python's headers.
ONNXPRESS_COMPILE=0 builds such a wheel on purpose; =1 makes it an error if compiling fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "onnxpress"
"""mypyc puts the code of all modules into one library, `<this>__mypyc`, beside a small one for each module"""

_SHOWN_LINES = 8
_BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import setup

extensions = mypycify(sys.argv[3:], opt_level="3", debug_level="0", strip_asserts=False, group_name=sys.argv[2])
for extension in extensions:
    # mypyc's own warnings are no business of whoever installs this with another compiler.
    extension.extra_compile_args = [flag for flag in extension.extra_compile_args if flag != "-Werror"]
setup(name="hot-path", packages=[], ext_modules=extensions, script_args=["-q", "build_ext", "--build-lib", sys.argv[1]])
"""


class CompileHotPath(BuildHookInterface[Any]):
    """Adds the compiled modules to the wheel, which is one for this platform then."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See BuildHookInterface; `version` is `editable` for a checkout, where the sources are what runs."""
        wanted = os.environ.get("ONNXPRESS_COMPILE", "")
        if version == "editable" or wanted == "0":
            return
        self._scratch = Path(tempfile.mkdtemp(prefix="onnxpress-compile-"))
        try:
            libraries = compiled(Path(self.root), self.config["modules"], self._scratch)
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stdout", "") or error).strip().splitlines()[-_SHOWN_LINES:]
            problem = "\n  ".join(["the server's hot path cannot be compiled:", *said])
            if wanted == "1":
                self.app.abort(problem)
            self.app.display_warning(f"{problem}\nThe wheel holds the sources alone; its server works, more slowly.")
            return
        build_data["force_include"].update({str(path): name for name, path in libraries.items()})
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """See BuildHookInterface."""
        if hasattr(self, "_scratch"):
            shutil.rmtree(self._scratch, ignore_errors=True)


def compiled(root: Path, modules: list[str], scratch: Path) -> dict[str, Path]:
    """Path in the wheel → library, for each module (a path under `root`) and for the code that they share.

    Raises CalledProcessError, with what the compiler said as `stdout`, where it cannot be done.
    """
    # What is imported but not installed here, such as the runtime, counts as untyped.
    settings = ["namespace_packages", "explicit_package_bases", "ignore_missing_imports"]
    lines = ["[mypy]", "follow_imports = silent", *[f"{name} = True" for name in settings]]
    # The front door names what lies in them, and from there mypy would read all of torch where that is installed.
    lines += [f"[mypy-{name}.*]\nfollow_imports = skip" for name in ("onnxpress.export", "onnxpress.training")]
    (scratch / "mypy.ini").write_text("\n".join(lines) + "\n")
    paths = [str(root / module) for module in modules]
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(scratch / "out"), LIBRARY, f"--config-file={scratch / 'mypy.ini'}", *paths],
        cwd=scratch,
        env=os.environ | {"MYPYPATH": os.pathsep.join(str(root / name) for name in ("core", "serving"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    out = scratch / "out"
    return {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
