"""The walk over the graph: what each node becomes, checked against what the node computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.from_onnx.naming import Names
from onnxpress.export.port.from_onnx.reader import Reading, Val, observed
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.registry import registering

Handler = Callable[..., Any]
OPERATORS: dict[str, Handler] = {}
ON_SIZES: dict[str, Handler] = {}
_APART = 1e-3
"""of a value's size, in float32: another meaning is farther off, rounding of any network nearer"""


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Register how the operators of these names are read: of (reading, attributes, *inputs)."""
    return registering(OPERATORS, names)


def on_sizes(*names: str) -> Callable[[Handler], Handler]:
    """The same of operators on vectors of sizes."""
    return registering(ON_SIZES, names)


def read(
    proto: onnx.ModelProto, specs: Sequence[TensorSpec], feeds: Sequence[Mapping[str, Array]]
) -> tuple[Reading, list[Val]]:
    """The whole graph, and its outputs. `feeds` are at two sizes of every dimension that varies.

    Raises NoCorrespondence by the node's name.
    """
    seen = [observed(proto, feed) for feed in feeds]
    reading = Reading(proto, Names())
    reading.opset = next((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), 0)
    for spec in specs:
        first, second = (torch.from_numpy(np.array(feed[spec.name])) for feed in feeds)
        reading.values[spec.name] = reading.input(spec.name, (first, second))
    for initializer in proto.graph.initializer:
        array = numpy_helper.to_array(initializer)
        if array.dtype.kind not in "fiub":
            continue  # its node refuses it
        reading.values.setdefault(initializer.name, _constant(array, initializer.name))
    for node in proto.graph.node:
        for name in node.input:
            reading.uses[name] = reading.uses.get(name, 0) + 1
            reading.readers.setdefault(name, []).append(node)
    for value in proto.graph.output:
        reading.uses[value.name] = reading.uses.get(value.name, 0) + 1
    for node in proto.graph.node:
        _read_node(reading, node, seen)
    return reading, [_answer(reading, value.name) for value in proto.graph.output]


def _answer(reading: Reading, name: str) -> Val:
    value = reading.values[name]
    if value.ref is None:
        raise NoCorrespondence(f"the output {name!r} does not depend on the inputs", where=name)
    return value


def _constant(array: Array, initializer: str | None = None) -> Val:
    held = torch.from_numpy(np.array(array))
    return Val((held, held), const=array, initializer=initializer)


def _read_node(reading: Reading, node: Any, seen: list[dict[str, Any]]) -> None:
    reading.node = node
    if all(name in reading.ahead for name in node.output if name):
        for name in node.output:
            reading.values[name] = reading.ahead[name]
            _check(reading, name, reading.ahead[name], [one[name] for one in seen])
        return
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        raise reading.refuse(f"{node.op_type} holds a graph of its own, which has no correspondence")
    inputs = [reading.values.get(name) if name else None for name in node.input]
    if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
        raise reading.refuse(f"{node.op_type} takes texts or sequences, which have no correspondence")
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    domain = node.domain if node.domain not in ("", "ai.onnx") else ""
    known = [value for value in inputs if value is not None]
    fixed = all(value.const is not None for value in known)
    if fixed and node.op_type not in ("RandomNormal", "RandomUniform"):
        for name in node.output:
            if name and isinstance(seen[0][name], np.ndarray | np.generic):
                reading.values[name] = _folded(node, inputs, attributes, np.asarray(seen[0][name]))
        return
    on_size = any(value.items is not None for value in known) or node.op_type in ("Shape", "Size")
    handler = ON_SIZES.get(node.op_type) if on_size else None
    handler = handler or OPERATORS.get(f"{domain}.{node.op_type}" if domain else node.op_type)
    if handler is None:
        raise reading.refuse(f"there is no correspondence of the operator {f'{domain}.' * bool(domain)}{node.op_type}")
    try:
        found = handler(reading, attributes, *inputs)
    except NoCorrespondence:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise reading.refuse(f"{node.op_type}, as it is used here, cannot be written: {said}") from error
    several = found if isinstance(found, tuple) else (found,)
    for name, value in zip(node.output, several, strict=False):
        if not name or value is None:
            continue
        if value.items is not None and all(isinstance(item, int) for item in value.items):
            array = np.array(value.items, np.int64)
            value = _constant(array.reshape(()) if value.scalar else array)
        reading.values[name] = value
        if name not in reading.unchecked:
            _check(reading, name, value, [one[name] for one in seen])


def _folded(node: Any, inputs: Sequence[Val | None], attributes: dict[str, Any], array: Array) -> Val:
    """A constant of constants; of a transposed initializer it is known what it is made of."""
    found = _constant(array)
    source = inputs[0] if inputs else None
    if node.op_type == "Transpose" and source is not None and source.initializer is not None:
        perm = tuple(attributes.get("perm", range(source.rank)[::-1]))
        before = source.made
        found.initializer, found.alias = source.initializer, source.alias
        found.made = lambda a: before(a).transpose(perm)
    elif node.op_type == "Identity" and source is not None:
        found.initializer, found.made, found.alias = source.initializer, source.made, node.output[0]
    return found


def _check(reading: Reading, name: str, value: Val, expected: list[Any]) -> None:
    """What torch computes is what the node computes, at both sizes."""
    for which, wanted in enumerate(expected):
        if value.items is not None:
            found = np.array([item if isinstance(item, int) else item.pair[which] for item in value.items])
        else:
            found = np.asarray(value.pair[which])
        wanted = np.asarray(wanted)
        found = found.reshape(()) if value.scalar else found
        if found.shape != wanted.shape:
            raise reading.refuse(f"torch answers {name!r} in the shape {found.shape}, not {wanted.shape}")
        if wanted.dtype.kind != "f":
            # A tie of two floats may be seen in two ways; more than a few are another meaning.
            if wanted.size and np.mean(found != wanted) > (0 if value.items is not None else 0.1):
                raise reading.refuse(f"torch answers {name!r} with other values")
            continue
        a, b = found.astype(np.float64), wanted.astype(np.float64)
        known = np.isfinite(b)
        scale = np.abs(b[known]).max(initial=0.0)
        if not np.array_equal(known, np.isfinite(a)) or np.abs(a - b)[known].max(initial=0.0) > _APART * scale + 1e-30:
            raise reading.refuse(f"torch answers {name!r} with other values")
