"""The bounds of the transport: sizes in bytes, times in seconds."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may take up, before it is refused or its connection ended."""

    max_body: int = 64 * 1024 * 1024
    """also of a compressed body once it is unpacked"""
    max_head: int = 32 * 1024
    max_connections: int = 10_000
    idle_seconds: int = 75
    """an open connection without a request, or one that takes nothing of its answer"""
    request_seconds: int = 60
    """from the first byte of a request to its last"""
    grace_seconds: float = 30.0
    """for accepted requests after SIGTERM"""
