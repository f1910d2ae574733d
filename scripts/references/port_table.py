"""docs/port-table.md: the correspondences between torch and Keras, from the table that `onnxpress port` writes by."""

from __future__ import annotations

from onnxpress.export.port.table import LAYERS
from onnxpress.export.port.to_keras import functions as written
from onnxpress.export.port.to_keras.elementwise import SIGNS, UNARY
from onnxpress.export.port.to_keras.registry import FUNCTIONS

_HEAD = """# Correspondences of torch and Keras

`onnxpress port` writes by this table. What stands in no row is refused, with its line. `make fix` writes this page.

## Layers

| torch | Keras | where they differ, and how it is carried |
| --- | --- | --- |
"""
_FUNCTIONS = """
## Functions

Of `torch`, `torch.nn.functional` and tensors, written with `keras.ops`:

"""


def page() -> str:
    """The whole page."""
    rows = "".join(f"| `{row.torch}` | `{row.keras}` | {row.trap} |\n" for row in LAYERS)
    return _HEAD + rows + _FUNCTIONS + ", ".join(f"`{name}`" for name in sorted(functions())) + ".\n"


def functions() -> set[str]:
    """Every function that has a line."""
    return {*FUNCTIONS, *UNARY, *SIGNS, *written.SAME}
