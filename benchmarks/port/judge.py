"""A ported model held against its source by plain calls of both, on questions drawn here.

It shares no code with `port`. What it reads of it is what a user has: the module, the weights, and the report's layout.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.port.subjects import Subject

NEAR = 1e-4
"""of an output's largest value"""
NARROW = 2e-3
"""the same of a model that computes in float16 somewhere, which tells 1e-3 apart"""
FLOAT16 = 10
"""as ONNX numbers it"""
_ROWS = (1, 5, 40)


def told(code: Path, subject: Subject, model: Any, known: dict[str, Any]) -> str:
    """`same`; else what differs, or `not asked: ` and why the source answers no question of this kind."""
    report = json.loads(code.with_suffix(".port.json").read_text())
    names = list(report["inputs"]), list(report["outputs"])
    questions = {"pytorch": _of_torch, "tensorflow": _of_keras, "onnx": _of_file}[subject.framework]
    answer = (_asked_of_keras if subject.to == "tensorflow" else _asked_of_torch)(code)
    asked, near = 0, _near(model)
    for rows, tensors, wanted in questions(model, known, np.random.default_rng(991), *names):
        perms = report["inputs"]
        if set(tensors) != set(perms) and len(tensors) != len(perms):
            return f"not asked: the inputs {list(tensors)} are called {list(perms)}"
        by_name = set(tensors) == set(perms)
        values = list(tensors.values())
        given = [
            np.transpose(tensors[name] if by_name else values[number], perm)
            for number, (name, perm) in enumerate(perms.items())
        ]
        found = _in_order(answer(given), names[1])
        layouts = list(report["outputs"].values())
        if len(found) != len(wanted) or len(layouts) != len(wanted):
            return f"{len(wanted)} answers became {len(found)}"
        for number, (want, got, layout) in enumerate(zip(wanted, found, layouts, strict=True)):
            array = np.asarray(got)
            array = np.transpose(array, np.argsort(layout)) if layout else array
            if said := _different(want, array, near):
                return f"answer {number} of {rows} rows: {said}"
        asked += 1
    return "same" if asked else "not asked: the source answers none of the questions"


def _near(model: Any) -> float:
    if hasattr(model, "graph"):
        narrow = any(value.data_type == FLOAT16 for value in model.graph.initializer)
    else:
        values = model.parameters() if hasattr(model, "parameters") else ()
        narrow = any(str(value.dtype) == "torch.float16" for value in values)
    return NARROW if narrow else NEAR


Questions = Iterator[tuple[int, dict[str, Any], list[Any]]]
"""rows, the arrays that were asked by name, and what the source answers"""


def _of_torch(model: Any, known: dict[str, Any], generator: Any, *_: Any) -> Questions:
    import torch

    model = copy.deepcopy(getattr(model, "_orig_mod", model)).eval()
    for rows in _ROWS:
        structure, tensors = _drawn(known, rows, generator)
        args, kwargs = structure if isinstance(structure, tuple) and len(structure) == 2 else ((structure,), {})
        try:
            with torch.no_grad():
                wanted = [_array(value) for value in _leaves(model(*args, **kwargs))]
        except Exception:  # the source cannot answer so many rows
            continue
        yield rows, tensors, wanted


def _of_keras(model: Any, known: dict[str, Any], generator: Any, inputs: list[str], outputs: list[str]) -> Questions:
    example = known.get("example_inputs")
    if example is not None and not isinstance(example, Mapping):
        example = dict(zip(inputs, _listed(example), strict=True))
    for rows in _ROWS:
        if example is not None:
            tensors = {name: _array_like(np.asarray(v), rows, generator) for name, v in example.items()}
            given: Any = tensors
        else:
            tensors = {value.name: _of_spec(value.shape[1:], value.dtype, rows, generator) for value in model.inputs}
            given = list(tensors.values())
        alone = next(iter(tensors.values())) if len(tensors) == 1 else given
        yield rows, tensors, [np.asarray(v) for v in _in_order(model(alone, training=False), outputs)]


def _of_file(model: Any, known: dict[str, Any], generator: Any, *_: Any) -> Questions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # some change the answers
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for rows in _ROWS:
        tensors = {}
        for value in session.get_inputs():
            if (example := known["samples"].get(value.name)) is not None:
                tensors[value.name] = _array_like(example, rows, generator)
            else:
                kind = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(value.type, value.type[7:-1])
                tensors[value.name] = _of_spec(value.shape[1:], kind, rows, generator)
        try:
            wanted = session.run(None, tensors)
        except Exception:  # the file cannot answer so many rows
            continue
        yield rows, tensors, wanted


def _asked_of_keras(code: Path) -> Callable[[list[Any]], Any]:
    built = module_of(code).build()
    built.load_weights(code.with_suffix(".weights.h5"))
    return lambda given: built(given[0] if len(given) == 1 else given, training=False)


def _asked_of_torch(code: Path) -> Callable[[list[Any]], Any]:
    import torch
    from safetensors.torch import load_model

    built = module_of(code).build()
    load_model(built, str(code.with_suffix(".safetensors")))
    built.eval()

    def ask(given: list[Any]) -> Any:
        with torch.no_grad():
            return built(*[torch.from_numpy(np.ascontiguousarray(value)) for value in given])

    return ask


def _in_order(answer: Any, names: list[str]) -> list[Any]:
    """What was answered, as the report lists it."""
    if isinstance(answer, Mapping) and set(answer) == set(names):
        return [answer[name] for name in names]
    return list(_leaves(answer))


def _of_spec(shape: Any, dtype: str, rows: int, generator: Any) -> Any:
    sizes = [rows, *(size if isinstance(size, int) else 9 for size in shape)]
    if dtype == "bool":
        return generator.random(sizes) > 0.5
    whole = dtype.startswith(("int", "uint"))
    return (generator.integers(0, 5, sizes) if whole else generator.standard_normal(sizes)).astype(dtype)


def module_of(path: Path) -> Any:
    """The written module, imported."""
    spec = importlib.util.spec_from_file_location("judged", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _leaves(getattr(value, field.name))
    elif value is not None:
        yield value


def _drawn(known: dict[str, Any], rows: int, generator: Any) -> tuple[Any, dict[str, Any]]:
    """The arguments of the source, and the arrays in them by name."""
    import torch

    arrays: dict[str, Any] = {}
    if "example_inputs" not in known:
        for spec in known["network_inputs"]:
            sizes = [rows if s == "batch" else (9 if isinstance(s, str) else s) for s in spec.shape]
            arrays[spec.name] = generator.standard_normal(sizes).astype(spec.dtype)
        return ((), {name: torch.from_numpy(array) for name, array in arrays.items()}), arrays
    example = known["example_inputs"]
    first = next(leaf for leaf in _leaves(example) if isinstance(leaf, torch.Tensor))
    batch = first.shape[0]

    def like(value: Any, name: str) -> Any:
        if isinstance(value, torch.Tensor):
            arrays[name] = _array_like(value, rows if value.ndim and value.shape[0] == batch else None, generator)
            return torch.from_numpy(arrays[name].copy()).to(value.dtype)
        if isinstance(value, Mapping):
            return {key: like(part, key) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(like(part, f"{name}.{number}") for number, part in enumerate(value))
        return value

    if isinstance(example, Mapping):
        return ((), like(example, "")), arrays
    return (tuple(like(part, f"argument {n}") for n, part in enumerate(_listed(example))), {}), arrays


def _array(value: Any) -> Any:
    import torch

    return value.float().numpy() if value.dtype in (torch.bfloat16, torch.float16) else value.numpy()


def _listed(example: Any) -> tuple[Any, ...]:
    return tuple(example) if isinstance(example, list | tuple) else (example,)


def _array_like(value: Any, rows: int | None, generator: Any) -> Any:
    """Of the same kind: a tensor's array, or an array's, drawn anew with so many rows."""
    array = value if isinstance(value, np.ndarray) else _array(value)
    shape = (rows, *array.shape[1:]) if rows is not None else array.shape
    if array.dtype == bool:
        return generator.random(shape) > 0.5
    if array.dtype.kind in "iu":
        low, high = int(array.min()), int(array.max())
        drawn = generator.integers(low, high + 1, shape).astype(array.dtype)
        if drawn.ndim == 2 and (low, high) == (0, 1):
            drawn[:, 0] = 1  # a mask that hides everything asks for nothing
        return drawn
    wide = array.astype(np.float64)
    scale = float(wide.std()) or 1.0
    drawn = generator.standard_normal(shape) * scale + float(wide.mean())
    return drawn.astype("float64" if array.dtype == np.float64 else "float32")


def _different(want: Any, got: Any, near: float) -> str:
    if want.shape != got.shape:
        return f"shape {got.shape}, not {want.shape}"
    if want.dtype.kind != "f":
        apart = float(np.mean(want != got)) if want.size else 0.0
        return f"{apart:.0%} differ" if apart > 0.05 else ""  # values within rounding may be decided otherwise
    if not np.array_equal(np.isfinite(want), np.isfinite(got)):
        return "NaN or infinite at other places"
    finite = np.isfinite(want)
    far = np.abs(want[finite].astype(np.float64) - got[finite]).max(initial=0.0)
    scale = float(np.abs(want[finite]).max(initial=0.0)) or 1.0
    return f"off by {far / scale:.1e}" if far > near * scale else ""
