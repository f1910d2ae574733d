"""One case of a measurement: what was asked, what the original says to it, and what the export answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden
from onnxpress.export.equivalence.cases import Case


@dataclass(frozen=True, eq=False)
class CaseResult:
    """Made by `noise_floor` with what the original says; `measurement` adds what the export answered."""

    case: Case
    golden: Golden
    """the original's float32 answer, and the noise floor of each of its elements"""
    truth: Mapping[str, Array] | None = None
    """every tensor of the pipeline in float64, by name; None where the original cannot be computed in it"""
    answers: Mapping[str, Array] = field(default_factory=dict)
    """of the rung that is served"""
    multiples: Mapping[str, float] = field(default_factory=dict)
    """how far each output of the served rung is, in noise floors; infinite where it is no answer at all"""
    nearest: Mapping[str, float] = field(default_factory=dict)
    """the same of whichever rung came nearest"""
    alone: Mapping[str, Array] | None = None
    """the served rung's answers to the case's rows, each asked alone, put together; None where they were not asked"""
