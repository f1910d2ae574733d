"""What is asked of a subject: the default gate, on rows of which the first calibrate and the others are held out."""

from __future__ import annotations

from benchmarks.derive.subjects import CALIBRATED, Subject
from onnxpress.core.manifest import Manifest
from onnxpress.export.derive.gate import Gate
from onnxpress.export.derive.stage import Wish, gate_for


def wish_for(subject: Subject, parent: Manifest, precision: str, *, seconds: float, search_seconds: float) -> Wish:
    """`seconds` are for each figure of speed, `search_seconds` for ranking nodes."""
    (first, *_) = parent.inputs
    rows = {name or first.name: value for name, value in subject.rows.items()}
    return Wish(
        precision=precision,
        gate=gate_for(precision, Gate()),
        calibrate={name: value[:CALIBRATED] for name, value in rows.items()},
        held_out={name: value[CALIBRATED:] for name, value in rows.items()},
        seconds=seconds,
        search_seconds=search_seconds,
    )
