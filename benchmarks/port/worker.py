"""`python -m benchmarks.port.worker carried|faults FAMILY/NAME ...`: prints a JSON line of what became of each."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.port import judge
from benchmarks.port.changing import fresh, keras_changes, torch_changes
from benchmarks.port.planting import planted
from benchmarks.port.planting_torch import planted_in_torch
from benchmarks.port.subjects import Subject, subjects
from onnxpress.core.errors import OnnxpressError
from onnxpress.export.port.carrying import carry
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import Source

SECONDS = 700
"""of processors' time, for one model"""
_COUNTED = "whatever fails is counted"
MOST_FAULTS = 14
"""of one model, spread over the kinds"""


class OutOfTime(BaseException):
    """Raised by the alarm; no `except Exception` of a framework takes it."""


def main() -> None:
    """One line for each, on stdout."""
    signal.signal(signal.SIGPROF, _late)
    known: dict[str, Subject] = {}
    ask = {"carried": carried, "faults": faults}[sys.argv[1]]
    for family in dict.fromkeys(label.partition("/")[0] for label in sys.argv[2:]):
        known |= {subject.label: subject for subject in subjects([family])}
    for label in sys.argv[2:]:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            row = ask(known[label])
        except OutOfTime:
            row = {"state": "ended", "reason": f"not finished in {SECONDS} s of processors' time"}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps({"model": label, **row}), flush=True)


def _late(*_: Any) -> None:
    raise OutOfTime


def carried(subject: Subject) -> dict[str, Any]:
    """What became of one model: `state` is ported, refused, unproven, wrong, broken or ended."""
    row: dict[str, Any] = {"state": "refused", "reason": "", "where": "", "rungs": {}, "judged": "", "seconds": 0.0}
    _seeded()
    with tempfile.TemporaryDirectory(prefix="port-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = Path(folder) / "ported.py"
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                model, given = subject.build()
                if subject.framework == "pytorch":
                    model = model.eval()
                reference = f"{subject.name}:build"
                kind = subject.framework
                source = Source(reference=reference, name=subject.name, framework=kind, network=model, **given)
                started = time.process_time()
                found = carry(source, to=subject.to, output=output, accept_refusal=_COUNTED, returns=True)
        except NoCorrespondence as error:
            row |= {"reason": error.what, "where": str(error.where or "")}
        except OnnxpressError as error:
            row |= {"state": "unproven", "reason": error.what, "where": str(error.where or "")}
        except Exception as error:
            row |= {"state": "broken", "reason": f"{type(error).__name__}: {str(error)[:200]}"}
        else:
            row["seconds"] = round(time.process_time() - started, 1)
            row["rungs"] = {rung.name: [rung.holds, rung.worst] for rung in found.report.rungs}
            row["lines"] = len(output.read_text().splitlines())
            row["ruff"] = unformatted(output)
            row["judged"] = judge.told(output, subject, model, given)
            held = row["judged"] == "same" or row["judged"].startswith("not asked")
            row["state"] = "ported" if held else "wrong"
            *proof, back = found.report.rungs
            row["back"] = "" if back.holds else back.detail
            if failed := next((rung for rung in proof if rung.holds is False), None):
                row |= {"state": "unproven", "reason": f"the port fails on {failed.name}: {failed.detail}"}
    return row


def unformatted(path: Path) -> str:
    """What ruff's check and format would change; empty where nothing."""
    ruff = str(Path(sys.executable).with_name("ruff"))
    said = []
    for command in (["check"], ["format", "--diff"]):
        given = [ruff, *command, "--isolated", "--no-cache", "--quiet", str(path)]
        done = subprocess.run(given, capture_output=True, text=True, check=False)
        said += [done.stdout] if done.returncode else []
    return "\n".join(said)[:1500]


def faults(subject: Subject) -> dict[str, Any]:
    """Of each planted fault its kind, its place, and the rung that caught it.

    `missed` where none did, `nothing` where the code with it does what the code without it does (see `changing`), and
    `no run` where it does not run at all, which nobody would take for a port.
    """
    _seeded()
    found: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="port-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                model, given = subject.build()
                model = model.eval() if subject.framework == "pytorch" else model
                source = Source(reference=subject.label, name="m", framework=subject.framework, network=model, **given)
                draft = Draft(source, "m.h5") if subject.framework == "pytorch" else KerasDraft(source, "m.safetensors")
                every = planted(draft.code) if isinstance(draft, Draft) else planted_in_torch(draft)
                sound = Path(folder) / "sound.py"
                said = _caught(draft, sound)
                for number, fault in enumerate(_spread(list(every))):
                    path = Path(folder) / f"faulty_{number}.py"
                    faulty = fault.in_draft(draft)
                    caught = _caught(faulty, path)
                    if caught == "missed" and not _changes(draft, sound, faulty, path):
                        caught = "nothing"
                    found.append([fault.kind, fault.place, caught])
        except Exception as error:
            return {"state": "left out", "reason": f"{type(error).__name__}: {str(error)[:200]}", "faults": found}
    state = "asked" if said == "missed" else f"false alarm: {said}"
    return {"state": state, "reason": f"{len(found)} faults", "faults": found}


def _changes(draft: Any, sound: Path, faulty: Any, path: Path) -> bool:
    if faulty.code.text == draft.code.text and faulty.state is draft.state and isinstance(draft, KerasDraft):
        return True  # a fault of the report
    changes = keras_changes if isinstance(draft, Draft) else torch_changes
    return changes(draft.target(sound), faulty.target(path), fresh(draft.asked[0].feeds))


def _spread(every: list[Any]) -> list[Any]:
    """At most so many, of each kind in turn."""
    by_kind: dict[str, list[Any]] = {}
    for fault in every:
        by_kind.setdefault(fault.kind, []).append(fault)
    chosen: list[Any] = []
    while any(by_kind.values()) and len(chosen) < MOST_FAULTS:
        chosen += [own.pop(len(own) // 2) for own in by_kind.values() if own]
    return chosen[:MOST_FAULTS]


def _caught(draft: Any, path: Path) -> str:
    """The first rung that fails; `missed` where all hold."""
    path.write_text(draft.code.text)
    try:
        failed = next((rung for rung in draft.rungs(draft.target(path)) if rung.holds is False), None)
    except (OnnxpressError, AttributeError, TypeError, ValueError, KeyError, RuntimeError):
        return "no run"
    if failed is None:
        return "missed"
    return "no run" if "the written code fails" in failed.detail else failed.name


def _seeded() -> None:
    import torch

    np.random.seed(0)
    torch.manual_seed(0)


if __name__ == "__main__":
    main()
