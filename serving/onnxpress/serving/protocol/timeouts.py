"""How long an answer is of use to its caller, as requests and headers say it."""

from __future__ import annotations

from typing import Any

from onnxpress.serving.protocol.refusal import Refusal, shown

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


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


def grpc_timeout_of(header: bytes) -> float:
    """Seconds, from gRPC's header: up to eight digits, and a unit.

    >>> grpc_timeout_of(b"250m")
    0.25
    """
    number, unit = header[:-1], header[-1:]
    if not number.isdigit() or len(number) > 8 or unit not in _UNITS:
        raise Refusal(400, "grpc-timeout must be up to eight digits and one of H, M, S, m, u and n")
    return int(number) * _UNITS[unit]
