"""The converted graph made presentable: the author's names, named dimensions, no local paths, no training leftovers."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.network import MAX_IR_VERSION

if TYPE_CHECKING:
    import onnx

_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_STANDARD = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""the domains of ONNX itself and of every build of ONNX Runtime"""
_SOURCES = {
    "ai.onnx.contrib": "the package onnxruntime-extensions",
    "ai.onnx.training": "ONNX Runtime's training builds",
    "ai.onnx.preview.training": "ONNX Runtime's training builds",
    "com.microsoft.": "ONNX Runtime's own optimiser: such a file fits one kind of machine only",
    "org.pytorch.": "a torch operation that has no ONNX form",
    "pkg.onnxscript.": "onnxscript, as a function whose body is missing",
    "ai.onnx.converters.tensorflow": "tf2onnx, for an operation of TensorFlow's that it has no form for",
    "trt.plugins": "TensorRT",
    "mmdeploy": "mmdeploy",
}
LAYER = "onnxpress.layer"
"""a node's metadata: the author's name of the layer it came from"""
SOURCE = "onnxpress.source"
"""a node's metadata: file and line in the author's code"""
_SCOPES = "pkg.torch.onnx.name_scopes"
_STACK = "pkg.torch.onnx.stack_trace"


def rename_values(graph: onnx.GraphProto, renames: dict[str, str]) -> None:
    """Rename tensors everywhere in the graph, subgraphs included."""

    def new(name: str) -> str:
        return renames.get(name, name)

    for container in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in container:
            value.name = new(value.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                rename_values(subgraph, renames)


def nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Every node of the graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from nodes(subgraph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes that no output needs, and the initializers that no node then needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        inner = [name for attribute in node.attribute if attribute.HasField("g") for name in _used(attribute.g)]
        needed.update(node.input, inner)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [value for value in graph.initializer if value.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _used(graph: onnx.GraphProto) -> set[str]:
    return {name for node in nodes(graph) for name in node.input} | {value.name for value in graph.output}


def refuse_unservable(proto: onnx.ModelProto, allowed: Collection[str] = ()) -> None:
    """Raise where the graph is random, in training mode, or uses custom operators.

    `allowed` names custom operators that may be used, as `domain:Name`; the runtime must know them.
    """
    for node in nodes(proto.graph):
        label = f"{node.op_type} node {node.name or node.output[0]!r}"
        if node.op_type in _RANDOM:
            raise NotEquivalent(f"the graph is random: {label}", hint="remove the sampling from the inference path")
        training = any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
        if training:
            raise NotEquivalent(f"the graph is in training mode: {label}", hint="export in eval mode, training=False")
    local = {(function.domain, function.name) for function in proto.functions}
    bodies = [node for function in proto.functions for node in function.node]
    foreign: dict[str, set[str]] = {}
    for node in (*nodes(proto.graph), *bodies):
        name = f"{node.domain}:{node.op_type}"
        if node.domain not in _STANDARD and (node.domain, node.op_type) not in local and name not in allowed:
            foreign.setdefault(name, set()).add(_layer_of(node) or node.name or node.output[0])
    if foreign:
        listed = "; ".join(
            f"{name} (in {', '.join(sorted(found)[:3])}{_origin(name)})" for name, found in sorted(foreign.items())
        )
        raise BadModel(
            f"the graph needs custom operators: {listed}",
            hint="express them in standard operators; or, where the runtime that serves it knows them, allow them by "
            + " ".join(f"--allow-operator {name}" for name in sorted(foreign)),
        )


def _origin(operator: str) -> str:
    """Where the operators of a known foreign domain come from."""
    domain = operator.rpartition(":")[0]
    return next((f"; from {source}" for start, source in _SOURCES.items() if domain.startswith(start)), "")


def fixed_dimensions(proto: onnx.ModelProto, inputs: list[TensorSpec]) -> list[str]:
    """Which dimensions that should vary are fixed in the converted graph: `features axis 0 is 3, should be batch`."""
    by_name = {value.name: value for value in proto.graph.input}
    problems = []
    for spec in inputs:
        value = by_name.get(spec.name)
        if value is None:
            problems.append(f"the input {spec.name!r} is gone from the graph")
            continue
        dimensions = value.type.tensor_type.shape.dim
        if len(dimensions) != len(spec.shape):
            problems.append(f"{spec.name!r} has {len(dimensions)} dimensions, should be {spec}")
            continue
        for axis, (dimension, wanted) in enumerate(zip(dimensions, spec.shape, strict=True)):
            if isinstance(wanted, str) and dimension.HasField("dim_value"):
                problems.append(f"{spec.name!r} axis {axis} is {dimension.dim_value}, should be {wanted!r}")
    return problems


def set_signature(values: Any, specs: list[TensorSpec]) -> None:
    """Write dtypes and named dimensions of `specs` into graph inputs or outputs of the same names."""
    import onnx

    by_name = {spec.name: spec for spec in specs}
    for value in values:
        spec = by_name[value.name]
        value.CopyFrom(onnx.helper.make_tensor_value_info(spec.name, element_type(spec.dtype), spec.shape))


def element_type(dtype: str) -> int:
    """The ONNX TensorProto element type of a dtype name."""
    import onnx

    names = {"float32": "FLOAT", "float64": "DOUBLE", "string": "STRING", "bool": "BOOL"}
    return int(getattr(onnx.TensorProto, names.get(dtype, dtype.upper())))


def tidy(proto: onnx.ModelProto, *, metadata: dict[str, str], layers: Collection[str] = ()) -> None:
    """Strip what is local to this machine and stale, keep each node's layer and line, and set the model's own metadata.

    `layers` are the names of the framework's layers, where it has a list of them.
    """
    import onnx

    for node in nodes(proto.graph):
        notes = {LAYER: _layer_of(node, layers), SOURCE: _source_of(node)}
        del node.metadata_props[:]
        node.doc_string = ""
        for key, text in notes.items():
            if text is not None:
                node.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    graph = proto.graph
    del graph.value_info[:]  # the runtime infers it again; converters leave stale dimension names in it
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    graph.name, graph.doc_string, proto.doc_string = "main", "", ""
    del proto.metadata_props[:]
    for key, text in sorted(metadata.items()):
        proto.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    proto.producer_name, proto.producer_version = "onnxpress", ""
    proto.ir_version = min(proto.ir_version, MAX_IR_VERSION)
    used = {node.domain for node in nodes(graph)} | {function.domain for function in proto.functions} | {""}
    kept = [opset for opset in proto.opset_import if opset.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def note_of(node: onnx.NodeProto, key: str) -> str:
    """What the node's metadata say under `key`; empty where they say nothing."""
    return next((str(entry.value) for entry in node.metadata_props if entry.key == key), "")


def _layer_of(node: onnx.NodeProto, layers: Collection[str] = ()) -> str | None:
    """The author's name of the layer that a node came from: torch's module path, Keras's layer name.

    Empty for the model's own code, None where nothing tells.
    """
    for entry in node.metadata_props:
        if entry.key == LAYER:
            return str(entry.value)
    if scopes := re.findall(r"'([^']*)'", note_of(node, _SCOPES)):
        # The last is the node itself; a scope that is no module is torch's own bookkeeping.
        return next((scope for scope in reversed(scopes[:-1]) if scope in layers or not layers), None)
    *parts, _ = node.name.split("/")
    if parts[:2] == ["", "module"]:  # torch's older exporter: /module/layers/layers.0/norm/Mul
        path = ""
        for part in parts[2:]:
            path = part if part.startswith(f"{path}.") or not path else f"{path}.{part}"
        return path
    # tf2onnx names a node after the traced scope: functional_1/dense_3_1/MatMul, the trailing _1 being the trace's own
    names = [(part, re.sub(r"_\d+$", "", part)) for part in parts]
    for part, stripped in reversed(names):
        if stripped in layers or part in layers:
            return stripped if stripped in layers else part
    return names[-1][1] if len(names) > 1 else None


def _source_of(node: onnx.NodeProto) -> str | None:
    """`nets.py:12`: the innermost line of the author's own code in the exporter's stack trace, without its folder."""
    if known := note_of(node, SOURCE):
        return known
    found = re.findall(r'File "([^"]+)", line (\d+)', note_of(node, _STACK))
    own = [(file, line) for file, line in found if not re.search(r"(^|[/\\])(torch|onnxpress)[/\\]", file)]
    if not own:
        return None
    file, line = own[-1]
    return f"{PurePath(file).name}:{line}"


def infer_outputs(
    names: list[str],
    inputs: list[TensorSpec],
    observe: Callable[[dict[str, int]], dict[str, tuple[str, tuple[int, ...]]]],
    usual: Mapping[str, int],
) -> list[TensorSpec]:
    """The outputs' dtypes and dimensions, told by running at several sizes rather than by the converter's word.

    `observe` maps sizes of the named dimensions to each output's (dtype, shape); `usual` holds the sizes seen in the
    author's examples, near which every model answers. An axis that follows one named
    dimension takes its name; one that varies otherwise is called `<output>_<axis>`.
    """
    dimension_names = sorted({name for spec in inputs for name in spec.named_dimensions})
    sizes = [_sizes(dimension_names, usual, run) for run in range(3)]
    seen = [observe(size) for size in sizes]
    specs = []
    for name in names:
        dtype, first = seen[0][name]
        shape: list[int | str] = []
        for axis in range(len(first)):
            observed = [run[name][1][axis] if axis < len(run[name][1]) else -1 for run in seen]
            followed = [n for n in dimension_names if observed == [size[n] for size in sizes]]
            if followed:
                shape.append(followed[0])
            else:
                shape.append(observed[0] if len(set(observed)) == 1 else f"{name}_{axis}")
        specs.append(TensorSpec(name=name, dtype=dtype, shape=tuple(shape)))
    return specs


def _sizes(names: list[str], usual: Mapping[str, int], run: int) -> dict[str, int]:
    """Sizes that differ from one another in every run, so that an axis can follow only one of them."""
    sizes: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in usual:
            size = (usual[name], usual[name] + 1, 2 * usual[name] + 1)[run]
        else:
            size = 2 + 3 * place + (0, 1, 5)[run]
        while size in sizes.values():
            size += 1
        sizes[name] = size
    return sizes
