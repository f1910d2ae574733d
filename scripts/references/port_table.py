"""docs/port-table.md: the correspondences between torch and Keras, from the table that `onnxpress port` writes by."""

from __future__ import annotations

from onnxpress.export.port.from_keras.model import OPERATIONS
from onnxpress.export.port.table import FROM_KERAS, LAYERS
from onnxpress.export.port.to_keras import functions as written
from onnxpress.export.port.to_keras import layers
from onnxpress.export.port.to_keras.elementwise import SIGNS, UNARY
from onnxpress.export.port.to_keras.registry import FUNCTIONS

_HEAD = """# Correspondences of torch and Keras

`onnxpress port` writes by this table. What stands in no row is refused, with its line. `make fix` writes this page.

## Layers, from torch to Keras

| torch | Keras | where they differ, and how it is carried |
| --- | --- | --- |
"""
_FUNCTIONS = """
Of `torch`, `torch.nn.functional` and tensors, these functions are written with `keras.ops`:

"""
_FROM_KERAS = """
## Layers, from Keras to torch

| Keras | torch | where they differ, and how it is carried |
| --- | --- | --- |
"""
_OPERATIONS = """
Of `keras.ops`, and of what Python's operators stand for, these operations are written with torch's functions:

"""


def page() -> str:
    """The whole page."""
    rows = "".join(f"| `{row.torch}` | `{row.keras}` | {row.trap} |\n" for row in LAYERS)
    back = "".join(f"| `{row.keras}` | {row.torch} | {row.trap} |\n" for row in FROM_KERAS)
    names = _listed(sorted(functions()))
    return _HEAD + rows + _FUNCTIONS + names + _FROM_KERAS + back + _OPERATIONS + _listed(sorted(OPERATIONS))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) + ".\n"


def functions() -> set[str]:
    """Every function that has a line."""
    assert layers.recurrent  # its import registers the functions of packed sequences
    return {*FUNCTIONS, *UNARY, *SIGNS, *written.SAME}
