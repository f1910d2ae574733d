"""A published file held against the framework by code that shares nothing with `export`.

The file is opened by ONNX Runtime alone, with its defaults. The original is asked by its own public call. Questions are
drawn here, beyond what the author showed, and outputs are found under the names that the author knows. What the
product's own measurement overlooks, because reference and export share a mistake, shows here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
_OF = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(string)": np.object_,
}  # fmt: skip
_NEAR = 1e-3
"""of an output's scale"""
_SIZES = {"batch": (1, 3, 8)}


def judge(folder: Path, model: Any, framework: str, examples: Mapping[str, Any]) -> str:
    """Compare on own questions; why this original cannot be asked here, or nothing where it was.

    `examples` are arrays by input name, which tell scale and valid ids. Raises AssertionError where answers differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    ask = {"pytorch": _torch, "tensorflow": _keras, "sklearn": _sklearn}[framework](model, session)
    if isinstance(ask, str):
        return ask
    generator = np.random.default_rng(20_261_128)
    asked = 0
    for rows in _SIZES["batch"]:
        feeds = _drawn(session, manifest, examples, rows, generator)
        if isinstance(feeds, str):
            return feeds
        try:
            expected = ask(feeds)
        except Exception:  # the original itself cannot answer such rows
            continue
        answers = dict(zip([value.name for value in session.get_outputs()], session.run(None, feeds), strict=True))
        _compare(expected, answers)
        asked += 1
    return "" if asked else "the original answers none of the questions"


def _drawn(session: Any, manifest: Any, examples: Mapping[str, Any], rows: int, generator: Any) -> Arrays | str:
    sizes: dict[str, int] = {"batch": rows}
    feeds: Arrays = {}
    domains = {spec["name"]: spec.get("domain") or {} for spec in manifest["inputs"]}
    for value in session.get_inputs():
        if any(isinstance(size, str) and "+" in size for size in value.shape):
            return "sizes that are sums of others"
        shape = [sizes.setdefault(size, 6) if isinstance(size, str) else size for size in value.shape]
        dtype, example, domain = _OF[value.type], examples.get(value.name), domains.get(value.name, {})
        if dtype is np.object_:
            if example is None:
                return "words without an example"
            feeds[value.name] = generator.choice(np.asarray(example, object).ravel(), shape)
        elif np.issubdtype(dtype, np.floating):
            scale = 1.0 if example is None else float(np.abs(np.asarray(example, np.float64)).max()) or 1.0
            drawn = generator.standard_normal(shape) * scale
            feeds[value.name] = np.clip(drawn, domain.get("low", -np.inf), domain.get("high", np.inf)).astype(dtype)
        elif dtype is np.bool_:
            feeds[value.name] = generator.random(shape) > 0.5
        else:
            low, high = domain.get("low", 0), domain.get("high", None if example is None else np.max(example))
            if high is None:
                return "integers without an example"
            feeds[value.name] = generator.integers(int(low), int(high) + 1, shape).astype(dtype)
    return feeds


def _torch(model: Any, session: Any) -> Any:
    import torch

    names = [value.name for value in session.get_inputs()]
    known = list(inspect.signature(model.forward).parameters) if hasattr(model, "forward") else []
    if len(names) > 1 and not set(names) <= set(known):
        return "arguments that are no plain tensors"
    copied = copy.deepcopy(model).eval()

    def ask(feeds: Arrays) -> Any:
        tensors = {name: torch.from_numpy(value.copy()) for name, value in feeds.items()}
        with torch.no_grad():
            answer = copied(*tensors.values()) if len(names) == 1 else copied(**tensors)
        return _flat(answer, lambda value: value.numpy())

    return ask


def _keras(model: Any, session: Any) -> Any:
    import keras
    import tensorflow as tf

    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        return "no functional Keras model"
    names = [value.name for value in session.get_inputs()]
    own = [str(value.name) for value in model.inputs]
    if set(own) != set(names):
        return "inputs under other names"

    def ask(feeds: Arrays) -> Any:
        given = [tf.constant(feeds[name].astype(str) if feeds[name].dtype == object else feeds[name]) for name in own]
        structured = tf.nest.pack_sequence_as(model._inputs_struct, given) if len(own) > 1 else given[0]
        return _flat(model(structured, training=False), np.asarray)

    return ask


def _sklearn(model: Any, session: Any) -> Any:
    names = [value.name for value in session.get_inputs()]
    if len(names) != 1:
        return "a table of named columns"

    def ask(feeds: Arrays) -> Any:
        (rows,) = feeds.values()
        rows = rows.ravel() if rows.dtype == object else rows
        if hasattr(model, "predict_proba"):
            return {"label": model.predict(rows), "probabilities": model.predict_proba(rows)}
        if not hasattr(model, "predict"):
            return [np.asarray(model.transform(rows))]
        return [model.predict(rows)]

    return ask


def _flat(answer: Any, array: Any) -> Any:
    """Arrays by the author's keys, or in order."""
    if isinstance(answer, Mapping):
        if all(not isinstance(value, Mapping | list | tuple) for value in answer.values()):
            return {str(name): array(value) for name, value in answer.items() if value is not None}
        return [part for value in answer.values() for part in _listed(_flat(value, array))]
    if isinstance(answer, list | tuple):
        return [part for value in answer if value is not None for part in _listed(_flat(value, array))]
    return [array(answer)]


def _listed(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else list(found)


def _compare(expected: Any, answers: Arrays) -> None:
    if isinstance(expected, dict) and set(expected) <= set(answers):
        pairs = [(name, answers[name], value) for name, value in expected.items()]
    else:
        listed = _listed(expected)
        assert len(listed) <= len(answers), f"{len(listed)} outputs became {len(answers)}"
        pairs = [(name, got, value) for (name, got), value in zip(answers.items(), listed, strict=False)]
    for name, got, value in pairs:
        want = np.asarray(value)
        if got.ndim == want.ndim + 1 and got.shape[-1] == 1:
            got = got[..., 0]  # scikit-learn's regressors answer a column in ONNX
        assert got.shape == want.shape, f"{name}: {got.shape}, not {want.shape}"
        if want.dtype.kind == "f":
            assert (np.isnan(got) == np.isnan(want)).all(), f"{name}: NaN at other places"
            finite = np.isfinite(want)
            scale = float(np.abs(want[finite]).max()) if finite.any() else 0.0
            far = np.abs(got[finite].astype(np.float64) - want[finite])
            assert not far.size or far.max() <= _NEAR * (scale or 1.0), f"{name}: off by {far.max() / (scale or 1):.1e}"
        elif want.size:
            got_text, want_text = got.astype(str), want.astype(str)
            if want.dtype.kind == "S":
                want_text = np.char.decode(want.astype("S"))
            # Scores within rounding of each other may decide one row otherwise.
            assert (got_text == want_text).mean() >= 0.95, (
                f"{name}: {(got_text != want_text).sum()} of {want.size} differ"
            )
