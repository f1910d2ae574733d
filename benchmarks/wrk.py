"""wrk, asking a server without pause."""

from __future__ import annotations

import subprocess
from pathlib import Path


def rate(port: int, script: Path, *, connections: int, seconds: float) -> float:
    """Requests per second of one thread with this Lua script. Ends the process where an answer was an error."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"the server failed:\n{done.stdout}")
    words = done.stdout.split()
    return float(words[words.index("Requests/sec:") + 1])
