"""Stochastic depth on both sides of the proof: the same rows are left out in both, so that training can be compared.

The source's random draws are replaced by chosen ones, and the mask of each such layer of the written model too: of the
k-th that is called, every third row from the k-th on is left out. Where one draw is for all rows, all are kept, and
scaled.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

THIRD = 3
ROWS = 20_000


class Draws:
    """The draws of one call of the source in training mode, by the module that draws."""

    def __init__(self, known: dict[str, list[Any]]) -> None:
        self.known = known
        """path → of each draw in their order what it is for; None of what is for nothing"""
        self.rates: list[float] = []
        """of the dropouts that were drawn for since the last call began"""
        self._inside: list[str] = []
        self._is_drawing = False
        self._counts: Counter[str] = Counter()

    def begin(self) -> None:
        """A call begins."""
        self.rates, self._counts = [], Counter()

    def chosen(self, value: Any) -> Any:
        """In place of what was drawn; itself where it is for nothing that is known."""
        import torch

        path = self._inside[-1] if self._inside else ""
        known = self.known.get(path)
        if not known:
            return value
        one = known[self._counts[path] % len(known)]
        self._counts[path] += 1
        if one is None:
            return value
        out = torch.arange(value.numel()).add(len(self.rates)).remainder(THIRD).eq(0).reshape(value.shape)
        out &= bool(one.axes)
        self.rates.append(one.rate)
        return value.copy_(torch.where(out, one.out, one.kept).to(value.dtype))

    @contextlib.contextmanager
    def of(self, module: Any) -> Iterator[None]:
        """For as long, what `module` draws is chosen."""
        import torch

        def entering(path: str) -> Callable[..., None]:
            return lambda *_: self._inside.append(path)

        def leaving(*_: Any) -> None:
            self._inside.pop()

        def patched(owner: Any, name: str) -> Any:
            draw = getattr(owner, name)

            def drawn(*args: Any, **kwargs: Any) -> Any:
                if self._is_drawing:  # torch looks a method up by its name once more where casts are watched
                    return draw(*args, **kwargs)
                self._is_drawing = True
                try:
                    value = draw(*args, **kwargs)
                finally:
                    self._is_drawing = False
                return self.chosen(value)

            return mock.patch.object(owner, name, drawn)

        with contextlib.ExitStack() as stack:
            for path, part in module.named_modules():
                stack.callback(part.register_forward_pre_hook(entering(path)).remove)
                stack.callback(part.register_forward_hook(leaving, always_call=True).remove)
            for name in ("rand", "rand_like", "bernoulli"):
                stack.enter_context(patched(torch, name))
            for name in ("uniform_", "bernoulli_", "bernoulli"):
                stack.enter_context(patched(torch.Tensor, name))
            yield


def of_whole_rows(layer: Any) -> bool:
    """Whether a layer of the written model is such a dropout."""
    return getattr(layer, "noise_shape", None) is not None


@contextlib.contextmanager
def chosen_of_torch(sides: Any) -> Iterator[None]:
    """For as long, the source leaves out the rows that are chosen."""
    call = sides.call

    def called(module: Any, tensors: Any) -> Any:
        draws = Draws(sides.drawn)
        with draws.of(module):
            return call(module, tensors)

    with mock.patch.object(sides, "call", called):
        yield


@contextlib.contextmanager
def chosen_of_keras(sides: Any, layers: list[Any]) -> Iterator[None]:
    """The same of the written model, in which `layers` leave out whole rows."""
    count = 0
    target_call = sides.target.call

    def of_target(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count = 0
        return target_call(*args, **kwargs)

    def masked(layer: Any) -> Callable[..., Any]:
        from keras import ops

        def call(inputs: Any, training: bool = False) -> Any:
            nonlocal count
            if not training:
                return inputs
            shape = [size if size is not None else ops.shape(inputs)[n] for n, size in enumerate(layer.noise_shape)]
            kept: Any = 1.0
            if None in layer.noise_shape:
                places = ops.arange(shape[layer.noise_shape.index(None)]) + count
                kept = ops.cast(ops.reshape(ops.not_equal(places % THIRD, 0), shape), inputs.dtype)
            count += 1
            return inputs * kept / (1 - layer.rate)

        return call

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sides.target, "call", of_target))
        for layer in layers:
            stack.enter_context(mock.patch.object(layer, "call", masked(layer)))
        yield


def share_of(layer: Any) -> float:
    """The share of rows that it leaves out; not a number where a row is left out in part, or where others differ."""
    together = None not in layer.noise_shape
    rank = len(layer.noise_shape)
    before = layer.noise_shape
    if together:  # one draw for all rows: its rate is measured by rows, and that there is one draw by itself
        few = [np.asarray(layer(np.ones((5,) + (2,) * (rank - 1)), training=True)) != 0 for _ in range(8)]
        if any(one.any() != one.all() for one in few):
            return float("nan")
    try:
        layer.noise_shape = (None,) + (1,) * (rank - 1) if together else before
        axis = layer.noise_shape.index(None)
        ones = np.ones([ROWS if n == axis else max(size or 1, 2) for n, size in enumerate(layer.noise_shape)])
        out = np.moveaxis(np.asarray(layer(ones, training=True)) == 0, axis, 0).reshape(ROWS, -1)
    finally:
        layer.noise_shape = before
    return float(out[:, 0].mean()) if bool((out == out[:, :1]).all()) else float("nan")
