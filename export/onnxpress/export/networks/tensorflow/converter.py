"""A TensorFlow function → ONNX with tf2onnx 1.17, around its known faults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.editing import rename_values
from onnxpress.export.graph.opset import OPSET
from onnxpress.export.networks.converter_talk import converter_talk
from onnxpress.export.networks.tensorflow.operator_handlers import register
from onnxpress.export.networks.tensorflow.tracing import stand_ins
from onnxpress.export.networks.tensorflow.unconvertible import no_conversion
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx


def refuse_opset(source: Source) -> None:
    """Raise UsageError where the source asks for an opset that tf2onnx does not write."""
    if source.opset != OPSET:
        raise UsageError(
            f"tf2onnx writes opset {OPSET} at most; {source.opset} was asked for",
            where=source.reference,
            hint="leave --opset out",
        )


def convert(
    call: Callable[[list[Any]], dict[str, Any]],
    inputs: Sequence[TensorSpec],
    outputs: list[str],
    *,
    owner: Any,
    log: list[str],
) -> onnx.ModelProto:
    """Trace `call` (tensors in the order of `inputs` → name → tensor), every named dimension unknown; convert it.

    `owner` holds the lookup tables that `call` uses. Raises BadModel with tf2onnx's reason.
    """
    import tf2onnx

    signature = [
        tf.TensorSpec(
            [None if isinstance(size, str) else size for size in spec.shape],
            getattr(tf, spec.dtype),
            name=f"input_{number}",
        )
        for number, spec in enumerate(inputs)
    ]

    def forward(*tensors: Any) -> list[Any]:
        # Named identities keep the order and give the outputs names that can be told apart afterwards.
        # A list in the order of `outputs`: TensorFlow and tf2onnx sort the keys of a dict.
        answers = call(list(tensors))
        return [tf.identity(answers[name], name=f"output_{n}") for n, name in enumerate(outputs)]

    register()
    function = tf.function(forward, input_signature=signature, autograph=False)
    with converter_talk(log) as talk:
        try:
            with _inner_functions_inlined(), stand_ins():
                traced = function.get_concrete_function()
            if any(operation.type.startswith("LookupTable") for operation in traced.graph.get_operations()):
                proto = _with_tables(owner, traced, len(inputs))
            else:
                proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
        except Exception as error:
            raise BadModel(f"tf2onnx cannot convert it: {_reason(error)}", hint=talk.tail() or None) from error
    failed = [line for line in talk.lines if "Tensorflow op" in line and "not supported" in line]
    if failed:
        raise no_conversion(failed[0])
    _bind_captures(proto, traced)
    return _named(proto, [spec.name for spec in inputs], outputs)


def _with_tables(owner: Any, traced: Any, count: int) -> onnx.ModelProto:
    """What tf2onnx's from_keras does for StringLookup, for any traced function: from_function leaves tables out."""
    from tf2onnx import convert, tf_loader

    inputs = [tensor.name for tensor in traced.inputs[:count]]
    outputs = [tensor.name for tensor in traced.outputs]
    with tf.device("/cpu:0"):
        frozen, tables = tf_loader.from_trackable(owner, traced, inputs, outputs, False)
        proto, _ = convert._convert_common(
            frozen, name="main", opset=OPSET, input_names=inputs, output_names=outputs, initialized_tables=tables
        )
    return proto


@contextlib.contextmanager
def _inner_functions_inlined() -> Iterator[None]:
    """Keras traces grouped convolutions through tf.function(jit_compile=True), whose call tf2onnx cannot look into."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _bind_captures(proto: onnx.ModelProto, traced: Any) -> None:
    """Tensors that the function captured (Normalization's mean and variance) are constants, not required inputs."""
    import onnx

    captured = {internal.name: external for external, internal in traced.graph.captures}
    for value in list(proto.graph.input):
        external = captured.get(value.name)
        if external is None or external.dtype == tf.resource:
            continue
        constant = onnx.numpy_helper.from_array(np.asarray(external), value.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(value)


def _named(proto: onnx.ModelProto, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """Put the graph's inputs in the signature's order and give inputs and outputs the author's names."""
    order = {value.name.partition(":")[0]: value.name for value in proto.graph.input}
    expected = [f"input_{number}" for number in range(len(inputs))]
    positional = [value.name for value in proto.graph.input]
    named = [order.get(name) for name in expected]
    if len(positional) != len(inputs) or None in named:
        extra = [name for name in positional if name not in named]
        raise BadModel(f"tf2onnx changed the inputs: expected {len(inputs)}, got {positional} (extra: {extra})")
    renames = {str(old): f"\0in{number}" for number, old in enumerate(named)}
    renames |= {value.name: f"\0out{number}" for number, value in enumerate(proto.graph.output)}
    rename_values(proto.graph, renames)
    final = {f"\0in{number}": name for number, name in enumerate(inputs)}
    final |= {f"\0out{number}": name for number, name in enumerate(outputs)}
    rename_values(proto.graph, final)
    ordered = {value.name: value for value in proto.graph.input}
    values = [ordered[name] for name in inputs]
    del proto.graph.input[:]
    proto.graph.input.extend(values)
    return proto


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
