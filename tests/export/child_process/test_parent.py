"""A converter that crashes, hangs or eats memory is one clear error; the parent lives and publishes the next model."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.export.child_process import parent
from onnxpress.export.child_process.parent import ConversionLimits
from onnxpress.export.pipeline.export import export as export_source
from onnxpress.export.pipeline.publish import Published
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import resolve

pytestmark = pytest.mark.torch

NETS = """
import time, torch
from torch import nn

class Misbehaves(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, x):
        if torch.compiler.is_compiling():
            self.act(self)
        return x * 2

def crash():
    def act(_):
        import ctypes
        ctypes.string_at(0)
    return Misbehaves(act), (torch.randn(3, 4),)

def kill():
    def act(_):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    return Misbehaves(act), (torch.randn(3, 4),)

def loop_without_end():
    open("hanging", "w").close()
    while True:
        time.sleep(0.05)

def hang():
    return Misbehaves(lambda _: loop_without_end()), (torch.randn(3, 4),)

def eat():
    def act(module):
        module.held = []
        while True:
            module.held.append(bytearray(b"x" * (32 << 20)))
            time.sleep(0.01)
    return Misbehaves(act), (torch.randn(3, 4),)

def unseeded():
    net = nn.Linear(4, 2)
    net.offset = torch.randn(2)
    return net, (torch.randn(3, 4),)

INSTANCE = nn.Linear(4, 2)

def other_every_time():
    import os
    width = 3 + os.getpid() % 1000
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, 2)), (torch.randn(3, 4),)

def branches():
    class Branches(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x
    return Branches(), (torch.randn(3, 4),)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "child_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def export(reference: str, repository: Path, **limits: Any) -> Published:
    return export_source(resolve(reference), repository=repository, limits=ConversionLimits(**limits))


@pytest.mark.parametrize(
    ("name", "limits", "says"),
    [
        ("crash", {}, r"(?s)crashed \(SIGSEGV\).*in act"),
        ("kill", {}, "killed from outside"),
        ("eat", {"memory": 1 << 30}, "1.0 GiB are allowed"),
    ],
)
def test_a_misbehaving_converter_is_one_error(name: str, limits: dict[str, Any], says: str, nets: Path) -> None:
    with pytest.raises(BadModel, match=says) as caught:
        export(f"child_nets.py:{name}", nets, **limits)
    assert len(str(caught.value).splitlines()) < 12
    assert not nets.exists()


def test_a_converter_that_hangs_is_ended_and_says_where(nets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clock() -> float:
        """However long the child takes to get there on a machine that is busy, its time is up when it hangs."""
        return time.monotonic() + (1800.0 if Path("hanging").exists() else 0.0)

    monkeypatch.setattr(parent, "time", SimpleNamespace(monotonic=clock))
    with pytest.raises(BadModel, match=r"(?s)did not finish in 1500 s.*loop_without_end"):
        export("child_nets.py:hang", nets, seconds=1500.0)
    assert not nets.exists()


def test_the_child_converts_the_very_weights_that_were_asked(nets: Path) -> None:
    assert export("child_nets.py:unseeded", nets).report.equivalent


def test_an_unseeded_factory_gives_the_same_bytes_every_time(nets: Path) -> None:
    first, second = (export("child_nets.py:unseeded", nets).folder / "model.onnx" for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_an_instance_made_at_import_has_its_weights_carried_over(nets: Path) -> None:
    np.savez(nets.parent / "rows.npz", input=np.ones((3, 4), np.float32))
    source = resolve(SourceRef(reference="child_nets.py:INSTANCE", samples=nets.parent / "rows.npz"))
    assert export_source(source, repository=nets).report.equivalent


def test_a_factory_that_builds_something_else_is_refused(nets: Path) -> None:
    with pytest.raises(BadModel, match="built a second time"):
        export("child_nets.py:other_every_time", nets)


def test_the_converters_own_refusal_comes_back_as_it_was_raised(nets: Path) -> None:
    with pytest.raises((BadModel, NotEquivalent), match="data-dependent"):
        export("child_nets.py:branches", nets)


def test_no_process_is_left_behind(nets: Path) -> None:
    with pytest.raises(BadModel):
        export("child_nets.py:hang", nets, seconds=5.0)
    deadline = time.monotonic() + 60
    while (left := processes_of(nets.parent)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def processes_of(folder: Path) -> list[str]:
    """The command lines that name the folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended in between
            lines.append(path.read_text(errors="replace"))
    return [line for line in lines if str(folder) in line]
