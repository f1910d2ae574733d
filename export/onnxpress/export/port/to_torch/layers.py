"""A layer of torch as the constructor's call that makes it, read from the layer itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from onnxpress.export.port.code import call, literal
from onnxpress.export.port.refusal import NoCorrespondence

_PLACES = ("device", "dtype", "_weight", "_freeze")
"""constructor arguments that say nothing of what the layer computes"""
_SHORT = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "normalized_shape")
_FIRST = ("p", "num_parameters", "negative_slope")
"""written by their place although they have a default"""
_ATTENTION: dict[str, Callable[[Any], Any]] = {
    "bias": lambda m: m.in_proj_bias is not None,
    "add_bias_kv": lambda m: m.bias_k is not None,
    "kdim": lambda m: None if m.kdim == m.embed_dim else m.kdim,
    "vdim": lambda m: None if m.vdim == m.embed_dim else m.vdim,
}
_RECURRENT = {"input_size": None, "hidden_size": None, "num_layers": 1, "bias": True, "batch_first": False,
              "dropout": 0.0, "bidirectional": False, "proj_size": 0}  # fmt: skip


def constructor(layer: nn.Module, where: str) -> str:
    """`nn.Conv1d(3, 16, 5, padding=2)`. Raises NoCorrespondence where such a call makes another layer."""
    kind = type(layer).__name__
    if getattr(nn, kind, None) is not type(layer):
        raise NoCorrespondence(f"{kind} is no layer of torch", where=where)
    if layer._forward_pre_hooks or layer._forward_hooks:
        raise NoCorrespondence(
            f"this {kind} has hooks, as weight_norm makes them",
            where=where,
            hint="remove them before: they are no code",
        )
    text = call(f"nn.{kind}", *_arguments(layer, where), *_dtype(layer))
    with torch.device("meta"):
        again = eval(text, {"nn": nn, "torch": torch})  # what was written here
    shapes = [
        {name: (tuple(value.shape), value.dtype) for name, value in one.state_dict().items()} for one in (layer, again)
    ]
    if shapes[0] != shapes[1]:
        raise NoCorrespondence(f"this {kind} has other weights than {text}", where=where)
    return text


def _dtype(layer: nn.Module) -> list[str]:
    """Of a layer that does not compute in float32."""
    found = next((value.dtype for value in layer.parameters()), torch.float32)
    return [] if found == torch.float32 else [f"dtype={found}"]


def _arguments(layer: nn.Module, where: str) -> list[str]:
    """Those that differ from their defaults; the ones without a default by their place."""
    found: list[str] = []
    for name, default in _parameters(layer).items():
        value = _value(layer, name, where)
        if name == "stride" and value == getattr(layer, "kernel_size", None) and "Pool" in type(layer).__name__:
            continue
        is_short = name in _SHORT and isinstance(value, tuple) and len(set(value)) == 1
        if is_short and (name != "normalized_shape" or len(value) == 1):
            value = value[0]
        if default is inspect.Parameter.empty or (value != default and not found and name in _FIRST):
            found.append(literal(value))
        elif value != default or isinstance(value, bool) is not isinstance(default, bool):
            found.append(f"{name}={literal(value)}")
    return found


def _parameters(layer: nn.Module) -> dict[str, Any]:
    if isinstance(layer, nn.RNNBase):
        known: dict[str, Any] = {k: inspect.Parameter.empty if v is None else v for k, v in _RECURRENT.items()}
        if type(layer) is nn.RNN:
            known["nonlinearity"] = "tanh"
        if type(layer) is not nn.LSTM:
            del known["proj_size"]
        return known
    signature = inspect.signature(type(layer).__init__)
    taken = list(signature.parameters.items())[1:]
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)  # Identity takes anything
    return {name: p.default for name, p in taken if name not in _PLACES and p.kind not in open_ended}


def _value(layer: nn.Module, name: str, where: str) -> Any:
    if isinstance(layer, nn.MultiheadAttention) and name in _ATTENTION:
        return _ATTENTION[name](layer)
    if not hasattr(layer, name):
        raise NoCorrespondence(f"{type(layer).__name__} does not say its {name}", where=where)
    value = getattr(layer, name)
    if name == "bias" and not isinstance(layer, nn.RNNBase):
        return value is not None
    return tuple(value) if isinstance(value, list | torch.Size) else value
