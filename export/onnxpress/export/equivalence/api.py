"""`from onnxpress.export import measure`: the measurement for a user's own test, on any two things that answer inputs.

report = measure(original, "model.onnx", inputs=["x:float32[batch,30]"], samples={"x": rows})
assert report.equivalent, report
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, OnnxpressError, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import TensorSpec, parse_spec
from onnxpress.export.equivalence.answerable import answerable
from onnxpress.export.equivalence.cases import Case, cases
from onnxpress.export.equivalence.extremes import extremes
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.export.equivalence.measurement import Measurement, Runnable
from onnxpress.export.equivalence.measurement import measure as measure_rungs
from onnxpress.export.equivalence.power.planting import Original
from onnxpress.export.equivalence.power.stating import LARGEST, TOO_LARGE, stated, without_power
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Report
from onnxpress.export.equivalence.ties import untied
from onnxpress.export.equivalence.values import NOTHING_SHOWN
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    import onnx

Answers = Mapping[str, Array]
Function = Callable[..., Answers]


def measure(
    original: Function,
    export: str | Path | bytes | Function,
    *,
    inputs: Sequence[str | TensorSpec],
    samples: Mapping[str, Array] | None = None,
    truth: Function | None = None,
    limit: float = LIMIT,
) -> Report:
    """Compare `export` with `original` on samples, generated inputs and edge cases; see Report.

    `original` and `truth` are called with one numpy array for each input, by name, and return output name → array.
    `truth` gets its float inputs in float64 and must compute in it; without it the noise floor is how far the
    original's answer moves when its inputs move by one unit in the last place. `export` is an `.onnx` file, its bytes,
    or another such function. `inputs` are written `x:float32[batch,30]`; `samples` hold real rows by input name.

    The report of a graph that agrees says how many small faults these questions would have shown. More are asked where
    too many would not have been; see `docs/equivalence-report.md`.

    >>> def original(features):
    ...     return {
    ...         "label": estimator.predict(features).astype(object),
    ...         "probabilities": estimator.predict_proba(features).astype("float32"),
    ...     }
    >>> report = onnxpress.measure(
    ...     original, "models/iris/1/model.onnx", inputs=["features:float32[batch,4]"], samples={"features": rows}
    ... )
    >>> report.equivalent, report.worst_multiple < report.limit
    (True, True)

    Raises UsageError where the two have different outputs or the specifications cannot be read, BadModel where the
    graph cannot be loaded.
    """
    specs = [parse_spec(spec) if isinstance(spec, str) else spec for spec in inputs]
    functions = _Functions(original, truth, specs)
    careful = Reference(_Careful(functions), Processing(), specs)
    graph, why_not = _graph(export)
    known = NOTHING_SHOWN if graph is None else shown(graph)
    chosen = cases(specs, dict(samples or {}), shown=known)
    if graph is not None:
        chosen += extremes(graph, specs, dict(samples or {}), known)
    chosen, left_out = answerable(careful, chosen, specs)
    candidate: Runnable = _Function(export) if callable(export) else _engine(export)
    proof = None if callable(export) else proof_of(export if isinstance(export, bytes) else Path(export))
    expected = functions.run(chosen[0].feeds, "float32")
    answers = candidate.run(chosen[0].feeds)
    if expected.keys() != answers.keys():
        raise UsageError(f"the original answers {', '.join(expected)}; the export {', '.join(answers)}")
    outputs = [_observed(name, value) for name, value in expected.items()]
    reference = Reference(functions, Processing(), specs)

    def measured(asked: Sequence[Case]) -> Measurement:
        rungs = {"export": candidate}
        return measure_rungs(
            reference,
            rungs,
            asked,
            outputs,
            served="export",
            limit=limit,
            checks=left_out,
            graph=graph,
            proof=proof,
            looks_inside=False,  # a truth of other people's may hold weights that float32 cannot
        )

    began = time.process_time()
    result = measured(chosen)
    if graph is None:
        return without_power(result, why_not).report
    took = time.process_time() - began
    return stated(
        result,
        graph,
        Original(careful, specs, dict(samples or {}), {}),
        outputs,
        lambda asked: measured(untied(graph, asked) or chosen[:1]),
        measuring_s=took,
        question_s=took / len(chosen),
        looks_inside=False,
    ).report


class _Functions:
    """The original and the truth as one thing that is asked in two precisions."""

    def __init__(self, original: Function, truth: Function | None, inputs: list[TensorSpec]) -> None:
        self._original, self._truth, self.inputs = original, truth, inputs

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        if precision == "float32":
            return _arrays(self._original, feeds)
        if self._truth is None:
            raise TruthUnavailable("no function that computes in float64 was given")
        return _arrays(self._truth, feeds)


class _Careful:
    """The same for questions that nobody showed: whatever the original raises says that it does not answer."""

    def __init__(self, functions: _Functions) -> None:
        self._functions, self.inputs = functions, functions.inputs

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        try:
            return self._functions.run(feeds, precision)
        except OnnxpressError:
            raise
        except Exception as error:
            raise BadModel(f"the original fails: {error}") from error


class _Function:
    def __init__(self, function: Function) -> None:
        self._function = function

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return _arrays(self._function, feeds)


def _engine(export: str | Path | bytes) -> Engine:
    return Engine.load(export if isinstance(export, bytes) else Path(export), self_test=False)


def _graph(export: str | Path | bytes | Function) -> tuple[onnx.ModelProto | None, str]:
    """The graph with its weights, wherever they lie; or none, and why no fault can be planted in one."""
    if callable(export):
        return None, "there is no graph to plant them in"
    try:
        import onnx
        from onnx.external_data_helper import load_external_data_for_model
    except ImportError:
        return None, "planting them needs the package onnx"
    if isinstance(export, bytes):
        return onnx.load_from_string(export), ""
    graph = onnx.load(export, load_external_data=False)
    sizes = (onnx.helper.tensor_dtype_to_np_dtype(value.data_type).itemsize for value in graph.graph.initializer)
    if sum(math.prod(value.dims) * size for value, size in zip(graph.graph.initializer, sizes, strict=True)) > LARGEST:
        return None, TOO_LARGE
    load_external_data_for_model(graph, str(Path(export).parent))
    return graph, ""


def _arrays(function: Function, feeds: Mapping[str, Array]) -> dict[str, Array]:
    # A copy for each call: a function may write into its inputs.
    answers = function(**{name: np.array(value) for name, value in feeds.items()})
    if not isinstance(answers, Mapping):
        name = getattr(function, "__name__", type(function).__name__)
        raise UsageError(f"{name} returned {type(answers).__name__}", hint="return output name → array")
    return {name: np.asarray(value) for name, value in answers.items()}


def _observed(name: str, value: Array) -> TensorSpec:
    """Whether rows answer alone as in a batch is judged where the first axis is the batch; case 0 has one row."""
    dtype = "string" if value.dtype.kind in "UO" else str(value.dtype)
    shape: tuple[int | str, ...] = tuple(value.shape)
    return TensorSpec(name=name, dtype=dtype, shape=("batch", *shape[1:]) if shape[:1] == (1,) else shape)
