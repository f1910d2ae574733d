"""Whether row i of every output depends on row i of the inputs alone: a proof over the graph, without running it."""

from __future__ import annotations

from onnxpress.core.rows.proof import Dependent, Proven, prove

__all__ = ["Dependent", "Proven", "prove"]
