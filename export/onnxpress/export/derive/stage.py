"""The stage: parent → candidates → trials → the gate → a published version, or a refusal with all that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.progress import step
from onnxpress.core.version_folder import check_place
from onnxpress.export.derive import judging, parent, search
from onnxpress.export.derive.candidates import Candidate, Candidates
from onnxpress.export.derive.choices import Kind
from onnxpress.export.derive.figures import Tried
from onnxpress.export.derive.gate import Gate, default_gain
from onnxpress.export.derive.publishing import Published, evidence, publish
from onnxpress.export.derive.trial import NOTHING, Made, Questions, attempt

_CALIBRATED = 256
"""rows of one file that go to the calibration; the others are held out"""
_LEAST_ROWS = 20
_RANKING_SECONDS = 20.0
"""where nothing hangs on it but the report"""


@dataclass(frozen=True)
class Wish:
    """What is asked for. `labels` are output → the right answer of each held-out row."""

    precision: str
    gate: Gate
    calibrate: Mapping[str, Array]
    held_out: Mapping[str, Array] | None = None
    labels: Mapping[str, Array] = field(default_factory=dict)
    keep: Sequence[str] = ()
    search: bool = True
    """whether nodes are ranked and the dearest kept in float, where nothing else is inside the gate"""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    max_batch: int = 32
    seconds: float = 1.0
    search_seconds: float = 120.0


@dataclass
class Outcome:
    """All that was tried, and what was published."""

    name: str
    tried: list[Tried] = field(default_factory=list)
    published: Published | None = None
    costs: list[search.Cost] = field(default_factory=list)


def derive(model: Path, wish: Wish, *, where: str = "the rows") -> Outcome:
    """Derive a version of `wish.precision` from the latest version under `model`, and publish it beside its parent.

    Where no candidate is inside the gate nothing is published, and `published` is None. Raises UsageError and BadData
    for rows that do not fit, BadModel for a parent that nothing can be derived from.
    """
    with step("checking the parent"):
        origin = parent.read(model)
    check_place(origin.repository, origin.name, origin.bytes)
    questions, calibration = _questions(origin, wish, where)
    candidates = Candidates(origin, calibration, list(wish.keep))
    if wish.keep and (unknown := candidates.unknown()):
        raise UsageError(
            f"there is no node {unknown[0]!r} to be kept in float",
            where=str(origin.path),
            hint=f"there are: {', '.join(node.name for node in candidates.prepared.graph.node)[:1000]}",
        )
    outcome = Outcome(origin.name)
    taken = _first_inside(questions, candidates, wish, outcome)
    if not outcome.tried:
        outcome.tried.append(Tried(precision=wish.precision, method="none", failed=NOTHING))
    if taken is None:
        return outcome
    made, tried = taken
    if not outcome.costs:
        with step("ranking layers by what they cost"):
            outcome.costs = search.ranked(questions, made.candidate, min(wish.search_seconds, _RANKING_SECONDS))
    with step("publishing"):
        found = evidence(questions, made, tried, search.by_layer(outcome.costs, origin.graph))
        outcome.published = publish(questions, made, tried, outcome.tried, wish.precision, found)
    return outcome


def _questions(origin: parent.Parent, wish: Wish, where: str) -> tuple[Questions, dict[str, Array]]:
    calibration = parent.check_rows(origin, wish.calibrate, where)
    count = len(next(iter(calibration.values())))
    if wish.held_out is not None:
        rows = parent.check_rows(origin, wish.held_out, where)
    else:
        if wish.labels:
            raise UsageError("labels belong to held-out rows", hint="give them with --held-out")
        cut = min(_CALIBRATED, count // 2)
        rows = {name: value[cut:] for name, value in calibration.items()}
        calibration = {name: value[:cut] for name, value in calibration.items()}
    held = len(next(iter(rows.values())))
    if held < _LEAST_ROWS:
        raise UsageError(
            f"{held} {'row is' if held == 1 else 'rows are'} held out, which proves nothing",
            where=where,
            hint="0 flips of 300 rows prove at most 1 %, of 3,000 at most 0.1 %: give more rows, or --held-out",
        )
    with step("asking the parent"):
        answers = parent.answers(origin.engine, rows, together=origin.manifest.batch_safe)
    for name, value in answers.items():
        if value.dtype.kind == "f" and not np.isfinite(value).any():
            raise BadData(
                f"the parent answers no finite {name!r} to any of these rows, so nothing can be compared", where=where
            )
    for name in wish.kinds:
        if name not in answers:
            raise UsageError(f"there is no output {name!r}; there is: {', '.join(answers)}", hint="--judge")
    kinds = {
        spec.name: judging.kind_of(spec, answers[spec.name], origin.manifest, wish.kinds)
        for spec in origin.engine.outputs
    }
    labels = judging.paired_labels(wish.labels, kinds, held, where)
    batches = sorted({1, wish.max_batch}) if origin.manifest.batch_safe else [1]
    questions = Questions(origin, rows, answers, kinds, labels, batches, wish.seconds)
    # What is wrong with labels, or with the metrics that are asked for, is told before anything is tried.
    wish.gate.quality([], questions.metrics(answers), held)
    return questions, calibration


def _first_inside(
    questions: Questions, candidates: Candidates, wish: Wish, outcome: Outcome
) -> tuple[Made, Tried] | None:
    """Those whose rows may be batched, then those with more nodes in float, and only then what never is batched."""
    batched: list[Candidate] = []
    never: list[Candidate] = []
    for candidate in candidates.of(wish.precision):
        (never if candidate.family == "dynamic" else batched).append(candidate)
    taken, nearest = _inside(questions, batched, wish, outcome)
    if taken is None and nearest is not None and wish.search:
        taken = _mixed(questions, candidates, nearest, wish, outcome)
    return taken or _inside(questions, never, wish, outcome)[0]


def _inside(
    questions: Questions, candidates: Sequence[Candidate], wish: Wish, outcome: Outcome
) -> tuple[tuple[Made, Tried] | None, Candidate | None]:
    """What is taken, and of those that gain enough and differ too much the nearest."""
    slow: set[str] = set()
    best: tuple[Made, Tried] | None = None
    nearest: tuple[Candidate, Tried] | None = None
    for candidate in candidates:
        if candidate.family in slow:
            continue
        tried, made = _tried(questions, candidate, wish, outcome)
        if made is None:
            continue
        if tried.inside:
            # All ways to float16, and to weights of 8 bits, are sound: the quickest is taken. Of others the first.
            if best is None or _quickest(tried) > _quickest(best[1]):
                best = made, tried
            if wish.precision not in ("float16", "w8"):
                break
        elif wish.gate.gain(tried.smaller, tried.timings):
            slow.add(candidate.family)
        elif candidate.static is not None and (nearest is None or _cost(tried) < _cost(nearest[1])):
            nearest = candidate, tried
    return best, None if nearest is None else nearest[0]


def _mixed(
    questions: Questions, candidates: Candidates, nearest: Candidate, wish: Wish, outcome: Outcome
) -> tuple[Made, Tried] | None:
    with step(f"looking for what costs most in {nearest.method}"):
        outcome.costs = search.ranked(questions, nearest, wish.search_seconds)
    for candidate in search.mixtures(candidates, nearest, outcome.costs):
        tried, made = _tried(questions, candidate, wish, outcome)
        if made is not None and tried.inside:
            return made, tried
        if made is not None and wish.gate.gain(tried.smaller, tried.timings):
            break  # with more nodes in float it is no quicker
    return None


def _tried(questions: Questions, candidate: Candidate, wish: Wish, outcome: Outcome) -> tuple[Tried, Made | None]:
    with step(candidate.method):
        tried, made = attempt(questions, candidate, wish.gate, wish.precision)
    outcome.tried.append(tried)
    return tried, made


def _quickest(tried: Tried) -> float:
    return max((timing.quicker for timing in tried.timings.values()), default=0.0)


def _cost(tried: Tried) -> float:
    return sum((one.bound or 0.0) + (one.error or 0.0) for one in tried.outputs)


def gate_for(precision: str, gate: Gate) -> Gate:
    """The gate with what is asked of this precision where neither speed nor size is."""
    if gate.min_speedup is not None or gate.min_smaller is not None:
        return gate
    quicker, smaller = default_gain(precision)
    return msgspec.structs.replace(gate, min_speedup=quicker, min_smaller=smaller, either=precision == "same")
