"""Every node case of the `onnx` package is asked with one size or another set to 0, each in a process that may die.

ONNX Runtime must die in none but the operators that `fatal` names, and still in each of those.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadModel
from onnxpress.serving.engine import Engine, fatal

pytest.importorskip("onnx")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]
_SECONDS = 20


def emptied(values: list[np.ndarray[Any, Any]]) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The inputs with one axis of one of them cut to 0, and with every axis of one size cut."""
    for size in {size for value in values for size in value.shape}:
        yield [value[tuple(slice(0 if size == own else None) for own in value.shape)] for value in values]
    for number, value in enumerate(values):
        for axis in range(value.ndim):
            cut = value[(slice(None),) * axis + (slice(0),)]
            yield [*values[:number], cut, *values[number + 1 :]]


def ends(engine: Engine, feeds: dict[str, np.ndarray[Any, Any]]) -> int:
    """The signal that a process died of while it ran the model; 0 where it answered or raised."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        signal.alarm(_SECONDS)
        try:
            engine.run(feeds)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx.*", "ignore::DeprecationWarning")
def test_the_runtime_dies_of_empty_tensors_in_these_operators_alone() -> None:
    from onnx.backend.test.loader import load_model_tests

    died: set[str] = set()
    asked = 0
    for case in load_model_tests(kind="node"):
        proto, values = case.model, list(case.data_sets[0][0])
        inputs = proto.graph.input
        tensors = all(value.type.HasField("tensor_type") for value in inputs)
        if not tensors or not all(isinstance(value, np.ndarray) for value in values):
            continue
        for value in inputs:
            for axis, dim in enumerate(value.type.tensor_type.shape.dim):
                dim.dim_param = f"{value.name}_{axis}"
        for value in proto.graph.output:
            if value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")
        try:
            engine = Engine.load(proto.SerializeToString(), threads=1)
        except BadModel:
            continue
        for question in emptied(values):
            asked += 1
            if ends(engine, {spec.name: value for spec, value in zip(inputs, question, strict=True)}):
                died |= set(engine.fatal_when_empty or [case.name])
    assert asked > 10_000
    assert died == set(fatal.OPERATORS)
