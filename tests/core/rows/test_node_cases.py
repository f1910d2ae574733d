"""The proof against the runtime on the onnx package's own node cases: every operator, with the rows at every axis."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, combinations, islice, product
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the node cases come with the onnx package")
pytest.importorskip("onnxruntime")
import onnx
from onnx import helper, numpy_helper
from tests.core.rows.brute_force import dependency, session

from onnxpress.core.arrays import Array
from onnxpress.core.onnx_graph import Model
from onnxpress.core.rows import Proven, prove
from onnxpress.core.rows.walk import MALFORMED

_MANY = 40
"""nodes from which on a case is a whole network"""
_CHOICES = 24
"""of inputs that have rows, and of their axes"""
G = np.random.default_rng(0)


def cases() -> Iterator[Any]:
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of them make NaN on purpose
        found = collect_testcases(None)
    yield from sorted(found, key=lambda case: case.name)


def arrays(case: Any) -> list[Array] | None:
    """The inputs of a case, None where one is no tensor."""
    if case.model is None or not case.data_sets or len(case.data_sets[0][0]) != len(case.model.graph.input):
        return None
    found = []
    for value, declared in zip(case.data_sets[0][0], case.model.graph.input, strict=True):
        if not declared.type.HasField("tensor_type") or isinstance(value, list):
            return None
        array = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
        if declared.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            texts = [text.decode() if isinstance(text, bytes) else text for text in array.ravel().tolist()]
            array = np.array(texts, object).reshape(array.shape)
        found.append(array)
    return found


def batched(
    model: onnx.ModelProto, given: Sequence[Array], answers: Sequence[Array]
) -> Iterator[tuple[Any, bytes, dict[int, int]]]:
    """The case with rows in some of its inputs, at some axis of each, and its answers' axis turned to the front.

    Yields what was chosen, the model, and input → axis of the rows; all other inputs are constants.
    """
    numbers = [number for number, value in enumerate(given) if value.ndim]
    subsets = chain.from_iterable(combinations(numbers, count) for count in range(1, min(len(numbers), 4) + 1))
    for subset in islice(subsets, _CHOICES):
        for axes in islice(product(*(range(min(given[number].ndim, 4)) for number in subset)), _CHOICES):
            places = dict(zip(subset, axes, strict=True))
            for front in range(4):
                for content in turned(model, given, answers, places, front):
                    yield front, content, places


def turned(
    model: onnx.ModelProto, given: Sequence[Array], answers: Sequence[Array], places: dict[int, int], front: int
) -> Iterator[bytes]:
    graph = onnx.GraphProto(name="g")
    for number, declared in enumerate(model.graph.input):
        value, element = given[number], declared.type.tensor_type.elem_type
        if number not in places:
            constant = numpy_helper.from_array(value, declared.name)
            constant.data_type = element
            graph.initializer.append(constant)
            continue
        axis = places[number]
        rest = [size for at, size in enumerate(value.shape) if at != axis]
        graph.input.append(helper.make_tensor_value_info(f"in_{number}", element, ["N", *rest]))
        order = list(range(1, value.ndim))
        order.insert(axis, 0)
        graph.node.append(helper.make_node("Transpose", [f"in_{number}"], [declared.name], perm=order))
    graph.initializer.extend(model.graph.initializer)
    graph.node.extend(model.graph.node)
    outputs = []
    for declared, value in zip(model.graph.output, answers, strict=True):
        if value.ndim <= front or not declared.name:
            continue
        order = [front, *(at for at in range(value.ndim) if at != front)]
        graph.node.append(helper.make_node("Transpose", [declared.name], [f"out_{declared.name}"], perm=order))
        output = onnx.ValueInfoProto(name=f"out_{declared.name}")
        output.type.tensor_type.elem_type = declared.type.tensor_type.elem_type
        outputs.append(output)
    for chosen in [outputs, *([[one] for one in outputs] if len(outputs) > 1 else [])]:
        if chosen:
            made = onnx.ModelProto()
            made.CopyFrom(model)
            made.graph.CopyFrom(graph)
            made.graph.output.extend(chosen)
            yield made.SerializeToString()


def rows_of(value: Array, axis: int) -> Array:
    """Five rows like those of the case, at the front."""
    pool = np.moveaxis(value, axis, 0)
    if not pool.size:
        return np.zeros((5, *pool.shape[1:]), pool.dtype)
    drawn = pool[G.integers(0, len(pool), 5)].copy()
    if drawn.dtype.kind == "f":
        noise = G.uniform(-2, 2, (5, *(1,) * (drawn.ndim - 1)))
        return np.asarray(drawn * noise + G.standard_normal(drawn.shape) * 0.3).astype(drawn.dtype)
    if drawn.dtype.kind == "b":
        return G.random(drawn.shape) < 0.5
    return np.asarray(G.choice(pool.ravel(), drawn.shape), pool.dtype)


def rows_first(
    model: onnx.ModelProto, given: Sequence[Array], answers: Sequence[Array]
) -> Iterator[tuple[Any, bytes, dict[int, int]]]:
    """As `batched`, with the first axis for rows everywhere: in each input alone, and in all of them."""
    numbers = [number for number, value in enumerate(given) if value.ndim]
    for subset in dict.fromkeys([*((number,) for number in numbers), tuple(numbers)]):
        places = dict.fromkeys(subset, 0)
        for content in islice(turned(model, given, answers, places, 0), 1 if places else 0):
            yield 0, content, places


def held(choices: Callable[..., Iterator[tuple[Any, bytes, dict[int, int]]]], least: int) -> None:
    """Whatever is proven of one of the choices holds when it runs; at least so many operators are proven."""
    proven: set[str] = set()
    wrong = []
    for case in cases():
        given = arrays(case)
        if given is None or len(case.model.graph.node) > _MANY:
            continue
        names = [declared.name for declared in case.model.graph.input]
        try:
            answers = session(case.model.SerializeToString()).run(None, dict(zip(names, given, strict=True)))
        except Exception:  # an operator, or a type of it, that the runtime does not have
            continue
        if not all(isinstance(answer, np.ndarray) for answer in answers):
            continue
        for front, content, places in choices(case.model, given, answers):
            answer = prove(Model(content))
            if not isinstance(answer, Proven):
                if answer.reason == MALFORMED and len(places) == 1:
                    wrong.append(f"{case.name} {places} {front}: {answer}")
                continue
            asked, *others = ({f"in_{at}": rows_of(given[at], axis) for at, axis in places.items()} for _ in range(3))
            try:
                found = dependency(content, asked, others)
            except Exception:  # the case's own sizes are fixed within it
                continue
            proven |= {node.op_type for node in case.model.graph.node}
            if found is not None:
                wrong.append(f"{case.name} {places} {front}: {found}")
    assert not wrong, "\n".join(wrong[:20])
    assert len(proven) > least


def test_what_is_proven_with_the_rows_first_holds_when_it_runs() -> None:
    held(rows_first, 100)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_is_proven_of_an_operator_holds_when_it_runs() -> None:
    held(batched, 120)
