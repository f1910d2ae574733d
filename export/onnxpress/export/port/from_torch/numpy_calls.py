"""Functions of numpy that forward calls, as torch's own: what `x.numpy()` gives in the trace answers to them.

Nothing learns through numpy: what comes out of `numpy()` is detached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sort: lambda x, axis=-1: torch.sort(x, dim=axis, stable=True)[0],
    np.argsort: lambda x, axis=-1: torch.argsort(x, dim=axis, stable=True),
    np.concatenate: lambda arrays, axis=0: torch.cat(list(arrays), dim=axis),
    np.stack: lambda arrays, axis=0: torch.stack(list(arrays), dim=axis),
    np.where: torch.where,
    np.clip: lambda x, low=None, high=None, **limits: torch.clamp(x, limits.get("min", low), limits.get("max", high)),
    np.expand_dims: lambda x, axis: x.unsqueeze(axis),
    np.squeeze: lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
    np.transpose: lambda x, axes=None: x.permute(*(axes or reversed(range(x.dim())))),
    np.swapaxes: lambda x, first, second: x.transpose(first, second),
    np.reshape: lambda x, shape: x.reshape(shape),
    np.flip: lambda x, axis: torch.flip(x, axis if isinstance(axis, tuple) else (axis,)),
    np.roll: lambda x, shift, axis: torch.roll(x, shift, axis),
    np.repeat: lambda x, repeats, axis: torch.repeat_interleave(x, repeats, dim=axis),
    np.tile: lambda x, reps: x.repeat(*reps),
    np.cumsum: lambda x, axis: torch.cumsum(x, dim=axis),
    np.matmul: torch.matmul,
    np.einsum: lambda equation, *operands: torch.einsum(equation, *operands),
    np.zeros_like: torch.zeros_like,
    np.ones_like: torch.ones_like,
    np.diff: lambda x, axis=-1: x.narrow(axis, 1, x.shape[axis] - 1) - x.narrow(axis, 0, x.shape[axis] - 1),
    np.var: lambda x, axis=None, keepdims=False, ddof=0: torch.var(x, axis, correction=ddof, keepdim=keepdims),
    np.std: lambda x, axis=None, keepdims=False, ddof=0: torch.std(x, axis, correction=ddof, keepdim=keepdims),
}
_OVER_AXES = {
    np.sum: torch.sum, np.mean: torch.mean, np.max: torch.amax, np.min: torch.amin, np.amax: torch.amax,
    np.amin: torch.amin, np.argmax: torch.argmax, np.argmin: torch.argmin, np.any: torch.any, np.all: torch.all,
}  # fmt: skip
_OTHER_NAMES = {
    "absolute": "abs", "fabs": "abs", "negative": "neg", "power": "pow", "conjugate": "clone", "rint": "round",
}  # fmt: skip


def _over_axes(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        named: dict[str, Any] = {"keepdim": True} if keepdims else {}
        return function(x, **named) if axis is None else function(x, dim=axis, **named)

    return called


_FUNCTIONS.update({numpy: _over_axes(function) for numpy, function in _OVER_AXES.items()})


class AnswersNumpy:
    """What a value in the trace does where numpy is called with it."""

    def numpy(self, *, force: bool = False) -> Any:
        """The value itself, detached."""
        return self.detach()  # type: ignore[attr-defined]

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _FUNCTIONS:
            raise TypeError(f"there is no correspondence of numpy.{function.__name__}")
        return _FUNCTIONS[function](*args, **kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = getattr(torch, _OTHER_NAMES.get(ufunc.__name__, ufunc.__name__), None)
        if method != "__call__" or kwargs or function is None:
            raise TypeError(f"there is no correspondence of numpy.{ufunc.__name__} as it is called here")
        given = [torch.from_numpy(one) if isinstance(one, np.ndarray) else one for one in inputs]
        return function(*(one.item() if isinstance(one, np.generic) else one for one in given))


def from_numpy(original: Callable[..., Any], is_traced: Callable[[Any], bool]) -> Callable[..., Any]:
    """`torch.from_numpy` and such, which give a value in the trace back as it is."""

    def made(value: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_traced(value):
            return original(value, *args, **kwargs)
        dtype = next((one for one in (*args, kwargs.get("dtype")) if isinstance(one, torch.dtype)), None)
        return value if dtype is None else value.to(dtype)

    return made
