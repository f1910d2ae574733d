"""A `torch.export` program (`.pt2`) as a Network: its sizes were decided when it was made."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.external_data import LARGE
from onnxpress.export.network import TruthUnavailable
from onnxpress.export.networks.pytorch.binding import Binding, argument_names, bind
from onnxpress.export.networks.pytorch.exporters import export_dynamo
from onnxpress.export.networks.pytorch.module import TorchNetwork
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx


def is_program(network: object) -> bool:
    """Whether this is an ExportedProgram."""
    return isinstance(network, torch.export.ExportedProgram)


class ProgramNetwork(TorchNetwork):
    """Runs the program's own graph; converts the program itself, which holds in which dimensions it may vary."""

    def __init__(self, source: Source) -> None:
        self._program = source.network
        super().__init__(source)

    def _copy(self, source: Source) -> Any:
        self._large = sum(value.nbytes for value in source.network.state_dict.values()) > LARGE
        self._one_copy = False
        return copy.deepcopy(source.network).module()

    def _bind(self, source: Source) -> Binding:
        program = source.network
        if not program.example_inputs:
            raise BadModel("the program holds no example inputs", where=source.reference, hint="torch.export it again")
        args, kwargs = program.example_inputs
        names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
        own = names if len(names) == len(args) else argument_names(self.module)  # flat arguments: their own names
        binding = bind(source, own, (list(args), dict(kwargs)))
        self._refuse_fixed(source, binding)
        return binding

    def _refuse_fixed(self, source: Source, binding: Binding) -> None:
        """The placeholders' shapes tell which axes vary: a batch that does not is refused before anything is run."""
        signature = source.network.graph_signature
        users = [spec.arg.name for spec in signature.input_specs if spec.kind.name == "USER_INPUT"]
        values = {node.name: node.meta.get("val") for node in source.network.graph.nodes if node.op == "placeholder"}
        for name, spec in zip(users, _in_order(binding), strict=False):
            shape = getattr(values[name], "shape", ())
            for axis, wanted in enumerate(spec.shape):
                if isinstance(wanted, str) and isinstance(shape[axis], int):
                    raise NotEquivalent(
                        f"the program was exported with {spec.name!r} axis {axis} ({wanted}) fixed at {shape[axis]}",
                        where=source.reference,
                        hint="export it with dynamic_shapes naming that axis, e.g. {0: torch.export.Dim.DYNAMIC}",
                    )

    def _in_double(self) -> torch.nn.Module:
        # The graph holds dtypes as constants (casts, full, arange), so that a float64 run is not the same program.
        raise TruthUnavailable("an exported program has its dtypes fixed")

    def convert(self, folder: Path) -> onnx.ModelProto:
        """torch.onnx.export of the program as it is."""
        return export_dynamo(
            self._program,
            (),
            _in_order(self.binding),
            self.output_names,
            opset=self._opset,
            log=self.talk,
            beside=folder if self._large else None,
        )


def _in_order(binding: Binding) -> list[TensorSpec]:
    """The inputs in the program's own order."""
    specs = {spec.name: spec for spec in binding.inputs}
    return [specs[name] for name in binding.names]
