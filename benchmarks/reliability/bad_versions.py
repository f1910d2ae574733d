"""Every bad version that is known, beside a good model under load: no request of the good one may fail."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.serving import bad_versions
from tests.serving.onnx_models import publish_affine

from benchmarks.reliability.callers import Callers
from benchmarks.reliability.serving import Serving, serving

MODES = {"one process": (), "--isolate": ("--isolate",), "--workers 2": ("--workers", "2")}
_AFFINE = "/v2/models/affine/infer"
_ZERO = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[0,0,0]}]}'
_SAID = ("NOT serving", "leaving")
_PATIENCE = 240.0


def measure(modes: tuple[str, ...] = tuple(MODES)) -> dict[str, Any]:
    """At the start, and while serving with --poll, in each mode."""
    return {mode: {"at_start": at_start(*MODES[mode]), "while_serving": while_serving(*MODES[mode])} for mode in modes}


def at_start(*options: str) -> dict[str, Any]:
    """They are there when the server starts."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        publish_affine(models)
        bad = bad_versions.publish_all(models)
        with serving(str(models), *options) as server, Callers(server.port, _AFFINE, _ZERO, 4) as callers:
            _until(lambda: callers.answered > 200, server)
            return _found(server, callers, bad)


def while_serving(*options: str) -> dict[str, Any]:
    """They come, one after another, while the good model is asked; it must still follow its folder afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        publish_affine(models)
        with (
            serving(str(models), "--poll", "0.1", *options) as server,
            Callers(server.port, _AFFINE, _ZERO, 4) as callers,
        ):
            _until(lambda: callers.answered > 200, server)
            bad = bad_versions.publish_all(models)
            _until(lambda: all(any(name in line for _, line in list(server.said)) for name in bad), server)
            publish_affine(models, offset=7)
            callers.when_answered(7.0, _PATIENCE)
            return _found(server, callers, bad)


def _found(server: Serving, callers: Callers, bad: list[str]) -> dict[str, Any]:
    def unavailable() -> dict[str, str]:
        index = json.loads(server.post("/v2/repository/index", b""))
        return {row["name"]: row["reason"] for row in index if row["state"] == "UNAVAILABLE"}

    with suppress(SystemExit):  # of several workers each answers for itself, and one is later than the other
        _until(lambda: all(set(bad) <= unavailable().keys() for _ in range(4)), server)
    reasons = unavailable()
    metrics = server.get("/metrics").decode()
    said = "\n".join(line for _, line in server.said)
    return {
        "bad_versions": len(bad),
        "not_in_the_index": [name for name in bad if not reasons.get(name)],
        "not_in_the_metrics": [name for name in bad if f'onnxpress_failed_version{{model="{name}"' not in metrics],
        "not_in_the_log": [
            name for name in bad if f"NOT serving {name} " not in said and f"leaving {name} " not in said
        ],
        "harmless_not_served": [name for name in map(bad_versions.slug, bad_versions.HARMLESS) if name in reasons],
        "paths_in_the_index": [reason for reason in reasons.values() if "/tmp" in reason],
        "answered": callers.answered,
        "failures": sorted({failure.what for failure in callers.failures})[:10],
    }


def _until(condition: Any, server: Serving) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"it did not happen within {_PATIENCE:g} s; the server said:\n{server.tail()}")
        time.sleep(0.02)
