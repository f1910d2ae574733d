"""From a trained model to a published ONNX version whose equivalence was measured."""

from typing import Any

__all__ = ["measure"]


def __getattr__(name: str) -> Any:
    # On use: the command line imports this package for its table of options, and must not pay for the engine.
    if name == "measure":
        from onnxpress.export.equivalence.api import measure

        return measure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
