"""The server as one call from Python: with one process it returns, with several it ends each of them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import WAIT, ask, infer_body
from tests.serving.onnx_models import publish_affine

from onnxpress.serving import server

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


def test_what_went_wrong_is_told_where_the_loop_cannot_end_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end takes a thread for a moment, which may not be there for the same reason."""
    uvloop = pytest.importorskip("uvloop")

    def run(main: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(MemoryError):
            asyncio.run(main)
        raise RuntimeError("can't start new thread")

    async def fails() -> int:
        raise MemoryError

    async def ends() -> int:
        return 3

    monkeypatch.setattr(uvloop, "run", run)
    with pytest.raises(MemoryError):
        server._run(fails())
    assert server._run(ends()) == 3
