"""One faulty graph asked what the sound one was asked, and judged by the same comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, OnnxpressError
from onnxpress.core.golden import Golden, worst_multiple
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.layerwise.comparison import Watched, examine
from onnxpress.export.equivalence.layerwise.parameters import check as check_parameters
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.scale import Scale
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.results import CaseResult
from onnxpress.serving.engine import Engine

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
    ) -> None:
        self._budget, self._answering_s = budget, budget.seconds * _ANSWERING
        self._reference, self._parameters, self._watched, self._limit = reference, parameters, watched, limit
        self._size = graph.ByteSize()
        self._looks_inside = self._size < _HEAVY
        self._sound = self._engine(graph)
        self._questions: list[_Question] = []
        self.ask(results)
        scale = Scale([question.result.golden for question in self._questions])
        self.wider: list[tuple[Case, Golden]] = []
        began = budget.now()
        for case in wider:
            if len(self.wider) >= _LEAST and budget.now() - began > self._answering_s:
                break
            try:
                answers = self._sound.run(case.feeds)
            except (BadData, BadModel):
                continue
            self.wider.append((case, Golden(case.feeds, answers, scale.floors(answers))))

    def ask(self, results: Sequence[CaseResult]) -> None:
        """These questions too, from the smallest batch on: many faults are shown by the first.

        Of a graph that takes long to run the first of them alone, so that more than a few faults can be planted: those
        left out could only show more.
        """
        began = self._budget.now()
        for number, result in enumerate(sorted(results, key=lambda result: result.case.batch)):
            if number >= _LEAST and self._budget.now() - began > self._answering_s:
                break
            golden = result.golden
            answers = self._sound.run(result.case.feeds)
            sound = Golden(golden.inputs, {name: answers[name] for name in golden.outputs}, golden.floors)
            self._questions.append(_Question(result, sound))
        self._questions.sort(key=lambda question: question.result.case.batch)

    def outcome(self, faulty: onnx.ModelProto) -> Outcome | None:
        """What the questions show of a faulty graph; None where it cannot be loaded at all, as nobody would ask it."""
        try:
            engine = self._engine(faulty)
        except OnnxpressError:
            return None
        size, nearest = 0.0, []
        for question in self._questions:
            try:
                answers = engine.run(question.result.case.feeds)
            except (BadData, BadModel):
                return Outcome(shown=True, size=math.inf)
            multiples = worst_multiple(question.result.golden, answers)
            change = max(worst_multiple(question.sound, answers).values(), default=0.0)
            if max(multiples.values(), default=0.0) > self._limit:
                return Outcome(shown=True, size=change)
            size = max(size, change)
            nearest.append(multiples)
        where = []
        for number, (case, sound) in enumerate(self.wider):
            try:
                change = max(worst_multiple(sound, engine.run(case.feeds)).values(), default=0.0)
            except (BadData, BadModel):
                change = math.inf
            size = max(size, change)
            if change > self._limit:
                where.append(number)
        shown = size > 0 and (self._constants_differ(faulty) or self._means_other(faulty, nearest))
        return Outcome(shown, size, tuple(where))

    def trust_the_inside(self, graph: onnx.ModelProto) -> None:
        """Look into no graph where the sound one would be refused for it: what refuses everything shows nothing.

        Nor where it takes a good part of the time.
        """
        multiples = [worst_multiple(question.result.golden, question.sound.outputs) for question in self._questions]
        began = self._budget.now()
        refused = self._means_other(graph, multiples)
        self._looks_inside &= not refused and self._budget.now() - began <= _INSIDE * self._budget.seconds

    def _engine(self, graph: onnx.ModelProto) -> Engine:
        # One thread: a pool of them takes longer to start than a small graph to run.
        threads = 1 if self._size < LIGHT else None
        settings = SessionSettings(optimization="none")
        return Engine.load(graph.SerializeToString(), settings=settings, threads=threads, self_test=False)

    def _constants_differ(self, faulty: onnx.ModelProto) -> bool:
        checks, _ = check_parameters(faulty, self._parameters, self._reference.processing)
        return not all(check.passed for check in checks)

    def _means_other(self, faulty: onnx.ModelProto, multiples: Sequence[Mapping[str, float]]) -> bool:
        """Whether the graph in float64 leaves the framework: on the cases whose layers are known, and the worst one."""
        if not self._looks_inside:
            return False
        worst = max(range(len(multiples)), key=lambda number: max(multiples[number].values(), default=0.0))
        chosen = [
            replace(question.result, answers={}, multiples=multiples[number], nearest=multiples[number])
            for number, question in enumerate(self._questions)
            if number == worst or question.result.case.name in self._watched.records
        ]
        found = examine(faulty, self._reference, chosen, {}, self._watched)
        return not all(check.passed for check in found.checks if check.name in ("meaning", "layers"))
