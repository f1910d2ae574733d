"""A source made ready to be converted and measured: its reference, its cases, and what was checked so far."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.core import domains
from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.processing import Label, TopK, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.answerable import answerable
from onnxpress.export.equivalence.cases import Case, cases, largest_batch
from onnxpress.export.equivalence.dependent_sizes import with_sums
from onnxpress.export.equivalence.preflight import repeatable
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.network import Network
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.source import Source


@dataclass(frozen=True)
class Prepared:
    """A source ready to be converted and measured: its reference, its cases, and what was checked so far."""

    source: Source
    network: Network
    reference: Reference
    inputs: list[TensorSpec]
    samples: dict[str, Array]
    cases: list[Case]
    checks: list[Check]


def prepare(source: Source) -> Prepared:
    """Wrap the network, choose the inputs to measure on, and ask the original for answers it must be able to repeat."""
    network = wrap(source)
    network.talk += source.talk
    inputs = domains.narrowed(source.inputs or network.inputs, source.domains)
    domains.check_samples(inputs, source.samples)
    samples = source.samples or domains.inside(inputs, network.examples(8) or {})
    reference = Reference(network, source.processing, inputs)
    if source.inputs is None:  # else steps stand before the network, and its sizes are not the caller's
        summed = with_sums(reference, inputs, samples)
        if summed != inputs:
            inputs = network.inputs = summed
            reference = Reference(network, source.processing, inputs)
    parameters = sum(value.size for value in network.parameters().values())
    chosen = cases(inputs, samples, largest=largest_batch(parameters, network.inputs, network.examples(1) or {}))
    _refuse_unfed(source, network, chosen[0])
    _refuse_labels(source, reference, chosen[0])
    chosen, left_out = answerable(reference, chosen, inputs)
    checks = [Check(name="inference mode", passed=True, detail=note) for note in network.notes]
    checks += [repeatable(reference, network, chosen), *left_out]
    return Prepared(source, network, reference, inputs, samples, chosen, checks)


def _refuse_unfed(source: Source, network: Network, case: Case) -> None:
    """Raise UsageError where the described steps do not make what the network takes."""
    if not source.processing.before:
        return
    tensors = apply(source.processing.before, case.feeds)
    absent = [spec.name for spec in network.inputs if spec.name not in tensors]
    if absent:
        raise UsageError(
            f"the network takes {', '.join(absent)}; the steps before it make {', '.join(tensors)}",
            where=source.reference,
            hint="name the last step's output after the network's input",
        )


def _refuse_labels(source: Source, reference: Reference, case: Case) -> None:
    """Raise UsageError where a step has not a label for each of the scores that it names."""
    after = source.processing.after
    if not any(isinstance(step, Label | TopK) for step in after):
        return
    tensors = apply(source.processing.before, case.feeds)
    tensors |= reference.network.run(reference.network_feeds(case.feeds), "float32")
    for step in after:
        if isinstance(step, Label | TopK) and step.input in tensors:
            width = tensors[step.input].shape[-1]
            if width != len(step.labels):
                raise UsageError(
                    f"there are {len(step.labels)} labels, and {step.input!r} has {width} scores",
                    where=source.reference,
                    hint="give one label for each, in the order of the network's outputs",
                )
        if any(name not in tensors for name in step.reads):
            return  # which one is told when the steps are written into the graph
        tensors |= step.outputs(tensors, "float32")
