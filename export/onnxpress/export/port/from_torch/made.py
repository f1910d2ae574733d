"""What the author's code makes of numbers alone, as values in the trace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.nn.utils import rnn

from onnxpress.export.port.from_torch.lines import line
from onnxpress.export.port.from_torch.numpy_calls import from_numpy
from onnxpress.export.port.from_torch.tracer import PACKED, Traced, Tracer

MADE = (
    "arange", "zeros", "ones", "full", "eye", "linspace", "zeros_like", "ones_like", "full_like", "tril", "triu",
    "empty", "empty_like", "rand",
)  # fmt: skip


class Context:
    """What the forward of an author's own function is given to keep things for its backward, which nobody asks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("save", "mark", "set")):
            return lambda *_: None
        raise AttributeError(name)


def _dtype_of(value: Any) -> Any:
    return None if value is None else value.dtype


def _is_causal(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    return bool(is_causal)


@contextlib.contextmanager
def made_traced(tracer: Tracer) -> Iterator[None]:
    """Tensors made out of numbers stand in the trace as they are written, also where a number varies."""

    def patched(module: Any, name: str) -> Callable[..., Any]:
        original = getattr(module, name)

        def made(*args: Any, **kwargs: Any) -> Any:
            if tracer.concrete or not hasattr(tracer, "root"):
                return original(*args, **kwargs)
            return tracer.create_proxy("call_function", original, args, kwargs)

        return made

    with contextlib.ExitStack() as stack:
        for name in MADE:
            stack.enter_context(mock.patch.object(torch, name, patched(torch, name)))
        for name in ("from_numpy", "as_tensor", "tensor"):
            made = from_numpy(getattr(torch, name), lambda value: isinstance(value, Traced))
            stack.enter_context(mock.patch.object(torch, name, made))
        for name in PACKED:
            stack.enter_context(mock.patch.object(rnn, name, patched(rnn, name)))
        apply = torch.autograd.Function.apply.__func__

        def applied(kind: Any, *args: Any, **kwargs: Any) -> Any:
            if tracer.concrete or not hasattr(tracer, "root"):
                return apply(kind, *args, **kwargs)
            tracer.own_gradients.append(f"{kind.__name__} at {line()[0]}")
            # `apply` calls it as under no_grad, as its gradient is the author's; here it has that of forward.
            takes_context = kind.setup_context is torch.autograd.Function.setup_context
            return kind.forward(*([Context()] if takes_context else []), *args, **kwargs)

        stack.enter_context(mock.patch.object(torch.autograd.Function, "apply", classmethod(applied)))
        # Torch's own transformer asks its masks for what a traced value cannot say.
        stack.enter_context(mock.patch.object(torch.nn.functional, "_none_or_dtype", _dtype_of))
        stack.enter_context(mock.patch.object(torch.nn.modules.transformer, "_detect_is_causal_mask", _is_causal))
        yield
