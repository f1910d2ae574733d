"""`equivalence.json`: what was measured, on what, and the verdict."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from onnxpress.core.indented_json import indented

FORMAT = 2
"""2: `distribution`, `decisions`, `curve` and `explanation` were added"""
FILE_NAME = "equivalence.json"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at besides the numbers."""

    name: str
    passed: bool
    detail: str = ""


SPECIAL_VALUES = "special values"
"""the check that tells which inputs refuse NaN or infinity; it stands on the first screen"""
NAMES = "names"
"""the check that tells which tensors of a file were paired with the source's by their place; it stands there too"""
Multiple = Annotated[float, msgspec.Meta(extra_json_schema={"type": ["number", "null"]})]
"""of a noise floor; in JSON null stands for infinity"""
EDGES = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)
"""noise floors: the bounds of `OutputFigure.distribution`"""


class Decisions(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions over all cases: which class is highest, where the last axis is one of classes; else the value itself.

    A flip is a decision that the export takes otherwise; it is a near-tie where the reference's own noise, times the
    accepted multiple, could have taken it otherwise too.
    """

    kind: str
    """`top-1` or `value`"""
    count: int
    flips: int
    near_ties: int
    """of the flips"""


class OutputFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One output over all cases. A multiple is |ONNX - reference| in noise floors; null stands for infinity."""

    name: str
    dtype: str
    worst_multiple: Multiple
    worst_case: str
    largest_error: Multiple
    """in the output's own units; for a non-float output the number of elements that differ"""
    floor: float
    """the noise floor where the largest error was seen"""
    near_ties: int = 0
    """non-float outputs: elements that may be decided either way, because they lie within the noise of a threshold"""
    distribution: list[int] = []
    """elements of all cases by their multiple: below 0.01, below each further one of `EDGES`, and from the last on"""
    decisions: Decisions | None = None
    """what a caller would decide from the output; None where there is nothing to decide"""


class CaseFigure(msgspec.Struct, frozen=True, kw_only=True):
    """The worst multiple of each output on one case."""

    name: str
    batch: int
    multiples: dict[str, Multiple]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One rung of the ladder from the framework to what is served, and the worst multiple on it."""

    name: str
    worst_multiple: Multiple


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor along the graph: how far it is from what its layer computes, in that layer's own noise floors."""

    node: int
    operator: str
    layer: str
    multiple: Multiple


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where graph and original part. `layer` is None where no layer could be named; `detail` says what is known."""

    case: str
    layer: str | None = None
    kind: str = ""
    operation: str = ""
    source: str = ""
    nodes: list[str] = []
    """of the layer, as far as they lie behind what is still right; `operator name`"""
    folded: list[str] = []
    """layers that have no node of their own, as the converter folded them into this one"""
    multiple: Multiple = 0.0
    """of the layer's own noise floor, at the tensor of its that came nearest"""
    parameters: dict[str, str] = {}
    """the layer's parameters that differ in the graph, and how"""
    detail: str


class LayerCost(msgspec.Struct, frozen=True, kw_only=True):
    """What it costs to put these nodes alone into fewer bits, all others as they were."""

    nodes: list[str]
    """of the derived graph; neighbours of a large graph are looked at together"""
    layer: str = ""
    """the author's, as far as it is known"""
    cost: Multiple
    """mean KL in nats for classes, 1 - cosine for embeddings, the error for regressions, else the share of flips;
    infinity where they cannot be put into fewer bits alone"""


class Survivor(msgspec.Struct, frozen=True, kw_only=True):
    """A planted fault that no question shows."""

    kind: str
    layer: str
    """the author's, as far as it is known"""
    place: str
    """the node or the constant"""
    multiple: Multiple
    """noise floors: the largest change of an answer that was found, on inputs that are not among the questions"""


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """Small faults planted in copies of this very graph, and how many of them the questions show.

    Only faults count that change an answer by more than one noise floor on some input that was tried.
    """

    planted: int = 0
    shown: int = 0
    strong: int = 0
    """of the planted: those above 10 noise floors; the others lie between 1 and 10"""
    strong_shown: int = 0
    below: int = 0
    """planted besides: they change an answer by less than a noise floor, which nobody can tell from rounding"""
    without_effect: int = 0
    """planted besides: they changed no answer at all, whatever was tried"""
    survivors: list[Survivor] = []
    """at most ten, the largest first"""
    questions: int = 0
    """how many were asked besides, as too many faults had survived the others"""
    why_not: str = ""
    """where no fault counts: why"""

    def __str__(self) -> str:
        if not self.planted:
            return f"how many small faults these questions would show is not known: {self.why_not}"
        told = f"these questions would have shown {self.shown} of {self.planted} small faults"
        names = [f"{one.kind}{f' in {one.layer}' if one.layer else ''} ({one.place})" for one in self.survivors[:2]]
        more = self.planted - self.shown - len(names)
        rest = [f"{more} more"] if names and more > 0 else []
        return f"{told}; not {', '.join(names + rest)}" if names else told


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence that travels with a version."""

    format: int = FORMAT
    power: Power | None = None
    """how many small faults the questions would have shown; null where the export was refused"""
    equivalent: bool
    worst_multiple: Multiple
    limit: float
    floor: str
    """`float64`: distance from the float64 truth; `ulp`: movement under one-ulp input changes"""
    batch_safe: bool
    batch_multiple: Multiple
    """rows alone against the same rows in a batch, worst multiple"""
    rows: str = ""
    """how that is known: `proven` over the graph, `measured` only, or `dependent (node)`"""
    outputs: list[OutputFigure]
    cases: list[CaseFigure]
    ladder: list[Rung]
    checks: list[Check]
    not_measured: list[str] = []
    curve: list[Point] = []
    """the divergence along the graph, in float64 on one case; of a large graph the worst of neighbouring nodes"""
    explanation: Explanation | None = None
    """only of a refused export: the layer where it leaves the original"""
    accepted: str = ""
    """only of a refused export that was published all the same: why, in its author's words"""
    derived: str = ""
    """only of a version in fewer bits: what it costs against its parent; the rest of that is in `derived.json`"""
    costs: list[LayerCost] = []
    """only of such a version: its layers, the dearest first"""
    environment: dict[str, str] = {}

    def rung(self, name: str) -> float:
        """The worst multiple on the rung of this name."""
        return next(rung.worst_multiple for rung in self.ladder if rung.name == name)

    def __str__(self) -> str:
        verdict = "equivalent" if self.equivalent else "NOT equivalent"
        if self.derived:
            verdict = f"derived, {self.derived}"
        elif self.accepted:
            verdict += f", published knowingly ({self.accepted})"
        lines = [] if self.power is None else [str(self.power)]
        lines += [f"{verdict}: worst {multiple(self.worst_multiple)} of {self.limit:g} noise floors ({self.floor})"]
        lines += [
            f"  {figure.name}: {multiple(figure.worst_multiple)} floors, largest error {figure.largest_error:.3g} "
            f"({figure.worst_case})"
            for figure in self.outputs
        ]
        lines += [f"  {check.name}: {check.detail}" for check in self.checks if check.name in (SPECIAL_VALUES, NAMES)]
        lines += [f"  failed: {check.name}: {check.detail}" for check in self.checks if not check.passed]
        if self.explanation is not None:
            lines.append(f"  {self.explanation.detail} (seen on {self.explanation.case})")
        return "\n".join(lines)


def multiple(value: float) -> str:
    """A multiple for people: two significant digits, `inf` where dtype, shape or kind differ."""
    return (
        f"{value:.2g}" if math.isfinite(value) and value < 100 else (f"{value:,.0f}" if math.isfinite(value) else "inf")
    )


def schema() -> bytes:
    """The JSON Schema of `equivalence.json`."""
    return indented(msgspec.json.schema(Report))


def encode(report: Report) -> bytes:
    """The report as indented JSON; infinities become null, as JSON has none."""
    return indented(report)
