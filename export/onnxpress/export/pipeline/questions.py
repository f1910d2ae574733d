"""What is asked once there is a graph: over what its inputs take (tables, words), and how exact it can be."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from onnxpress.export.equivalence.answerable import answerable
from onnxpress.export.equivalence.cases import cases, largest_batch
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.values import NOTHING_SHOWN
from onnxpress.export.graph.precision import computes_in_float64
from onnxpress.export.pipeline.prepare import Prepared

if TYPE_CHECKING:
    import onnx


def widened(prepared: Prepared, graph: onnx.ModelProto) -> Prepared:
    """`prepared` with cases over the values that the graph shows, as far as the original answers them."""
    reference = copy(prepared.reference)  # of its own kind: it may answer under other names
    reference.narrow = not computes_in_float64(graph)
    prepared = replace(prepared, reference=reference)
    known = shown(graph)
    if known == NOTHING_SHOWN:
        return prepared
    parameters = sum(value.size for value in prepared.network.parameters().values())
    largest = largest_batch(parameters, prepared.network.inputs, prepared.network.examples(1) or {})
    chosen = cases(prepared.inputs, prepared.samples, largest=largest, shown=known)
    chosen, left_out = answerable(prepared.reference, chosen, prepared.inputs)
    told = [check for check in prepared.checks if check.name not in ("sizes", "values")]
    return replace(prepared, cases=chosen, checks=[*told, *left_out])
