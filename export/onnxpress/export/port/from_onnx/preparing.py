"""The file's graph in plain operators: functions of its own opened, what runtimes fuse and scikit-learn's taken apart.

What is asked of the port is the file as it came. This is what is read of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper

from onnxpress.core.arrays import Array
from onnxpress.export.port.refusal import NoCorrespondence

_FUSED = "com.microsoft"
_ML = "ai.onnx.ml"
_QUANTISED = frozenset({
    "QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul",
    "DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QLinearAdd", "QGemm",
})  # fmt: skip


def prepared(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model; the very one that is given where there is nothing to take apart. Raises NoCorrespondence."""
    found = inliner.inline_local_functions(proto) if proto.functions else proto
    initializers = [one.name for one in found.graph.initializer]
    opset = next((one.version for one in found.opset_import if one.domain in ("", "ai.onnx")), 0)
    apart = _APART if opset >= 13 else _APART | _OLD
    for node in found.graph.node:
        if node.op_type in _QUANTISED or (node.op_type == "DequantizeLinear" and not _is_weight(node, initializers)):
            raise NoCorrespondence(
                f"{node.op_type} computes with quantised values, which have no correspondence",
                where=f"node {node.name or node.output[0]!r}",
                hint="carry the file as it was before it was quantised",
            )
    asked = [n for n in found.graph.node if (n.domain, n.op_type) in apart or _is_weight(n, initializers)]
    if not asked:
        return found
    made = onnx.ModelProto()
    made.CopyFrom(found)
    graph = made.graph
    del graph.node[:]
    for node in found.graph.node:
        if _is_weight(node, initializers):
            graph.initializer.append(_weight(found, node))
        elif (node.domain, node.op_type) in apart:
            parts = _Parts(node, made)
            apart[node.domain, node.op_type](parts)
            graph.node.extend(parts.nodes)
        else:
            graph.node.append(node)
    return made


class _Parts:
    """The nodes that take the place of one, and the constants that they need."""

    def __init__(self, node: Any, model: onnx.ModelProto) -> None:
        self.node, self.model, self.nodes = node, model, list[Any]()
        self.attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        self._count = 0

    def refuse(self, what: str, hint: str | None = None) -> NoCorrespondence:
        """The refusal of the node, to be raised."""
        return NoCorrespondence(what, where=f"node {self.node.name or self.node.output[0]!r}", hint=hint)

    def input(self, place: int) -> str:
        """The name of an input; empty where there is none."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def output(self, place: int) -> str:
        """The same of an output."""
        return self.node.output[place] if place < len(self.node.output) else ""

    def add(self, op_type: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node; it keeps the name of that whose place it takes, so that its layer is called the same."""
        self._count += 1
        output = output or f"{self.node.output[0]}/{op_type}_{self._count}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=self.node.name, **attributes))
        return output

    def constant(self, array: Array, label: str) -> str:
        """The name of a new constant."""
        name = f"{self.node.name or self.node.output[0]}.{label}"
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def number(self, value: float) -> str:
        """A float32 without an axis."""
        self._count += 1
        return self.constant(np.array(value, np.float32), f"number_{self._count}")

    def floats(self, name: str) -> Array:
        """An attribute that is a list of numbers."""
        return np.array(self.attributes.get(name, []), np.float32)


def _activated(p: _Parts, x: str) -> str:
    """With the activation that a runtime fuses into the operator before."""
    name = p.attributes.get("activation", b"").decode()
    given = p.attributes.get("activation_params", [])
    options = {
        "LeakyRelu": dict(zip(("alpha",), given, strict=False)),
        "HardSigmoid": dict(zip(("alpha", "beta"), given, strict=False)),
        "Relu": {}, "Sigmoid": {}, "Tanh": {},
    }  # fmt: skip
    if name == "Clip" and len(given) == 2:
        return p.add("Clip", x, p.number(given[0]), p.number(given[1]), output=p.output(0))
    if name not in options:
        raise p.refuse(f"{p.node.op_type} with the activation {name!r} has no correspondence")
    return p.add(name, x, output=p.output(0), **options[name])


def _fused_conv(p: _Parts) -> None:
    options = {k: v for k, v in p.attributes.items() if not k.startswith("activation")}
    x = p.add("Conv", *[name for name in p.node.input[:3] if name], **options)
    if p.input(3):
        x = p.add("Add", x, p.input(3))
    _activated(p, x)


def _fused_matmul(p: _Parts) -> None:
    given = p.attributes
    if given.get("transBatchA") or given.get("transBatchB"):
        raise p.refuse("FusedMatMul that turns batches has no correspondence")
    sides = [_turned(p, p.input(n)) if given.get(name) else p.input(n) for n, name in enumerate(("transA", "transB"))]
    alpha = float(given.get("alpha", 1.0))
    product = p.add("MatMul", *sides, output="" if alpha != 1 else p.output(0))
    if alpha != 1:
        p.add("Mul", product, p.number(alpha), output=p.output(0))


def _turned(p: _Parts, name: str) -> str:
    """With its last two axes exchanged."""
    rank = next((len(one.dims) for one in p.model.graph.initializer if one.name == name), None)
    every = [*p.model.graph.value_info, *p.model.graph.input]
    rank = rank or next((len(one.type.tensor_type.shape.dim) for one in every if one.name == name), None)
    if rank is None:
        raise p.refuse(f"how many axes {name!r} has is not told", "run onnx.shape_inference over the file")
    return p.add("Transpose", name, perm=[*range(rank - 2), rank - 1, rank - 2])


def _bias_gelu(p: _Parts) -> None:
    _erf_gelu(p, p.add("Add", p.input(0), p.input(1)) if p.input(1) else p.input(0))


def _erf_gelu(p: _Parts, x: str) -> None:
    one = p.add("Add", p.add("Erf", p.add("Div", x, p.number(math.sqrt(2)))), p.number(1))
    p.add("Mul", p.add("Mul", x, one), p.number(0.5), output=p.output(0))


def _fast_gelu(p: _Parts) -> None:
    x = p.add("Add", p.input(0), p.input(1)) if p.input(1) else p.input(0)
    cube = p.add("Mul", p.add("Pow", x, p.number(3)), p.number(0.044715))
    inner = p.add("Mul", p.add("Add", x, cube), p.number(math.sqrt(2 / math.pi)))
    one = p.add("Add", p.add("Tanh", inner), p.number(1))
    p.add("Mul", p.add("Mul", x, one), p.number(0.5), output=p.output(0))


def _quick_gelu(p: _Parts) -> None:
    alpha = float(p.attributes.get("alpha", 1.702))
    scaled = p.add("Mul", p.input(0), p.number(alpha)) if alpha != 1 else p.input(0)
    p.add("Mul", p.input(0), p.add("Sigmoid", scaled), output=p.output(0))


def _skip_layer_norm(p: _Parts) -> None:
    is_last = bool(p.output(3)) and not p.input(4)
    x = p.add("Add", p.input(0), p.input(1), output=p.output(3) if is_last else "")
    if p.input(4):
        x = p.add("Add", x, p.input(4), output=p.output(3))
    epsilon = float(p.attributes.get("epsilon", 1e-12))
    given = [name for name in (x, p.input(2), p.input(3)) if name]
    p.add("LayerNormalization", *given, output=p.output(0), axis=-1, epsilon=epsilon)


def _scaler(p: _Parts) -> None:
    x = p.add("Cast", p.input(0), to=onnx.TensorProto.FLOAT)
    centred = p.add("Sub", x, p.constant(p.floats("offset"), "offset"))
    p.add("Mul", centred, p.constant(p.floats("scale"), "scale"), output=p.output(0))


def _linear_regressor(p: _Parts) -> None:
    _post(p, _scores(p, int(p.attributes.get("targets", 1))), p.output(0))


def _scores(p: _Parts, rows: int) -> str:
    weight, bias = p.floats("coefficients").reshape(rows, -1), p.floats("intercepts")
    given = [p.add("Cast", p.input(0), to=onnx.TensorProto.FLOAT), p.constant(weight, "weight")]
    return p.add("Gemm", *given, *([p.constant(bias, "bias")] if bias.size else []), transB=1)


def _post(p: _Parts, scores: str, output: str) -> None:
    name = p.attributes.get("post_transform", b"NONE").decode()
    kinds = {"NONE": "Identity", "SOFTMAX": "Softmax", "LOGISTIC": "Sigmoid"}
    if name not in kinds:
        raise p.refuse(f"{p.node.op_type} with post_transform {name} has no correspondence")
    p.add(kinds[name], scores, output=output)


def _linear_classifier(p: _Parts) -> None:
    labels = p.attributes.get("classlabels_ints")
    if not labels:
        raise p.refuse("a classifier whose classes are texts has no correspondence", "number the classes")
    if len(p.attributes.get("intercepts", labels)) != len(labels) or len(labels) < 2:
        raise p.refuse("a classifier of two classes with one score has no correspondence")
    scores = _scores(p, len(labels))
    place = p.add("ArgMax", scores, axis=1, keepdims=0)
    is_count = list(labels) == list(range(len(labels)))
    if is_count:
        p.add("Identity", place, output=p.output(0))
    else:
        p.add("Gather", p.constant(np.array(labels, np.int64), "classes"), place, output=p.output(0))
    if p.output(1):
        _post(p, scores, p.output(1))


def _normalizer(p: _Parts) -> None:
    kinds = {"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}
    kind = kinds[p.attributes.get("norm", b"MAX").decode()]
    if kind == "ReduceMax":
        raise p.refuse("Normalizer by the largest has no correspondence")
    opset = next((one.version for one in p.model.opset_import if one.domain in ("", "ai.onnx")), 0)
    if opset >= 18:
        size = p.add(kind, p.input(0), p.constant(np.array([1]), "axes"), keepdims=1)
    else:
        size = p.add(kind, p.input(0), axes=[1], keepdims=1)
    p.add("Div", p.input(0), size, output=p.output(0))


def _feature_extractor(p: _Parts) -> None:
    p.add("Gather", p.input(0), p.input(1), output=p.output(0), axis=-1)


def _zip_map(p: _Parts) -> None:
    raise p.refuse(
        "ZipMap answers a list of dicts, which no layer has",
        'make the file anew with to_onnx(..., options={"zipmap": False})',
    )


def _trees(p: _Parts) -> None:
    raise p.refuse(
        f"{p.node.op_type} is a forest, which has no layers and nothing that learns by gradients",
        "serve the file as it is: onnxpress export takes it",
    )


def _old_softmax(p: _Parts) -> None:
    """Over all axes from the first on at once."""
    axis = int(p.attributes.get("axis", 1))
    every = [*p.model.graph.value_info, *p.model.graph.input, *p.model.graph.output]
    rank = next((len(one.type.tensor_type.shape.dim) for one in every if one.name == p.input(0)), 0)
    if axis == -1 or axis == rank - 1:
        p.nodes.append(p.node)
        return
    flat = p.add(p.node.op_type, p.add("Flatten", p.input(0), axis=axis), axis=1)
    p.add("Reshape", flat, p.add("Shape", p.input(0)), output=p.output(0))


_APART: dict[tuple[str, str], Callable[[_Parts], None]] = {
    (_FUSED, "FusedConv"): _fused_conv,
    (_FUSED, "FusedMatMul"): _fused_matmul,
    (_FUSED, "BiasGelu"): _bias_gelu,
    (_FUSED, "Gelu"): _bias_gelu,
    (_FUSED, "FastGelu"): _fast_gelu,
    (_FUSED, "QuickGelu"): _quick_gelu,
    (_FUSED, "SkipLayerNormalization"): _skip_layer_norm,
    (_ML, "Scaler"): _scaler,
    (_ML, "LinearRegressor"): _linear_regressor,
    (_ML, "LinearClassifier"): _linear_classifier,
    (_ML, "Normalizer"): _normalizer,
    (_ML, "ArrayFeatureExtractor"): _feature_extractor,
    (_ML, "ZipMap"): _zip_map,
    (_ML, "TreeEnsembleClassifier"): _trees,
    (_ML, "TreeEnsembleRegressor"): _trees,
    (_ML, "TreeEnsemble"): _trees,
}


_OLD: dict[tuple[str, str], Callable[[_Parts], None]] = {("", kind): _old_softmax for kind in ("Softmax", "LogSoftmax")}
"""whose meaning before opset 13 was another"""


def _is_weight(node: Any, initializers: Sequence[str]) -> bool:
    """Whether it widens a weight that the file keeps in few bits."""
    is_wider = node.op_type == "DequantizeLinear" or (node.op_type == "Cast" and _to(node) in _WIDE)
    known = set(initializers)
    return is_wider and node.domain in ("", "ai.onnx") and all(not name or name in known for name in node.input)


_WIDE = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def _to(node: Any) -> int:
    return next((one.i for one in node.attribute if one.name == "to"), 0)


def _weight(model: onnx.ModelProto, node: Any) -> onnx.TensorProto:
    """What the node computes of the file's constants, as a constant."""
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer if one.name in node.input}
    if node.op_type == "Cast":
        kind = helper.tensor_dtype_to_np_dtype(_to(node))
        return numpy_helper.from_array(arrays[node.input[0]].astype(kind), node.output[0])
    whole, scale = arrays[node.input[0]], arrays[node.input[1]]
    zero = arrays[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, whole.dtype)
    options = {one.name: one.i for one in node.attribute}
    if options.get("block_size") or scale.ndim > 1:
        raise NoCorrespondence("weights quantized in blocks have no correspondence", where=f"node {node.output[0]!r}")
    if scale.ndim == 1:
        around = [1] * whole.ndim
        around[options.get("axis", 1)] = -1
        scale, zero = scale.reshape(around), zero.reshape(around)
    wide = (whole.astype(np.int32) - zero.astype(np.int32)).astype(scale.dtype) * scale
    return numpy_helper.from_array(np.asarray(wide, scale.dtype), node.output[0])
