"""The ONNX form of every processing step, the nodes that say what its numpy form says; a module for each of core's."""

from onnxpress.export.graph.steps import (  # noqa: F401 - they register
    character_features,
    columns,
    decisions,
    forest,
    image,
    numeric,
    signal,
    text,
)
from onnxpress.export.graph.steps.fragment import Fragment, write

__all__ = ["Fragment", "write"]
