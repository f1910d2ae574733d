"""Kinds of torch modules that no exporter has an ONNX form for, told before anything is converted."""

from __future__ import annotations

import torch

from onnxpress.core.errors import BadModel

_OBSERVED = {"FakeQuantize", "FusedMovingAvgObsFakeQuantize"}


def refuse_unconvertible(module: torch.nn.Module, where: str) -> None:
    """Raise BadModel, saying what to do, where `module` holds a layer of such a kind."""
    if any(isinstance(part, torch.nn.LSTM) and part.proj_size for part in module.modules()):
        raise BadModel(
            "it holds an LSTM with proj_size, for which neither of torch's exporters has an ONNX form",
            where=where,
            hint="replace it by an LSTM followed by a Linear over its outputs",
        )
    observed = next((path for path, part in module.named_modules() if type(part).__name__ in _OBSERVED), None)
    if observed is not None:
        raise BadModel(
            f"it is prepared for quantisation: {observed!r} rounds as its own buffers say, which a graph cannot follow",
            where=where,
            hint="export the model as it was before prepare_qat; to serve int8, quantise the published file with "
            "onnxruntime.quantization, and publish that: onnxpress export FILE.onnx",
        )
    if packed := _quantised(module):
        path, kind = packed
        raise BadModel(
            f"it holds a quantised module, {path or 'the model itself'} ({kind}): its weights have no ONNX form",
            where=where,
            hint="export the model as it was before it was quantised; to serve int8, quantise the published file "
            "with onnxruntime.quantization, and publish that: onnxpress export FILE.onnx",
        )


def _quantised(module: torch.nn.Module) -> tuple[str, str] | None:
    """Path and class of the first layer with packed quantised weights, as torch.ao.quantization makes them."""
    for path, part in module.named_modules():
        kind = type(part)
        if kind.__module__.startswith(("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")):
            return path, kind.__name__
    return None
