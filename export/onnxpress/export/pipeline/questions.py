"""What is asked once there is a graph: over what its inputs take (tables, words), what drives its inner tensors, and
how exact it can be."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from onnxpress.export.equivalence.answerable import answerable
from onnxpress.export.equivalence.cases import cases, largest_batch
from onnxpress.export.equivalence.extremes import extremes
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.values import NOTHING_SHOWN
from onnxpress.export.graph.external_data import is_beside
from onnxpress.export.graph.precision import computes_in_float64
from onnxpress.export.pipeline.prepare import Prepared

if TYPE_CHECKING:
    import onnx


def widened(prepared: Prepared, graph: onnx.ModelProto) -> Prepared:
    """`prepared` with cases over the values that the graph shows, and of rows that drive its inner tensors furthest, as
    far as the original answers them."""
    reference = copy(prepared.reference)  # of its own kind: it may answer under other names
    reference.narrow = not computes_in_float64(graph)
    prepared = replace(prepared, reference=reference)
    known = shown(graph)
    further = [] if is_beside(graph) else extremes(graph, prepared.inputs, prepared.samples, known)
    if known == NOTHING_SHOWN:
        further, left_out = answerable(prepared.reference, further, prepared.inputs)
        return replace(prepared, cases=[*prepared.cases, *further], checks=[*prepared.checks, *left_out])
    parameters = sum(value.size for value in prepared.network.parameters().values())
    largest = largest_batch(parameters, prepared.network.inputs, prepared.network.examples(1) or {})
    chosen = cases(prepared.inputs, prepared.samples, largest=largest, shown=known)
    chosen, left_out = answerable(prepared.reference, [*chosen, *further], prepared.inputs)
    told = [check for check in prepared.checks if check.name not in ("sizes", "values")]
    return replace(prepared, cases=chosen, checks=[*told, *left_out])
