"""What is exported: a model, and everything known about it before it is converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.opset import OPSET

Framework = Literal["pytorch", "tensorflow", "sklearn", "onnx"]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The words that name a source, so that another process can resolve it again."""

    reference: str
    inputs: list[TensorSpec] = []
    samples: str | None = None
    hide_gpus: bool = True
    trust_pickle: bool = False
    against: str | None = None
    preprocess: str | None = None
    weights: str | None = None
    opset: int = OPSET
    allowed_operators: list[str] = []


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
    against: Source | None = None
    """for an .onnx file: the framework's model that it is said to come from"""
    origin: Origin | None = None
    """None for an object handed over from Python, which no other process can resolve again"""
