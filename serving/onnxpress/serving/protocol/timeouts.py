"""How long an answer is of use to its caller, as requests and headers say it."""

from __future__ import annotations

from typing import Any

from onnxpress.serving.protocol.refusal import Refusal, shown


def timeout_of(parameters: dict[str, Any] | None) -> float | None:
    """Seconds, from the `timeout` in microseconds that Triton's clients send; None where it is absent or 0."""
    timeout = (parameters or {}).get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout < 1 << 64:
        raise Refusal(400, f"the parameter timeout must be a number of microseconds, not {shown(timeout)}")
    return timeout / 1e6 or None


def deadline_of(header: bytes) -> float:
    """Seconds, from a header in milliseconds: how long whoever passed the request on will wait for its answer."""
    text = header.strip()
    if not text.isdigit() or len(text) > 18:
        raise Refusal(400, "X-Envoy-Expected-Rq-Timeout-Ms must be a number of milliseconds")
    return int(text) / 1e3
