"""What this machine's processor can do for models in fewer bits."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path

_NAMES: dict[str, frozenset[str]] = {
    "avx2": frozenset({"avx2"}),
    "avx512": frozenset({"avx512f"}),
    "vnni": frozenset({"avx512_vnni", "avx_vnni"}),
    "amx-int8": frozenset({"amx_int8"}),
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "asimdhp"}),
    "dotprod": frozenset({"asimddp"}),
    "i8mm": frozenset({"i8mm"}),
}
"""ours → any of Linux's, for x86 and ARM"""
_USED: dict[str, tuple[str, ...]] = {
    "int8": ("avx512", "vnni", "amx-int8", "dotprod", "i8mm"),
    "float16": ("fp16",),
    "bfloat16": ("bf16",),
}
"""precision → what its speed lives on"""


@cache
def features() -> tuple[str, ...] | None:
    """Those of avx2, avx512, vnni, amx-int8, bf16, fp16, dotprod and i8mm that it has; None where nothing tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return None
    return named(text)


def lacking(precision: str, there: Collection[str]) -> list[str]:
    """What a version of this precision was measured with, on a processor that has `there`, and this one has not."""
    here = features()
    return [] if here is None else [name for name in _USED.get(precision, ()) if name in there and name not in here]


def named(cpuinfo: str) -> tuple[str, ...] | None:
    """The same of the text of `/proc/cpuinfo`.

    >>> named("flags : fpu avx2 avx_vnni")
    ('avx2', 'vnni')
    """
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            there = set(value.split())
            return tuple(name for name, flags in _NAMES.items() if flags & there)
    return None
