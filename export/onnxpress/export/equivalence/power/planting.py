"""Faults planted in copies of a graph that was just measured, counted as far as its questions show them.

Where more than a twentieth of them survive, the wider cases on which they would be seen are proposed as questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.answerable import answers
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.graph_domain import shown as shown_by
from onnxpress.export.equivalence.measurement import Measurement
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.trial import LIGHT, Outcome, Trials
from onnxpress.export.equivalence.power.wider import wider
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Power, Survivor

if TYPE_CHECKING:
    import onnx

    from onnxpress.export.equivalence.faults.sample import Fault

MOST, FEW = 100, 5
"""faults: all that are planted; and those without which little can be said"""
ENOUGH = 0.95
"""of the faults shown: no more questions are made"""
STRONG, WEAK = 10.0, 1.0
"""noise floors: a strong fault is above 10, a weak one between 1 and 10; less nobody can tell from rounding"""
SEED = 20_261_128
NO_TIME = "the measuring left no time to plant one"
NO_PLACE = "none could be planted that changes an answer"
_MOST_QUESTIONS = 4
_MOST_NAMED = 10


@dataclass(frozen=True)
class Original:
    """What the graph was measured against: the original, its inputs, the author's samples, its parameters."""

    reference: Reference
    inputs: Sequence[TensorSpec]
    samples: Mapping[str, Array]
    parameters: Mapping[str, Array]


class Planting:
    """A sound graph, its measurement, and the faults that were planted so far.

    A fault that changes no answer by a noise floor, whatever was tried, counts neither as shown nor as survived: it is
    told apart.
    """

    def __init__(
        self,
        graph: onnx.ModelProto,
        original: Original,
        measurement: Measurement,
        budget: Budget,
        *,
        inside_s: float = 0.0,
        seed: int = SEED,
        looks_inside: bool = True,
    ) -> None:
        """`inside_s`: seconds that it takes to look into one graph, as far as is known before.

        `looks_inside` is what the measurement was told, see there.
        """
        self._graph, self._original, self._budget, self._seed = graph, original, budget, seed
        light = graph.ByteSize() < LIGHT
        more = wider(original.inputs, original.samples, graph, shown_by(graph), seed=seed, light=light)
        self._trials = Trials(
            graph,
            original.reference,
            original.parameters,
            measurement.watched,
            measurement.report.limit,
            measurement.results,
            more,
            budget,
            inside_s,
            looks_inside=looks_inside,
        )
        self._tried: list[tuple[Fault, Outcome]] = []
        self._asked = 0
        self._unanswered: set[int] = set()

    def plant(self, seconds_kept: float = 0.0, most: int = MOST, over: float = 0.0) -> None:
        """Plant up to `most` faults; where some survive, end with so many seconds of the budget left for questions.

        The first five may take `over` seconds more than the budget has.
        The first trial is of the sound graph. It says how long one takes, and none is begun that may not end in time:
        so none is left out for being slow, as a survivor is.
        """
        from onnxpress.export.equivalence.faults.sample import deadly, sample

        self._trials.outcome(self._graph)
        for fault in sample(self._graph, self._seed, most, leave_out=sorted(deadly(self._graph))):
            kept = seconds_kept if self._poor else 0.0
            more = over if len(self._tried) < FEW else 0.0
            if not self._budget.allows(self._trials.longest + kept - more):
                return
            outcome = self._outcome(fault)
            if outcome is not None:
                self._tried.append((fault, outcome))

    def questions(self) -> list[Case]:
        """Few wider cases on which survivors would be seen, as far as the original answers them.

        None where no strong fault survives, and enough of all are shown.
        """
        if not self._poor:
            return []
        chosen: list[Case] = []
        left = [set(outcome.where) for _, outcome in self._survivors() if outcome.where]
        while left and len(chosen) < _MOST_QUESTIONS:
            candidates = ({number for where in left for number in where} & self._trials.wider.keys()) - self._unanswered
            if not candidates:
                break
            best = max(sorted(candidates), key=lambda number: sum(number in where for where in left))
            case = self._trials.wider[best][0]
            if answers(self._original.reference, case):
                chosen.append(case)
                left = [where for where in left if best not in where]
            else:
                self._unanswered.add(best)
        return chosen

    def asked(self, more: Measurement) -> None:
        """Ask the survivors what was now asked besides: the original answers it, and so does the sound graph."""
        self._asked += len(more.results)
        self._trials.ask(more.results)
        again: list[tuple[Fault, Outcome]] = []
        for fault, outcome in self._tried:
            survived = not outcome.shown and outcome.size > WEAK
            if survived and self._budget.allows(self._trials.longest):
                outcome = self._outcome(fault) or outcome
            again.append((fault, outcome))
        self._tried = again

    @property
    def power(self) -> Power:
        """What can be said of the questions now."""
        sizes = [outcome.size for _, outcome in self._tried]
        strong = [outcome for _, outcome in self._tried if outcome.size > STRONG]
        weak = [outcome for _, outcome in self._tried if WEAK < outcome.size <= STRONG]
        planted = len(strong) + len(weak)
        why_not = ""
        if not planted:
            why_not = NO_PLACE if self._tried or self._budget.allows(self._trials.longest) else NO_TIME
        survivors = sorted(self._survivors(), key=lambda pair: -pair[1].size)
        return Power(
            planted=planted,
            shown=sum(outcome.shown for outcome in (*strong, *weak)),
            strong=len(strong),
            strong_shown=sum(outcome.shown for outcome in strong),
            below=sum(0 < size <= WEAK for size in sizes),
            without_effect=sum(size == 0 for size in sizes),
            survivors=[_named(fault, outcome) for fault, outcome in survivors[:_MOST_NAMED]],
            questions=self._asked,
            why_not=why_not,
        )

    @property
    def _poor(self) -> bool:
        """Whether a strong fault survives, or more than a twentieth of all."""
        left = list(self._survivors())
        planted = sum(outcome.size > WEAK for _, outcome in self._tried)
        return any(outcome.size > STRONG for _, outcome in left) or len(left) > (1 - ENOUGH) * planted

    def _survivors(self) -> Iterator[tuple[Fault, Outcome]]:
        for fault, outcome in self._tried:
            if not outcome.shown and outcome.size > WEAK:
                yield fault, outcome

    def _outcome(self, fault: Fault) -> Outcome | None:
        try:
            faulty = fault.graph()
        except (AssertionError, IndexError, TypeError, ValueError):
            return None  # the edit does not fit the place
        return self._trials.outcome(faulty)


def _named(fault: Fault, outcome: Outcome) -> Survivor:
    return Survivor(kind=fault.kind, layer=", ".join(fault.layers[:2]), place=fault.place, multiple=outcome.size)
