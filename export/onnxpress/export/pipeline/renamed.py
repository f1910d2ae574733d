"""A prepared source under the names of the file that it is compared with: an exporter may have made up its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import NAMES, Check
from onnxpress.export.network import Choice, Precision
from onnxpress.export.networks.pairing import Kind, paired, told
from onnxpress.export.pipeline.prepare import Prepared
from onnxpress.serving.engine import Engine


class _Renamed(Reference):
    """The reference, asked and answering under the file's names. `feeds` and `answers` are file's name → its own."""

    def __init__(self, reference: Reference, feeds: Mapping[str, str], answers: Mapping[str, str]) -> None:
        theirs = {own: name for name, own in feeds.items()}
        inputs = [msgspec.structs.replace(spec, name=theirs[spec.name]) for spec in reference.inputs]
        super().__init__(reference.network, reference.processing, inputs)
        self._feeds, self._answers = feeds, answers

    def like(self, other: Reference) -> Reference:
        """Another reference of the same names, renamed as this one is."""
        return _Renamed(other, self._feeds, self._answers)

    def run(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        """See Reference; what has no name in the file keeps its own."""
        return self._under_theirs(super().run(self._own(feeds), precision))

    def narrowed(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array] | None:
        """See Reference."""
        found = super().narrowed(self._own(feeds), precision)
        return None if found is None else self._under_theirs(found)

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """See Reference."""
        for found in super().chosen_otherwise(self._own(feeds), limit, turns):
            yield self._under_theirs(found)

    def decisions(self) -> dict[str, tuple[str, Choice]]:
        """See Reference."""
        names = {own: name for name, own in self._answers.items()}
        return {
            names.get(output, output): (names.get(scores, scores), choice)
            for output, (scores, choice) in super().decisions().items()
        }

    def network_feeds(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        """See Reference."""
        return super().network_feeds(self._own(feeds), precision)

    def _under_theirs(self, found: Mapping[str, Array]) -> dict[str, Array]:
        taken = set(self._answers.values())
        return {name: value for name, value in found.items() if name not in taken} | {
            name: found[own] for name, own in self._answers.items()
        }

    def _own(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {own: feeds[name] for name, own in self._feeds.items()}


def alike(reference: Reference, other: Reference) -> Reference:
    """`other`, which has the names that `reference` had, under those that it has now."""
    return reference.like(other) if isinstance(reference, _Renamed) else other


def as_in(engine: Engine, prepared: Prepared) -> Prepared:
    """`prepared` under the names of `engine`'s inputs and outputs, and a check that tells what was paired by place.

    Raises NotEquivalent where they cannot be paired.
    """
    feeds = paired("inputs", _declared(engine.inputs), _declared(prepared.inputs))
    first = prepared.cases[0]
    answers = _observed(prepared.reference.run(first.feeds))
    wanted = prepared.source.outputs
    if wanted is not None:
        answers = {spec.name: answers[spec.name] for spec in wanted}
    elif not prepared.source.processing.after:
        answers = {name: answers[name] for name in prepared.network.output_names}
    outputs = paired("outputs", _declared(engine.outputs), answers)
    sentences = [sentence for sentence in (told("inputs", feeds), told("outputs", outputs)) if sentence]
    if not sentences:
        return prepared
    reference = _Renamed(prepared.reference, feeds, outputs)
    theirs = {own: name for name, own in feeds.items()}

    def renamed(case: Case) -> Case:
        return replace(case, feeds={theirs[own]: value for own, value in case.feeds.items()})

    return replace(
        prepared,
        reference=reference,
        inputs=reference.inputs,
        samples={theirs[own]: value for own, value in prepared.samples.items()},
        cases=[renamed(case) for case in prepared.cases],
        checks=[*prepared.checks, *(Check(name=NAMES, passed=True, detail=sentence) for sentence in sentences)],
    )


def _declared(specs: tuple[TensorSpec, ...] | list[TensorSpec]) -> dict[str, Kind | None]:
    return {spec.name: (spec.dtype, spec.shape) for spec in specs}


def _observed(answers: Mapping[str, Array]) -> dict[str, Kind | None]:
    return {
        name: ("string" if value.dtype.kind in "UO" else str(value.dtype), value.shape)
        for name, value in answers.items()
    }
