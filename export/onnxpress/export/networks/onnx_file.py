"""An `.onnx` file made elsewhere as a Network: its own unoptimised answer is the reference, or a framework's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, NotEquivalent, UsageError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.opset import OPSET
from onnxpress.export.graph.servable import refuse_unservable
from onnxpress.export.graph.signature import set_signature
from onnxpress.export.network import Layered, Network, Precision, See, TruthUnavailable
from onnxpress.export.networks.pairing import paired, told
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterable

_WITH_CONSTANTS = 4
"""the IR version from which initializers need not be inputs; before it, callers could send other weights"""


class OnnxNetwork:
    """The file as it is, run without optimisations; `convert` names its dimensions and changes nothing else."""

    def __init__(self, source: Source) -> None:
        self._proto: onnx.ModelProto = source.network
        if source.opset != OPSET:
            raise UsageError(
                "an .onnx file keeps the opset that it was made with",
                where=source.reference,
                hint="convert it with onnx.version_converter, or leave --opset out",
            )
        if self._proto.ir_version < _WITH_CONSTANTS:
            older, self._proto = self._proto, onnx.ModelProto()
            self._proto.CopyFrom(older)
            self._proto.ir_version = _WITH_CONSTANTS
        try:
            onnx.checker.check_model(self._proto)
        except onnx.checker.ValidationError as error:
            raise BadModel(f"the file is no valid ONNX model: {error}", where=source.reference) from error
        producer = f"{self._proto.producer_name} {self._proto.producer_version}".strip()
        self.framework_version = producer or "unknown producer"
        self.converter = "none (the file as it came)"
        self.notes: list[str] = []
        self.talk: list[str] = []
        initializers = {value.name for value in self._proto.graph.initializer}
        declared = [value for value in self._proto.graph.input if value.name not in initializers]
        self.inputs = source.network_inputs or _specs(declared)
        self.output_names = [value.name for value in self._proto.graph.output]
        self._samples = source.samples
        self._refuse_fixed(source)
        refuse_unservable(self._proto, source.allowed_operators)
        content = self._proto.SerializeToString(deterministic=True)
        self._engine = Engine.load(content, settings=SessionSettings(optimization="none"), self_test=False)

    def _refuse_fixed(self, source: Source) -> None:
        for spec in self.inputs:
            if spec.shape and spec.shape[0] != "batch":
                raise NotEquivalent(
                    f"the input {spec.name!r} has a fixed batch: {spec}",
                    where=source.reference,
                    hint="export the file with a dynamic first axis; a graph traced at one size may be wrong at others",
                )

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The unoptimised file's answer; float64 is not available."""
        if precision == "float64":
            raise TruthUnavailable("an ONNX graph has its dtypes fixed")
        try:
            return self._engine.run(feeds)
        except BadData as error:
            shapes = {name: list(value.shape) for name, value in feeds.items()}
            raise BadModel(f"the file fails on inputs of shape {shapes}: {error.what}") from error

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """Not told by a graph."""
        return "the graph"

    def examples(self, batch: int) -> dict[str, Array] | None:
        """A file holds none."""
        return None

    def convert(self, folder: Path) -> onnx.ModelProto:
        """The same graph; initializers that double as inputs are inputs no more, as callers do not send weights."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        names = {spec.name for spec in self.inputs}
        kept = [value for value in proto.graph.input if value.name in names]
        del proto.graph.input[:]
        proto.graph.input.extend(kept)
        set_signature(proto.graph.input, self.inputs)
        return proto

    def parameters(self) -> dict[str, Array]:
        """None: the file is its own original."""
        return {}

    def write_state(self, path: Path) -> None:
        """Nothing: the file holds its weights."""

    def read_state(self, path: Path) -> None:
        """Never written."""


class ComparedNetwork:
    """An ONNX file converted, a framework's model asked: what `--against` compares."""

    def __init__(self, file: OnnxNetwork, framework: Network) -> None:
        self._file, self._framework = file, framework
        self.framework_version, self.converter = framework.framework_version, file.converter
        self.notes, self.talk = framework.notes, framework.talk
        self.inputs, self.output_names = file.inputs, file.output_names
        kinds = [{spec.name: (spec.dtype, spec.shape) for spec in one.inputs} for one in (file, framework)]
        self._names = paired("inputs", kinds[0], kinds[1])
        self._answers = paired("outputs", dict.fromkeys(file.output_names), dict.fromkeys(framework.output_names))
        self.notes += [note for note in (told("inputs", self._names), told("outputs", self._answers)) if note]

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The framework's answer under the file's names."""
        answer = self._framework.run({self._names[name]: value for name, value in feeds.items()}, precision)
        return {name: answer[other] for name, other in self._answers.items()}

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """As the framework's network tells."""
        return self._framework.random_layer({self._names[name]: value for name, value in feeds.items()})

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The framework's examples under the file's names."""
        given = self._framework.examples(batch)
        return None if given is None else {name: given[other] for name, other in self._names.items()}

    def convert(self, folder: Path) -> onnx.ModelProto:
        """The file."""
        return self._file.convert(folder)

    def parameters(self) -> dict[str, Array]:
        """The framework's."""
        return self._framework.parameters()

    def write_state(self, path: Path) -> None:
        """Nothing: the file is what is converted."""

    def read_state(self, path: Path) -> None:
        """Never written."""


class LayeredComparison(ComparedNetwork):
    """The same, where the framework shows what its layers compute."""

    def __init__(self, file: OnnxNetwork, framework: Network, layered: Layered) -> None:
        super().__init__(file, framework)
        self._layered = layered

    def watch(self, feeds: dict[str, Array], precision: Precision, see: See) -> None:
        """As the framework's network; see Layered."""
        self._layered.watch({self._names[name]: value for name, value in feeds.items()}, precision, see)

    def layer_names(self) -> frozenset[str]:
        """As the framework's network."""
        return self._layered.layer_names()


def _specs(values: Iterable[Any]) -> list[TensorSpec]:
    """Declared inputs; the first varying axis of each is the batch, whatever the exporter called it."""
    specs = []
    for value in values:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise BadModel(
                f"the input {value.name!r} declares no shape", hint="name it: --input 'x:float32[batch,...]'"
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        shape: list[int | str] = []
        for axis, dimension in enumerate(tensor.shape.dim):
            if dimension.HasField("dim_value"):
                shape.append(dimension.dim_value)
            elif axis == 0:
                shape.append("batch")
            else:
                usable = dimension.dim_param.isidentifier() and dimension.dim_param != "batch"
                shape.append(dimension.dim_param if usable else f"{value.name}_{axis}")
        name = "string" if tensor.elem_type == onnx.TensorProto.STRING else str(np.dtype(dtype))
        specs.append(TensorSpec(name=value.name, dtype=name, shape=tuple(shape)))
    return specs
