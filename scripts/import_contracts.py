"""For import-linter, which looks for `onnxpress` without importing it: imported here, it is known in all four roots.

`[tool.importlinter] contract_types` in pyproject.toml names the class below, so that this is loaded before it looks.
"""

from __future__ import annotations

from importlinter.contracts.layers import LayersContract

import onnxpress

assert len(onnxpress.__path__) > 1, "import-linter reads a checkout"


class Layers(LayersContract):
    """Import-linter's own."""
