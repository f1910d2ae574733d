"""The server as one call from Python: with one process it returns, with several it ends each of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.harness import WAIT, ask, infer_body
from tests.serving.onnx_models import publish_affine

PROGRAM = """
import sys
from onnxpress.serving import server
from onnxpress.serving.settings import ServerSettings
settings = ServerSettings(path=sys.argv[1], address={"port": 0}, processes={"workers": int(sys.argv[2])})
print("ended", server.run(settings, on_ready=lambda url: print(url, flush=True)))
"""


@pytest.mark.parametrize(
    ("workers", "said"), [(1, "ended Ended(unanswered=0, busy=False)\n"), (2, "")], ids=["one", "several"]
)
def test_it_serves_until_the_signal(tmp_path: Path, workers: int, said: str) -> None:
    publish_affine(tmp_path)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            port = int(url.rpartition(":")[2])
            assert ask(port, "POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]])).status == 200
            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=WAIT)
        finally:
            process.kill()
    # What stands behind the call is run once, and never by a worker.
    assert (process.returncode, rest) == (0, said), errors
