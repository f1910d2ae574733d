"""torch's two ONNX exporters: `dynamo=True`, and the older TorchScript one for the few things that only it can do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import MODEL_FILE
from onnxpress.export.graph.editing import rename_values
from onnxpress.export.graph.squeezes import drop_idle_squeezes
from onnxpress.export.networks.converter_talk import converter_talk
from onnxpress.export.networks.pytorch import operators
from onnxpress.export.networks.pytorch.batch_norm import folded_in_double
from onnxpress.export.networks.pytorch.linear_algebra import MOST, TooLarge, Unchecked
from onnxpress.export.networks.pytorch.packed import pad_back
from onnxpress.export.networks.pytorch.recurrent import any_length
from onnxpress.export.networks.pytorch.spelled_out import SpelledOut
from onnxpress.export.networks.pytorch.watching import line_of, raised_at

if TYPE_CHECKING:
    import onnx

TORCHSCRIPT_OPSET = 20
"""as far as the older exporter goes"""
_SCOPES = "pkg.torch.onnx.name_scopes"
_WRAPPER = "module."
_BAKES = (
    "Converting a tensor to",
    "Iterating over a tensor",
    "Using len to get tensor shape",
    "torch.tensor results are registered as constants",
)
_USER_LINE = re.compile(r'raised this error:\s+File "([^"]+)", line (\d+)')
_NO_FORM = re.compile(r"No ONNX function found for <OpOverload\(op='(?:aten|prims)\._?([^']+)'")
_INSTEAD = (
    "where it depends on parameters alone, compute it when the model is made and keep it in a buffer; or do it before "
    "the model is asked and export what comes after it"
)
_CHECKS_SIZES_ONLY = str(Path("nn", "modules", "rnn.py"))
"""the part of torch whose own such warnings are about checks of its arguments' sizes"""


def export_dynamo(
    flat: Any,
    tensors: Sequence[Any],
    inputs: Sequence[TensorSpec],
    outputs: list[str],
    *,
    opset: int,
    log: list[str],
    beside: Path | None = None,
) -> onnx.ModelProto:
    """torch.onnx.export(dynamo=True) of a `Flat` module, or of an ExportedProgram, with every named dimension dynamic.

    With `beside` the weights are written into that folder and only referred to. Raises NotEquivalent where a dimension
    is fixed in forward, BadModel with torch's reason otherwise.
    """
    program = isinstance(flat, torch.export.ExportedProgram)
    dynamic = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in inputs
    )
    with converter_talk(log) as talk, SpelledOut(), Unchecked(), folded_in_double(), any_length():
        try:
            exported = torch.onnx.export(
                flat,
                () if program else tuple(tensors),
                dynamo=True,
                opset_version=opset,
                dynamic_shapes=None if program else {"tensors": dynamic},
                input_names=[spec.name for spec in inputs],
                output_names=[_reserved(number) for number in range(len(outputs))],
                external_data=False,
                custom_translation_table=operators.table(),
                verbose=False,
            )
        except Exception as error:
            raise _explain(error, inputs, lambda: None if program else flat(*tensors)) from error
    if exported is None:
        raise BadModel("torch.onnx.export returned nothing", hint=talk.tail() or None)
    proto: onnx.ModelProto
    if beside is None:
        proto = exported.model_proto
    else:
        import onnx

        exported.save(beside / MODEL_FILE, external_data=True)
        proto = onnx.load(str(beside / MODEL_FILE), load_external_data=False)
    _named(proto.graph, outputs)
    drop_idle_squeezes(proto.graph)
    return proto if program else _unwrapped(proto)


def _reserved(number: int) -> str:
    """What an output is called while torch names its operators: `relu` may be an operator and an author's output."""
    return f"onnxpress.output.{number}"


def _named(graph: onnx.GraphProto, outputs: Sequence[str]) -> None:
    """Give the outputs the author's names; an inner tensor that carries one of them gives way."""
    rename_values(graph, {name: f"inner/{name}" for name in outputs})
    rename_values(graph, {_reserved(number): name for number, name in enumerate(outputs)})


def export_torchscript(
    flat: Any,
    tensors: Sequence[Any],
    inputs: Sequence[TensorSpec],
    outputs: list[str],
    *,
    opset: int,
    log: list[str],
    folder: Path,
) -> onnx.ModelProto:
    """torch.onnx.export(dynamo=False) of a `Flat` module, which is changed by it.

    Raises BadModel where tracing took a value of the example as a constant.

    This exporter follows one path through forward and says so in a warning only; such a warning is an error here, as
    the path not taken may be one that no measured input takes either.
    """
    import onnx

    path = folder / "torchscript.onnx"
    axes = {spec.name: {a: size for a, size in enumerate(spec.shape) if isinstance(size, str)} for spec in inputs}
    own = str(Path(torch.__file__).parent / _CHECKS_SIZES_ONLY)
    pad_back(flat)
    with converter_talk(log), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            torch.onnx.export(
                flat,
                tuple(tensors),
                str(path),
                dynamo=False,
                opset_version=opset,
                dynamic_axes=axes,
                input_names=[spec.name for spec in inputs],
                output_names=outputs,
            )
        except Exception as error:
            raise BadModel(f"the TorchScript exporter cannot convert it: {_first_line(str(error))}") from error
    for warning in caught:
        text = str(warning.message)
        if text.startswith(_BAKES) and warning.filename != own:
            place = f"{Path(warning.filename).name}:{warning.lineno}"
            raise BadModel(f"the TorchScript exporter would fix a value of the example in the graph: {text} ({place})")
    return _unwrapped(onnx.load(str(path)))


def _unwrapped(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Layers and weights under the author's names, without the wrapper's `module.`."""
    taken = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    taken |= {name for node in proto.graph.node for name in node.output} | {v.name for v in proto.graph.initializer}
    renames = {}
    for value in proto.graph.initializer:
        short = value.name.removeprefix(_WRAPPER)
        if short != value.name and short not in taken:
            renames[value.name] = short
    rename_values(proto.graph, renames)
    for node in proto.graph.node:
        for entry in node.metadata_props:
            if entry.key == _SCOPES:
                entry.value = re.sub(r"'module(?:\.([^']*))?'", lambda match: f"'{match[1] or ''}'", entry.value)
    return proto


def _explain(error: Exception, inputs: Sequence[TensorSpec], run: Callable[[], object]) -> Exception:
    chain: list[str] = []
    place = ""
    cause: BaseException | None = error
    large: TooLarge | None = None
    while cause is not None:
        large = cause if isinstance(cause, TooLarge) else large
        chain.append(str(cause))
        place = raised_at(cause)
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(chain)
    if "data-dependent" in text:
        places = _USER_LINE.findall(text)
        place = f" ({Path(places[-1][0]).name}:{places[-1][1]})" if places else ""
        return BadModel(
            f"forward decides in Python by the values of a tensor{place}: an if, a loop, an index or int() of one",
            hint="write it with tensors (torch.where, a mask, torch.cond), or make the value an argument that is no "
            "tensor; torch.export says: " + _first_line(text, "data-dependent"),
        )
    if "marked dynamic" in text or "Constraints violated" in text or "specialized" in text:
        names = ", ".join(sorted({name for spec in inputs for name in spec.named_dimensions}))
        return NotEquivalent(
            f"the module works at one size only: a dimension that should vary ({names}) is fixed in forward",
            hint="replace sizes written into the code (reshape(4, -1), torch.zeros(4, ...)) by x.shape[0] or -1; "
            "torch.export says: " + _first_line(text, "specialized", "marked dynamic", "Constraints violated"),
        )
    if large is not None:
        at = line_of(large.operator, run)
        return BadModel(
            f"torch.onnx.export cannot convert it: {large} has no ONNX form{f' ({at})' if at else ''}",
            hint=f"matrices with a fixed number of rows, up to {MOST}, are written into the graph; {_INSTEAD}",
        )
    if absent := _NO_FORM.search(text):
        at = line_of(absent[1], run)
        where = f" ({at})" if at else ""
        return BadModel(
            f"torch.onnx.export cannot convert it: torch's operator {absent[1]} has no ONNX form{where}",
            hint=f"write what it does with other operators in forward; {_INSTEAD}",
        )
    if "inferred a static shape" in text:
        return BadModel(
            "forward fixes the size of a dimension that should vary: a loop over rows, or a size taken as a number",
            hint="torch.export says: " + _first_line(text, "inferred a static shape"),
        )
    where = f" ({place})" if place else ""
    said = next((line for line in map(_first_line, reversed(chain)) if line != "no reason given"), type(error).__name__)
    return BadModel(f"torch.onnx.export cannot convert it{where}: {said}")


def _first_line(text: str, *needles: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if any(needle in line for needle in needles):
            return line
    return lines[0] if lines else "no reason given"
