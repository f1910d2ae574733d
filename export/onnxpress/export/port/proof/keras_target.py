"""The written Keras module, imported, filled and asked in the source's own order of axes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.building import built
from onnxpress.export.port.to_keras.model import Code
from onnxpress.export.port.to_keras.writer import Carried

_NARROW = re.compile(r'(?<!name=)"float16"')


class KerasTarget:
    """The model that `path` builds, its weights made of the source's `state`; in float32 or float64."""

    def __init__(
        self, path: Path, code: Code, state: Mapping[str, Array], names: list[str], outputs: list[str]
    ) -> None:
        self._path, self._code, self._state = path, code, state
        self.names, self._outputs = names, outputs
        self._models: dict[str, Any] = {}
        self._function: Any = None

    def model(self, precision: str = "float32") -> Any:
        """The built and filled model."""
        if precision not in self._models:
            with _floats(precision):
                path = self._path if precision == "float32" else _widened(self._path)
                self._models[precision] = built(path, f"ported_{self._path.stem}_{precision}")
            self.fill(precision)
        return self._models[precision]

    def forget(self, precision: str = "float32") -> None:
        """Free the model in this precision; it is built anew when it is asked for."""
        self._models.pop(precision, None)
        if precision == "float32":
            self._function = None

    def fill(self, precision: str) -> None:
        """Put the source's weights in."""
        for one in self._code.carried:
            variable = self.variable(one, precision)
            value = one.carry(*(_wide(self._state[name], precision) for name in one.sources))
            variable.assign(np.asarray(value).astype(str(variable.dtype)))

    def variable(self, one: Carried, precision: str = "float32") -> Any:
        """The weight that `one` says where to find."""
        return self.layer(one.path, precision)

    def layer(self, path: tuple[str | int, ...], precision: str = "float32") -> Any:
        """What lies there from the model on."""
        found = self.model(precision)
        if not self._code.sequence:
            found = next(layer for layer in found.layers if type(layer).__name__ == self._code.name)
        for part in path:
            if isinstance(part, int):
                found = found.layers[part] if hasattr(found, "layers") else found[part]
            else:
                found = getattr(found, part)
        return found

    def inputs(self, feeds: dict[str, Array]) -> list[Array]:
        """The feeds with their axes as the written model takes them."""
        return [np.transpose(feeds[name], perm) for name, perm in zip(self.names, self._code.inputs, strict=True)]

    def call(self, inputs: list[Any], precision: str, *, training: bool) -> list[Any]:
        """The written model's answers one after the other, in its own order of axes."""
        model = self.model(precision)
        with _floats(precision):
            answer = model(inputs[0] if len(inputs) == 1 else inputs, training=training)
        return _flat(answer, self._code.outputs)

    def perms(self) -> list[tuple[int, ...]]:
        """The layout of each answer."""
        return _flat(self._code.outputs, self._code.outputs)

    def answer(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """In float32, by name, with the axes as the source has them."""
        import tensorflow as tf

        if self._function is None:
            self.model()  # variables are made outside of what is traced
            self._function = tf.function(
                lambda *tensors: self.call(list(tensors), "float32", training=False),
                autograph=False,
                reduce_retracing=True,
            )
        return self.named(self._function(*(tf.constant(value) for value in self.inputs(feeds))))

    def named(self, found: list[Any]) -> dict[str, Array]:
        """Answers in the written model's order of axes → by name, in the source's."""
        return {
            name: np.transpose(np.asarray(value), np.argsort(perm)) if perm else np.asarray(value)
            for name, value, perm in zip(self._outputs, found, self.perms(), strict=True)
        }


@contextlib.contextmanager
def _floats(precision: str) -> Iterator[None]:
    """Layers are made, and floats without a dtype computed, in this precision."""
    import keras

    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(policy)


def _widened(path: Path) -> Path:
    """The module with float64 for what it asks to be float16, as the source is in float64; itself where it does not."""
    text = path.read_text()
    if (wide := _NARROW.sub('"float64"', text)) == text:
        return path
    other = path.with_name(f"{path.stem}_in_float64.py")
    other.write_text(wide)
    return other


def _wide(value: Array, precision: str) -> Array:
    return value.astype("float64") if value.dtype.kind == "f" and precision == "float64" else value


def _flat(value: Any, structure: Any) -> list[Any]:
    if isinstance(structure, tuple):
        return [value]
    if isinstance(structure, dict):
        return [item for key, part in structure.items() for item in _flat(value[key], part)]
    values = value if len(structure) > 1 or isinstance(value, list | tuple) else [value]
    return [item for one, part in zip(values, structure, strict=True) for item in _flat(one, part)]
