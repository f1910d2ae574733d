"""Bounds of the HTTP transport."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the transport; sizes in bytes, times in seconds."""

    max_body: int = 64 * 1024 * 1024
    max_head: int = 32 * 1024
    max_held: int = 1024 * 1024 * 1024
    """of all bodies of 64 KiB and more that are being received, wait or run"""
    max_connections: int = 10_000
    idle_seconds: int = 75
    """an open connection without a request"""
    request_seconds: int = 60
    """from the first byte of a request to its last, and for a client to take an answer"""
    linger_seconds: int = 5
    """for a client to read a refusal before the connection is cut"""
    grace_seconds: float = 30.0
    """for accepted requests after SIGTERM"""
