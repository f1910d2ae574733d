"""A ported model held against its source by plain calls of both frameworks, on questions drawn here.

It shares no code with `port`. What it reads of it is what a user has: the module, the weights, and the report's layout.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

NEAR = 1e-4
"""of an output's largest value"""
_ROWS = (1, 5, 40)


def told(code: Path, model: Any, known: dict[str, Any]) -> str:
    """`same`; else what differs, or `not asked: ` and why the source answers no question of this kind."""
    import torch

    built = _module(code).build()
    built.load_weights(code.with_suffix(".weights.h5"))
    report = json.loads(code.with_suffix(".port.json").read_text())
    model = copy.deepcopy(getattr(model, "_orig_mod", model)).eval()
    generator = np.random.default_rng(991)
    asked = 0
    for rows in _ROWS:
        structure, tensors = _drawn(known, rows, generator)
        args, kwargs = structure if isinstance(structure, tuple) and len(structure) == 2 else ((structure,), {})
        try:
            with torch.no_grad():
                wanted = [_array(value) for value in _leaves(model(*args, **kwargs))]
        except Exception:  # the source cannot answer so many rows
            continue
        names, perms = list(tensors), report["inputs"]
        if set(names) != set(perms) and len(names) != len(perms):
            return f"not asked: the inputs {names} are called {list(perms)}"
        by_name = set(names) == set(perms)
        given = [
            np.transpose(tensors[name if by_name else names[number]], perm)
            for number, (name, perm) in enumerate(perms.items())
        ]
        found = list(_leaves(built(given[0] if len(given) == 1 else given, training=False)))
        layouts = list(report["outputs"].values())
        if len(found) != len(wanted) or len(layouts) != len(wanted):
            return f"{len(wanted)} answers became {len(found)}"
        for number, (want, got, layout) in enumerate(zip(wanted, found, layouts, strict=True)):
            array = np.asarray(got)
            array = np.transpose(array, np.argsort(layout)) if layout else array
            if said := _different(want, array):
                return f"answer {number} of {rows} rows: {said}"
        asked += 1
    return "same" if asked else "not asked: the source answers none of the questions"


def _module(path: Path) -> Any:
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
    import torch

    shape = (rows, *value.shape[1:]) if rows is not None else tuple(value.shape)
    if value.dtype == torch.bool:
        return generator.random(shape) > 0.5
    if not value.is_floating_point():
        array = value.numpy()
        low, high = int(array.min()), int(array.max())
        drawn = generator.integers(low, high + 1, shape).astype(array.dtype)
        if drawn.ndim == 2 and (low, high) == (0, 1):
            drawn[:, 0] = 1  # a mask that hides everything asks for nothing
        return drawn
    wide = value.double().numpy()
    scale = float(wide.std()) or 1.0
    drawn = generator.standard_normal(shape) * scale + float(wide.mean())
    return drawn.astype("float64" if value.dtype == torch.float64 else "float32")


def _different(want: Any, got: Any) -> str:
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
    return f"off by {far / scale:.1e}" if far > NEAR * scale else ""
