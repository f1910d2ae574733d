"""The CPUs that this process may use, by cgroup files of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onnxpress.serving.engine.threads import available_cpus

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("max 100000", HERE),
        ("150000 100000", min(2, HERE)),
        ("99999999999 100000", HERE),
        ("", HERE),
        ("nonsense", HERE),
        ("0 0", HERE),
    ],
)
def test_a_v2_quota(tmp_path: Path, content: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert available_cpus(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", HERE), ("50000", 1), ("100000", 1), ("150000", min(2, HERE))])
def test_a_v1_quota(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == expected


def test_without_any_cgroup_it_is_the_affinity_mask(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "nothing") == HERE
