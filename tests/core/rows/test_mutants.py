"""Safe graphs changed at one place: none is proven whose rows then look at each other when it runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
from onnx import numpy_helper
from tests.core.rows import safe_graphs
from tests.core.rows.brute_force import dependency
from tests.core.rows.notation import Case
from tests.core.rows.test_rows import by_name, rows

from onnxpress.core.onnx_graph import Model
from onnxpress.core.rows import Proven, prove


def mutants(case: Case) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Every axis, order of axes and small number turned to others; every input of a node exchanged with another."""
    original = case.proto()
    for number, node in enumerate(original.graph.node):
        for place, attribute in enumerate(node.attribute):
            values = list(attribute.ints) if attribute.type == onnx.AttributeProto.INTS else [attribute.i]
            if attribute.type not in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS):
                continue
            for changed in _changed(values):
                mutant = case.proto()
                target = mutant.graph.node[number].attribute[place]
                if attribute.type == onnx.AttributeProto.INT:
                    target.i = changed[0]
                else:
                    target.ints[:] = changed
                yield f"{node.op_type}.{attribute.name} = {changed}", mutant
        if len(node.input) > 1 and node.input[0] != node.input[1]:
            mutant = case.proto()
            first, second = node.input[:2]
            mutant.graph.node[number].input[0], mutant.graph.node[number].input[1] = second, first
            yield f"{node.op_type} with its inputs exchanged", mutant
    for number, tensor in enumerate(original.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.int64 or value.size > 8:
            continue
        for changed in _changed(value.ravel().tolist()):
            mutant = case.proto()
            turned = np.array(changed, np.int64).reshape(value.shape)
            mutant.graph.initializer[number].CopyFrom(numpy_helper.from_array(turned, tensor.name))
            yield f"{tensor.name} = {changed}", mutant


def _changed(values: list[int]) -> Iterator[list[int]]:
    for at, value in enumerate(values):
        for other in (0, 1, 2, -1, -2, 3, 4):
            if other != value:
                yield [*values[:at], other, *values[at + 1 :]]
    for at in range(len(values) - 1):
        if values[at] != values[at + 1]:
            yield [*values[:at], values[at + 1], values[at], *values[at + 2 :]]


@pytest.mark.parametrize("case", safe_graphs.CASES, ids=by_name)
def test_no_mutant_that_mixes_rows_is_proven(case: Case) -> None:
    for what, mutant in mutants(case):
        content = mutant.SerializeToString()
        if prove(Model(content)) != Proven():
            continue
        try:
            found = dependency(content, rows(mutant, 1), [rows(mutant, 2), rows(mutant, 3, 1e4)])
        except Exception:  # the runtime refuses the graph
            continue
        assert found is None, what
