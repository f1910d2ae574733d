"""Lightness: what a fresh interpreter has loaded after importing and starting the serving side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.serving.harness import WAIT, ask
from tests.serving.publishing import publish

# Third-party packages that a server may hold in memory. Anything more has to earn its milliseconds.
ALLOWED = {
    "onnxpress", "onnxpress__mypyc", "numpy", "onnxruntime", "msgspec", "httptools", "uvloop", "click",
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
    "dataclasses",
    "encodings.idna",
    "pkgutil",
    "random",
    "secrets",
    "tempfile",
    "urllib.request",
}
# Modules of ours that a server needs for some requests or settings, and not for its start and its first answer.
LATER = (
    "onnxpress.core.documents",
    "onnxpress.core.memory",
    "onnxpress.core.pbtxt",
    "onnxpress.core.rows",
    "onnxpress.serving.client",
    "onnxpress.serving.cores",
    "onnxpress.serving.engine.cuda",
    "onnxpress.serving.isolation.session",
    "onnxpress.serving.metrics",
    "onnxpress.serving.middleware.access_log",
    "onnxpress.serving.middleware.cors",
    "onnxpress.serving.middleware.tokens",
    "onnxpress.serving.middleware.tracing",
    "onnxpress.serving.models.trials",
    "onnxpress.serving.protocol.classification",
    "onnxpress.serving.protocol.tensorflow_serving",
    "onnxpress.serving.routes",
    "onnxpress.serving.stand_in",
    "onnxpress.serving.tracing",
    "onnxpress.serving.transports.http2",
    "onnxpress.serving.workers",
)
MOST_MODULES = 113
"""of ours; each takes a start a tenth of a millisecond, and what it defines as much again"""

QUESTION = json.dumps({"inputs": [{"name": "x", "shape": [1, 32], "datatype": "FP32", "data": [0.5] * 32}]}).encode()

START = """
import atexit, sys
atexit.register(lambda: print(*sorted(sys.modules)))
from onnxpress.core.command import main
sys.argv[1:] = ["serve", sys.argv[1], "--port", "0"]
main()
"""


def modules(program: str, *arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_server_that_has_answered_holds_only_what_it_needs(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    popen = subprocess.Popen([sys.executable, "-c", START, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert popen.stdout is not None
        port = int(popen.stdout.readline().rpartition(":")[2])
        assert ask(port, "POST", "/v2/models/tiny/infer", QUESTION).status == 200
        popen.terminate()
        # What a bare interpreter has here already: site-packages may bring hooks of editable installs.
        loaded = set(popen.communicate(timeout=WAIT)[0].split()) - modules("import sys; print(*sorted(sys.modules))")
    finally:
        popen.kill()
        popen.communicate()
    assert "onnxruntime" in loaded
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert {name for name in foreign if "cython" not in name} <= ALLOWED
    assert loaded & HEAVY == set()
    own = {name for name in loaded if name.partition(".")[0] == "onnxpress"}
    assert {name for name in own if any(f"{name}.".startswith(f"{later}.") for later in LATER)} == set()
    assert len(own) <= MOST_MODULES


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
