"""One faulty graph asked what the sound one was asked, and judged by the same comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, OnnxpressError
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.layerwise.comparison import Watched, examine
from onnxpress.export.equivalence.layerwise.parameters import check as check_parameters
from onnxpress.export.equivalence.noise_floor import moved
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.scale import Scale
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.results import CaseResult
from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.sessions import local_session

if TYPE_CHECKING:
    import onnx

LIGHT = 20_000_000
"""bytes of a graph that is loaded, and computed by numpy, in next to no time"""
_HEAVY = 100_000_000
"""bytes of a graph that is not computed by numpy for every fault"""


_ANSWERING, _INSIDE = 1 / 30, 1 / 8
"""of the budget: what one graph's answers to all of the questions may take, and what looking into it may"""
_LEAST = 3
"""questions, however long they take"""


@dataclass(frozen=True)
class Outcome:
    """What became of one fault."""

    shown: bool
    """whether the measurement would have refused the graph"""
    size: float
    """noise floors: the largest change of any answer, as far as it was looked for; infinite for another answer"""
    where: tuple[int, ...] = ()
    """the wider cases, by number, on which an answer changes by more than the limit"""


@dataclass(frozen=True, eq=False)
class _Question:
    result: CaseResult
    sound: Golden
    """the sound graph's answers, with the noise floors of the original's"""
    multiples: dict[str, float]
    """how far those are from the original's"""


class Trials:
    """A sound graph, the questions that it was asked, and wider ones; asked of one faulty copy after the other.

    The questions are asked on the rung without optimisations alone, and the graph is looked into on the cases where
    layers are known: what the measurement does besides could only show more. A wider case on which the sound graph
    itself fails is left out.
    """

    def __init__(
        self,
        graph: onnx.ModelProto,
        reference: Reference,
        parameters: Mapping[str, Array],
        watched: Watched,
        limit: float,
        results: Sequence[CaseResult],
        wider: Sequence[Case],
        budget: Budget,
        inside_s: float,
        *,
        looks_inside: bool = True,
    ) -> None:
        """Not `looks_inside`: the measurement judged answers alone, so that only those can show a fault."""
        self._budget, self._most_s = budget, budget.seconds * _ANSWERING
        self._reference, self._parameters, self._watched, self._limit = reference, parameters, watched, limit
        self._size = graph.ByteSize()
        self._graph = graph
        self._looks_inside, self._trusted = looks_inside and self._size < _HEAVY, False
        self._answering_s, self._inside_s = 0.0, inside_s
        """seconds that a graph takes to answer, and those that it takes to look into one"""
        self._sound = self._engine(graph)
        self._questions: list[_Question] = []
        self.wider: dict[int, tuple[Case, Golden]] = {}
        """by number; a case that has become a question is no longer among them"""
        self.ask(results)
        scale = Scale([question.result.golden for question in self._questions])
        began = budget.now()
        for number, case in enumerate(wider):
            if len(self.wider) >= _LEAST and budget.now() - began > self._most_s:
                break
            try:
                answers, beside = self._sound.run(case.feeds), self._sound.run(moved(case.feeds))
            except (BadData, BadModel):
                continue
            self.wider[number] = case, Golden(case.feeds, answers, scale.floors(answers, beside))

    def ask(self, results: Sequence[CaseResult]) -> None:
        """These questions too, from the smallest batch on: many faults are shown by the first.

        Of a graph that takes long to run the first of them alone, so that more than a few faults can be planted: those
        left out could only show more.
        """
        began = self._budget.now()
        for number, result in enumerate(sorted(results, key=lambda result: result.case.batch)):
            if number >= _LEAST and self._budget.now() - began > self._most_s:
                break
            golden = result.golden
            answers = self._sound.run(result.case.feeds)
            sound = Golden(golden.inputs, {name: answers[name] for name in golden.outputs}, golden.floors)
            self._questions.append(_Question(result, sound, worst_multiple(golden, sound.outputs)))
        asked = {question.result.case for question in self._questions}
        self.wider = {number: one for number, one in self.wider.items() if one[0] not in asked}
        self._questions.sort(key=lambda question: question.result.case.batch)

    def outcome(self, faulty: onnx.ModelProto) -> Outcome | None:
        """What the questions show of a faulty graph; None where it cannot be loaded at all, as nobody would ask it."""
        began = self._budget.now()
        found, multiples = self._answered(faulty)
        self._answering_s = max(self._answering_s, self._budget.now() - began)
        if found is None or found.shown or found.size == 0:
            return found
        began, twice = self._budget.now(), 1 if self._trusted else 2
        shown = self._constants_differ(faulty) or self._leaves_the_framework(faulty, multiples)
        self._inside_s = max(self._inside_s if self._trusted else 0.0, (self._budget.now() - began) / twice)
        return replace(found, shown=shown)

    @property
    def longest(self) -> float:
        """Seconds that one more trial may take, as far as is known."""
        return self._answering_s + self._inside_s * (1 if self._trusted else 2)

    def _answered(self, faulty: onnx.ModelProto) -> tuple[Outcome | None, list[dict[str, float]]]:
        """What its answers show, and how far they are from the original's on every question."""
        try:
            engine = self._engine(faulty)
        except OnnxpressError:
            return None, []
        size, nearest = 0.0, list[dict[str, float]]()
        for question in self._questions:
            try:
                answers = engine.run(question.result.case.feeds)
            except (BadData, BadModel):
                return Outcome(shown=True, size=math.inf), []
            change, multiples = 0.0, question.multiples
            if not _same(question.sound.outputs, answers):
                multiples = worst_multiple(question.result.golden, answers)
                change = max(worst_multiple(question.sound, answers).values(), default=0.0)
            if max(multiples.values(), default=0.0) > self._limit:
                return Outcome(shown=True, size=change), []
            size = max(size, change)
            nearest.append(multiples)
        where = []
        for number, (case, sound) in self.wider.items():
            try:
                change = max(worst_multiple(sound, engine.run(case.feeds)).values(), default=0.0)
            except (BadData, BadModel):
                change = math.inf
            size = max(size, change)
            if change > self._limit:
                where.append(number)
        return Outcome(False, size, tuple(where)), nearest

    def _leaves_the_framework(self, faulty: onnx.ModelProto, multiples: Sequence[Mapping[str, float]]) -> bool:
        """Whether looking into the graph shows it. Where the sound graph would be refused so, nothing is looked into:
        what refuses everything shows nothing. Nor where it takes a good part of the time."""
        if self._looks_inside and not self._trusted:
            began = self._budget.now()
            refused = self._means_other(self._graph, [question.multiples for question in self._questions])
            took = self._budget.now() - began
            self._looks_inside = not refused and took <= _INSIDE * self._budget.seconds
        self._trusted = True
        return self._looks_inside and self._means_other(faulty, multiples)

    def _engine(self, graph: onnx.ModelProto) -> Engine:
        # One thread: a pool of them takes longer to start than a small graph to run.
        threads = 1 if self._size < LIGHT else None
        settings = SessionSettings(optimization="none")
        session = local_session(graph.SerializeToString(), "cpu", settings, threads, True)
        # Not Engine.load: what that looks for in a graph takes longer than a small one runs, and nobody is served.
        return Engine(session, None, name="planted", version=1, provider="cpu")

    def _constants_differ(self, faulty: onnx.ModelProto) -> bool:
        checks, _ = check_parameters(faulty, self._parameters, self._reference.processing)
        return not all(check.passed for check in checks)

    def _means_other(self, faulty: onnx.ModelProto, multiples: Sequence[Mapping[str, float]]) -> bool:
        """Whether the graph in float64 leaves the framework: on the cases whose layers are known, and the worst one."""
        worst = max(range(len(multiples)), key=lambda number: max(multiples[number].values(), default=0.0))
        chosen = [
            replace(question.result, answers={}, multiples=multiples[number], nearest=multiples[number])
            for number, question in enumerate(self._questions)
            if number == worst or question.result.case.name in self._watched.records
        ]
        found = examine(faulty, self._reference, chosen, {}, self._watched)
        return not all(check.passed for check in found.checks if check.name in ("meaning", "layers"))


def _same(sound: Mapping[str, Array], answers: Mapping[str, Array]) -> bool:
    """Whether a fault changes no answer at all, as most do on most questions: to compare in floors takes far longer."""
    return all(
        name in answers and answers[name].dtype == value.dtype and np.array_equal(answers[name], value)
        for name, value in sound.items()
    )
