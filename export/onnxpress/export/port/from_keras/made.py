"""Arrays that a layer's call makes as long as a size that varies, by torch's functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import torch

from onnxpress.export.port.from_keras.builder import Builder
from onnxpress.export.port.from_keras.stand_ins import Made, is_stand_in
from onnxpress.export.port.from_keras.values import Value


def written(w: Builder, made: Made) -> Value:
    """The same by torch's function, once in a block. Raises NoCorrespondence for options that it has not."""
    key = (made.kind, repr(sorted(made.given.items())))
    if key not in w.arrays:
        given = {name: w.told(value) if is_stand_in(value) else value for name, value in made.given.items()}
        dtype = given.pop("dtype", None)
        array: Callable[..., Value] = getattr(_Makers(w, dtype), made.kind)
        w.arrays[key] = array(**given)
    return replace(w.arrays[key])


class _Makers:
    """One method for each of `MAKERS`, with the arguments' names of Keras."""

    def __init__(self, w: Builder, dtype: str | None) -> None:
        self._w, self._dtype = w, dtype

    def arange(self, start: Any, stop: Any = None, step: Any = 1) -> Value:
        first, last = (0, start) if stop is None else (start, stop)
        if any(isinstance(number, float) for number in (first, last, step)):
            return self._made("arange", first, last, step, dtype="float32")
        bounds = (first, last, step) if step != 1 else (first, last) if first != 0 else (last,)
        return self._made("arange", *bounds, dtype="int64")  # torch's own: which of the two says nothing of places

    def ones(self, shape: Any) -> Value:
        return self._made("ones", self._sizes(shape))

    def zeros(self, shape: Any) -> Value:
        return self._made("zeros", self._sizes(shape))

    def full(self, shape: Any, fill_value: Any) -> Value:
        if not isinstance(fill_value, bool | int | float):
            raise self._w.refuse("an array filled with a tensor has no correspondence", "multiply ones by it")
        of = "bool" if isinstance(fill_value, bool) else "int32" if isinstance(fill_value, int) else "float32"
        return self._made("full", self._sizes(shape), fill_value, dtype=of)

    def eye(self, N: Any, M: Any = None, k: Any = 0) -> Value:
        if k:
            raise self._w.refuse("an eye beside the diagonal has no correspondence", "use ops.equal of two aranges")
        return self._made("eye", N, *([] if M is None else [M]))

    def tri(self, N: Any, M: Any = None, k: Any = 0) -> Value:
        ones = self._made("ones", (N, N if M is None else M))
        return self._w.function("tril", ones, *([k] if k else []))

    def linspace(self, start: Any, stop: Any, num: Any = 50, **others: Any) -> Value:
        if any(others.values()) and others != {"endpoint": True}:
            raise self._w.refuse("linspace with these options has no correspondence", "use arange")
        return self._made("linspace", start, stop, num)

    def _sizes(self, shape: Any) -> tuple[Any, ...]:
        sizes = shape if isinstance(shape, list | tuple) else (shape,)
        return tuple(self._w.told(size) if is_stand_in(size) else size for size in sizes)

    def _made(self, name: str, *args: Any, dtype: str = "float32") -> Value:
        wanted = keras.backend.standardize_dtype(self._dtype or dtype)
        usual = {"arange": "int64", "full": wanted}.get(name, "float32")
        kind = {} if wanted == usual else {"dtype": getattr(torch, wanted)}
        return self._w.function(name, *args, **kind, device=torch.device("cpu"))
