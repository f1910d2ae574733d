"""CPUs by the cgroup."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onnxpress.serving.engine.threads import available_cpus

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(("text", "cpus"), [("max 100000", HERE), ("50000 100000", 1), ("100000000 100000", HERE)])
def test_quota_of_cgroup_version_2(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", HERE), ("20000", 1)])
def test_quota_of_cgroup_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus(tmp_path) == cpus


def test_without_a_cgroup_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none") == HERE


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="needs Linux's /proc")
def test_the_quota_of_a_group_above_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.read_text

    def read_text(path: Path, *arguments: str, **named: str) -> str:
        return (
            "1:name=systemd:/\n0::/pods/this\n" if str(path) == "/proc/self/cgroup" else real(path, *arguments, **named)
        )

    monkeypatch.setattr(Path, "read_text", read_text)
    (tmp_path / "pods" / "this").mkdir(parents=True)
    (tmp_path / "pods" / "cpu.max").write_text("50000 100000")
    (tmp_path / "pods" / "this" / "cpu.max").write_text("max 100000")
    assert available_cpus(tmp_path) == 1
