"""What is exported: a model, and everything known about it before it is converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import Domain, TensorSpec, parse_spec
from onnxpress.export.graph.opset import OPSET

Framework = Literal["pytorch", "tensorflow", "sklearn", "onnx"]


class SourceRef(msgspec.Struct, frozen=True, kw_only=True, rename={"reference": "source"}):
    """The words that name a source, and the options that stand beside it: what `sources.resolve` makes a Source of.

    One record for the command line's options, the entries of a list and the request to a child process. All but
    `reference` add to, or override, what the source itself tells.

        SourceRef(reference="my_package.models:build", inputs=["x:float32[batch,30]"], opset=20)
    """

    reference: str
    """a run folder, a model file, or `module:attr` naming a model, a class or a factory"""
    inputs: list[TensorSpec | str] = []
    """the network's inputs; as text `x:float32[batch,30]`"""
    domains: list[str] = []
    """the values that inputs take, as `x:[0,255]`: nothing else is asked, and the server refuses all else"""
    samples: Path | None = None
    """an `.npz` of real input rows, one array for each input"""
    preprocess: Path | None = None
    """a file that describes steps around the network, see `sources.preprocessing`"""
    weights: Path | None = None
    """a state dict, or Keras's `.weights.h5`, for the model that `module:attr` makes"""
    weights_key: str | None = None
    """where in a checkpoint the state dict is"""
    against: str | None = None
    """for an .onnx file: the framework's model that it is said to come from"""
    signature: str | None = None
    """for a SavedModel: which of its signatures"""
    opset: int = OPSET
    allow_operators: list[str] = []
    """custom operators that the graph may use, as `domain:Name`"""
    trust_pickle: bool = False
    """whether a scikit-learn pickle or a .pt2 file may be read, which can run any code"""
    trust_run: bool = False
    """whether a run folder may call a factory that is none of onnxpress's families, which can be any code"""
    hide_gpus: bool = True
    """off only where the equivalence is to be measured on a GPU in this process"""

    @property
    def input_specs(self) -> list[TensorSpec]:
        """`inputs`, read. Raises UsageError for a text that is no specification."""
        return [parse_spec(spec) if isinstance(spec, str) else spec for spec in self.inputs]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model to export: the network object, and everything known about it before it is converted.

    `network_inputs` and `outputs` are None where the network itself must tell; `samples` maps the names of raw inputs
    to arrays with a common first axis.
    """

    reference: str
    name: str
    framework: Framework
    network: Any
    example_inputs: Any = None
    network_inputs: list[TensorSpec] | None = None
    network_outputs: list[TensorSpec] | None = None
    inputs: list[TensorSpec] | None = None
    outputs: list[TensorSpec] | None = None
    processing: Processing = field(default_factory=Processing)
    domains: list[str | tuple[str, Domain]] = field(default_factory=list)
    """of inputs, as `core.domains` reads them; they go before those that the specifications have"""
    samples: dict[str, Array] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    seed: int | None = None
    opset: int = OPSET
    allowed_operators: list[str] = field(default_factory=list)
    """custom operators that the graph may use, as `domain:Name`"""
    answers: list[str] | None = None
    """which tensors of the pipeline are answered, where `processing` came without its outputs' specifications"""
    signature: str | None = None
    """of a SavedModel: which of its signatures; None for its only one"""
    against: Source | None = None
    """for an .onnx file: the framework's model that it is said to come from"""
    talk: list[str] = field(default_factory=list)
    """what its framework logged and warned of while it was loaded"""
    ref: SourceRef | None = None
    """what names it; None for an object handed over from Python, which no other process can resolve again"""
