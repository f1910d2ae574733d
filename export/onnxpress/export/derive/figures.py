"""What is measured of a derived version, output by output, and of every candidate that was tried."""

from __future__ import annotations

import msgspec

from onnxpress.export.derive.choices import Kind
from onnxpress.export.derive.resampling import Metric


class OutputJudged(msgspec.Struct, frozen=True, kw_only=True):
    """One output of the derived version against its parent's, over the held-out rows."""

    name: str
    kind: Kind
    """`classes` are decided by the highest score, `values` by equality, `threshold` by being above it"""
    decisions: int = 0
    """for an embedding: rows whose nearest neighbour among the others was looked for; for boxes: the parent's boxes"""
    flips: int = 0
    """decisions that differ, near-ties left out; for an embedding: other neighbours; for boxes: without match"""
    near_ties: int = 0
    """decisions that differ besides, which the parent's own rounding could have taken otherwise"""
    bound: float | None = None
    """no more than this share differs, with 95 % confidence"""
    kl_mean: float | None = None
    """nats, from the parent's distribution to the derived one's"""
    kl_worst: float | None = None
    cosine_mean: float | None = None
    cosine_worst: float | None = None
    error: float | None = None
    """root mean square of the difference, in `unit`s"""
    error_worst: float | None = None
    unit: str = ""
    """`the parent's own error` where there are labels, else `the parent's spread`"""
    not_finite: int = 0
    """numbers that the parent has and the derived version has not"""
    rms: float = 0.0
    """root mean square of the difference, in the output's own units"""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of both in turns: the median seconds of one run, and the ratio of the quickest tenths."""

    parent_s: float
    derived_s: float
    quicker: float
    """the parent's time over the derived version's"""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: what it is, what was measured, and why it was not taken."""

    precision: str
    method: str
    bytes: int = 0
    smaller: float = 0.0
    timings: dict[int, Timing] = {}
    """rows in a batch → both"""
    outputs: list[OutputJudged] = []
    metrics: list[Metric] = []
    kept_float: list[str] = []
    refused: list[str] = []
    """what it fails of the gate; empty for one inside it"""
    failed: str = ""
    """why it could not be made or run"""

    @property
    def inside(self) -> bool:
        """Whether nothing stands against it."""
        return not self.refused and not self.failed

    @property
    def told(self) -> str:
        """The sentence for people: how many decisions differ, and how many that may be."""
        told = [sentence for one in self.outputs if (sentence := _sentence(one))]
        return "not equivalent by rounding: " + ("; ".join(told) or "it has no outputs to compare")


def _sentence(one: OutputJudged) -> str:
    if one.kind == "regression":
        return f"{one.name} is off by {one.error or 0:.2g} of {one.unit}"
    if not one.decisions:
        return f"{one.name} has no decisions"
    what = {"embedding": "nearest neighbours", "boxes": "boxes"}.get(one.kind, "decisions")
    ties = f", besides {one.near_ties:,} near-ties" if one.near_ties else ""
    return f"{one.flips:,} of {one.decisions:,} {what} differ (≤ {100 * (one.bound or 0):.2g} %{ties})"
