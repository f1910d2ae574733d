"""How many CPUs this process may use: the cgroup's quota and the affinity mask, not the host's count."""

from __future__ import annotations

import math
import os
from pathlib import Path


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """At least 1. Reads cgroup v2 `cpu.max` of this process's group and its parents, then v1's CFS quota."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = min(_quotas(cgroup), default=math.inf)
    return max(1, min(count, math.ceil(quota) if math.isfinite(quota) else count))


def _quotas(root: Path) -> list[float]:
    """CPU quotas in CPUs, of every group that limits this process."""
    found = []
    for folder in _groups(root):
        quota, period = _numbers(folder / "cpu.max")
        if quota and period:
            found.append(quota / period)
    quota, _ = _numbers(root / "cpu" / "cpu.cfs_quota_us")
    period, _ = _numbers(root / "cpu" / "cpu.cfs_period_us")
    if quota and period and quota > 0:
        found.append(quota / period)
    return found


def _groups(root: Path) -> list[Path]:
    """The process's own v2 group and its ancestors, as far as they are visible here."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return [root]
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folders = [root]
    for part in own.split("/") if own else []:
        folders.append(folders[-1] / part)
    return folders


def _numbers(path: Path) -> tuple[float | None, float | None]:
    """The first two numbers of a file; None for `max`, for what is absent or not a number."""
    try:
        words = path.read_text().split()
    except OSError:
        return None, None
    values = [float(word) if word.lstrip("-").isdigit() else None for word in words[:2]]
    first, second, *_ = [*values, None, None]
    return first, second
