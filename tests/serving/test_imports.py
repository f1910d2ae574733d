"""Lightness: what a fresh interpreter has loaded after importing and starting the serving side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.serving.publishing import publish

# Third-party packages that a server may hold in memory. Anything more has to earn its milliseconds.
ALLOWED = {
    "onnxpress", "onnxpress__mypyc", "numpy", "onnxruntime", "msgspec", "httptools", "uvloop", "click",
    "typing_extensions",
}  # fmt: skip
# Parts of the standard library that are slow to import and that a server has no use for.
HEAVY = {
    "argparse",
    "unittest",
    "http",
    "email",
    "xml",
    "multiprocessing",
    "json",
    "csv",
    "importlib.metadata",
    "sqlite3",
}

START = """
import asyncio, sys
from pathlib import Path
from onnxpress.core import cli
from onnxpress.serving.cli.serve import serve
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.transports import http, lifetime
import uvloop
repository = Repository(Path(sys.argv[1]))
repository.load()
print(*sorted(sys.modules))
"""


def modules(program: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_loaded_server_holds_only_what_it_needs(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    # What a bare interpreter has here already: site-packages may bring hooks of editable installs.
    loaded = modules(START, str(tmp_path)) - modules("import sys; print(*sorted(sys.modules))")
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert {name for name in foreign if "cython" not in name} <= ALLOWED
    assert loaded & HEAVY == set()
    assert [name for name in loaded if name.startswith("onnxpress.serving.client")] == []


def test_a_client_needs_no_runtime() -> None:
    loaded = modules("import sys, onnxpress; onnxpress.Client, onnxpress.AsyncClient; print(*sorted(sys.modules))")
    assert "onnxpress.serving.client.blocking" in loaded
    assert loaded & {"onnxruntime", "uvloop", "click", "ssl"} <= {"ssl"}


def test_help_loads_neither_numpy_nor_the_runtime() -> None:
    program = (
        "import sys\n"
        "from onnxpress.core.cli import main\n"
        "for arguments in (['--help'], ['serve', '--help'], ['predict', '--help'], ['doctor', '--help']):\n"
        "    try: main(arguments)\n"
        "    except SystemExit: pass\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    loaded = modules(program)
    # msgspec: the options of serve are made of its settings' types.
    assert loaded & {"numpy", "onnxruntime", "asyncio", "uvloop", "msgspec", "importlib.metadata"} <= {
        "importlib.metadata", "msgspec",
    }  # fmt: skip
