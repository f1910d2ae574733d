"""Graphs written as text, and their constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from string import Template

import numpy as np
import onnx
import onnx.parser

from onnxpress.core.arrays import Array

_G = np.random.default_rng(7)
ROWS = "s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) "
"""the number of rows as a list, and as a number"""
_SHORT = {"X": "float[N,4] x", "XL": "float[N,L,4] x", "IMAGE": "float[N,3,8,8] x", "Y": "float[] y"}


def floats(*shape: int) -> Array:
    return _G.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def number(value: int) -> Array:
    return np.array(value, np.int64)


@dataclass(frozen=True)
class Case:
    """`text` is `inputs => outputs { nodes }`; constants come by name, functions as text behind."""

    name: str
    text: str
    opset: int = 18
    functions: str = ""
    constants: dict[str, Array] = field(default_factory=dict)

    def proto(self) -> onnx.ModelProto:
        head = f'<ir_version: 8, opset_import: ["" : {self.opset}, "ai.onnx.ml" : 3, "com.microsoft" : 1, "local" : 1]>'
        signature, _, body = self.text.partition("{")
        inputs, _, outputs = Template(signature).substitute(_SHORT).partition("=>")
        parsed = onnx.parser.parse_model(f"{head} g ({inputs}) => ({outputs}) {{{body} {self.functions}")
        for name, value in self.constants.items():
            parsed.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return parsed

    def model(self) -> bytes:
        return self.proto().SerializeToString()


class Cases(list[Case]):
    """A list that is filled one by one."""

    def add(self, name: str, text: str, opset: int = 18, functions: str = "", **constants: Array) -> None:
        self.append(Case(name, text, opset, functions, constants))


class Refusals(list[tuple[str, Case]]):
    """What the proof says, and the graph; every graph may use `zeros`, a list of one 0."""

    def add(self, reason: str, text: str, opset: int = 18, functions: str = "", **constants: Array) -> None:
        self.append((reason, Case(text, text, opset, functions, {"zeros": ints(0), **constants})))
