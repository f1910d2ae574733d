"""From a trained model to a published ONNX version whose equivalence was measured.

The package is the function `onnxpress.export` too: `onnxpress.export(model, name="iris")`, see `api.export`. So the
name means the same whether or not somebody has imported the package.
"""

import sys
from types import ModuleType
from typing import Any

__all__ = ["measure"]


class _CallablePackage(ModuleType):
    @property
    def __wrapped__(self) -> Any:
        """The function; `inspect.signature` and editors look here."""
        from onnxpress.export.api import export

        return export

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.__wrapped__(*arguments, **named)


sys.modules[__name__].__class__ = _CallablePackage


def __getattr__(name: str) -> Any:
    # On use: the command line imports this package for its table of options, and must not pay for the engine.
    if name == "measure":
        from onnxpress.export.equivalence.api import measure

        return measure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
