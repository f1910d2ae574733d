"""Parameters of a block's own, and those of a layer that another computation uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.export.port.buffers import formula_of, in_keras
from onnxpress.export.port.code import literal
from onnxpress.export.port.layout import Value, identity
from onnxpress.export.port.steps import Step
from onnxpress.export.port.to_keras.making import (
    member,
)
from onnxpress.export.port.to_keras.writer import Writer


def weight_lines(w: Writer, name: str, attribute: str, shape: tuple[int, ...]) -> list[str]:
    """The lines of `__init__` that make a parameter of the block's own."""
    array = w.array(name)
    kind = "" if str(array.dtype) == "float32" else f', dtype="{array.dtype}"'
    start = '"zeros"'
    if array.dtype.kind == "f" and array.size and np.all(array == 1):
        start = '"ones"'
    elif array.dtype.kind == "f" and w.learns(name) and np.any(array):
        start = f"keras.initializers.RandomNormal(stddev={float(f'{array.std() or abs(array.mean()):.2g}')})"
    elif not w.learns(name) and (formula := formula_of(array)) is not None and np.any(array):
        start = in_keras(formula)
        wide = tuple(size for size in shape if size != 1)
        if shape[len(shape) - len(wide) :] != wide:  # it would be broadcast otherwise
            value = start.removeprefix("keras.initializers.Constant(").removesuffix(")")
            start = f"keras.initializers.Constant(ops.reshape({value}, {literal(shape)}))"
        if "sinusoids(" in start:
            w.shared.helpers.add("sinusoids")
    learns = "" if w.learns(name) else ", trainable=False"
    return [
        f'self.{attribute} = self.add_weight({literal(shape)}, initializer={start}{kind}{learns}, name="{attribute}")'
    ]


def weight_of_layer(w: Writer, step: Step) -> Value:
    """`self.table.embeddings`: the weight of a layer that another computation uses too."""
    path, _, name = step.name.rpartition(".")
    module: Any = w.block.children.get(path)
    kind = type(module).__name__
    code = member(w.attribute(path))
    if path not in w.attributes and kind in ("Embedding", "Linear"):
        w.read_early[path] = f"(None, {module.in_features})" if kind == "Linear" else "None"
    if kind == "Embedding" and name == "weight":
        return Value(f"{code}.embeddings", step.shown, identity(2))
    if kind == "Linear" and name == "weight":
        return Value(f"{code}.kernel", step.shown, (1, 0))
    if name == "bias":
        return Value(f"{code}.bias", step.shown, (0,))
    raise w.refuse(f"the use of the {name} of {kind} elsewhere has no correspondence")
