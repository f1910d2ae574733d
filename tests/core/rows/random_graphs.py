"""Random small graphs: every node is tried on three rows before it is kept, so that what comes out runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tests.core.rows.brute_force import session

from onnxpress.core.arrays import Array

ROWS = 3
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
_INPUTS = {
    "x": (np.float32, (4,)),
    "s": (np.float32, (2, 4)),
    "m": (np.float32, (3, 3)),
    "i": (np.int64, ()),
    "j": (np.int64, (2,)),
}
"""name → dtype and shape of a row; several sizes are that of the batch, by chance as it were"""
_FLAT = ("Relu", "Tanh", "Neg", "Abs", "Identity", "Sigmoid", "Floor")
_PAIRS = ("Add", "Sub", "Mul", "Max", "Min")
_REDUCTIONS = ("ReduceSum", "ReduceMax", "ReduceMean", "ReduceL2", "ReduceMin")


class Draft:
    """A graph under construction, with the values that its nodes have for three rows."""

    def __init__(self, seed: int) -> None:
        self.g = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values: dict[str, Array] = {}
        names = sorted(self.g.choice(sorted(_INPUTS), int(self.g.integers(1, 4)), replace=False))
        self.inputs = [str(name) for name in names]
        for name, value in rows(self.inputs, ROWS, self.g).items():
            self.values[name] = value
        for shape in ((4,), (1, 4), (3, 4), (4, 4), (4, 3), (1,), (3,)):
            self.constant(self.g.standard_normal(shape).astype(np.float32))
        for value in ([0], [1], [-1], [2], [0, 1], [1, 0], [-1, 4], [0, -1]):
            self.constant(np.array(value, np.int64))
        for one in (0, 1, 3):
            self.constant(np.array(one, np.int64))

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        self.values[name] = value
        return name

    def pick(self, kind: str, ranks: Sequence[int] = (0, 1, 2, 3, 4), fresh: bool = True) -> str:
        """A value of floats (f), integers (i) or truths (b); the newest are liked best."""
        found = [
            name
            for name, value in self.values.items()
            if value.dtype.kind == kind and value.ndim in ranks and value.size <= 400
        ]
        if not found:
            raise LookupError
        weights = np.arange(1, len(found) + 1, dtype=float) ** (2 if fresh else 0)
        return str(self.g.choice(found, p=weights / weights.sum()))

    def add(
        self, operator: str, inputs: Sequence[str], outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Raises where the runtime refuses it."""
        names = [f"v{len(self.nodes)}_{number}" for number in range(outputs)]
        node = helper.make_node(operator, inputs, names, domain=domain, **attributes)
        given = {name: self.values[name] for name in inputs if name}
        # The constants stay constants: some operators want to know them early.
        free = [name for name in given if not name.startswith("c")]
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info(name, _element(given[name]), given[name].shape) for name in free],
            [onnx.ValueInfoProto(name=name) for name in names],
            [constant for constant in self.constants if constant.name in given],
        )
        asked = session(helper.make_model(graph, opset_imports=OPSETS, ir_version=8).SerializeToString())
        for name, value in zip(names, asked.run(None, {name: given[name] for name in free}), strict=True):
            if np.asarray(value).size > 2000:
                raise ValueError("too large")
            self.values[name] = np.asarray(value)
        self.nodes.append(node)
        return names

    def model(self, output: str) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [
                helper.make_tensor_value_info(name, _element(np.empty(0, _INPUTS[name][0])), ["N", *_INPUTS[name][1]])
                for name in self.inputs
            ],
            [helper.make_tensor_value_info(output, _element(self.values[output]), None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=8).SerializeToString()


def rows(names: Sequence[str], count: int, g: np.random.Generator, scale: float = 1) -> dict[str, Array]:
    """Rows of the inputs of these names, all different."""
    found: dict[str, Array] = {}
    for name in names:
        dtype, shape = _INPUTS[name]
        if dtype is np.int64:
            found[name] = g.integers(0, 3, (count, *shape))
        else:
            found[name] = (g.standard_normal((count, *shape)) * scale).astype(np.float32)
    return found


def draft(seed: int, nodes: int = 16) -> Draft:
    """A graph of at most so many steps, of one to four nodes each."""
    made = Draft(seed)
    for _ in range(nodes):
        step = _STEPS[int(made.g.integers(len(_STEPS)))]
        before = len(made.nodes)
        try:
            step(made)
        except Exception:  # whatever the runtime refuses is left out
            del made.nodes[before:]
    return made


def candidates(made: Draft) -> list[str]:
    """The values that could be outputs: one row for each of the batch's, as it seems."""
    found = [name for name, value in made.values.items() if name[0] == "v" and value.shape[:1] == (ROWS,)]
    return found[::-1]


def _element(value: Array) -> int:
    return int(helper.np_dtype_to_tensor_dtype(value.dtype))


def _axis(d: Draft, name: str, extra: int = 0) -> int:
    rank = d.values[name].ndim + extra
    return int(d.g.integers(-rank, rank))


def _axes(d: Draft, name: str) -> str:
    return d.constant(np.array([_axis(d, name)], np.int64))


def _flat(d: Draft) -> None:
    d.add(str(d.g.choice(_FLAT)), [d.pick("f")])


def _pair(d: Draft) -> None:
    kind = "f" if d.g.random() < 0.8 else "i"
    d.add(str(d.g.choice(_PAIRS)), [d.pick(kind), d.pick(kind, fresh=False)])


def _reduce(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3, 4))
    axes = [] if d.g.random() < 0.1 else [_axes(d, name)]
    d.add(str(d.g.choice(_REDUCTIONS)), [name, *axes], keepdims=int(d.g.integers(2)))


def _softmax(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3, 4))
    d.add(str(d.g.choice(["Softmax", "LogSoftmax", "Hardmax", "LpNormalization"])), [name], axis=_axis(d, name))


def _cumulate(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("CumSum", [name, d.constant(np.array(_axis(d, name), np.int64))])


def _matmul(d: Draft) -> None:
    d.add("MatMul", [d.pick("f", (1, 2, 3)), d.pick("f", (1, 2, 3), fresh=False)])


def _gemm(d: Draft) -> None:
    d.add(
        "Gemm",
        [d.pick("f", (2,)), d.pick("f", (2,), fresh=False), d.pick("f", (1, 2), fresh=False)],
        transA=int(d.g.integers(2)),
        transB=int(d.g.integers(2)),
    )


def _einsum(d: Draft) -> None:
    one, other = d.pick("f", (2, 3)), d.pick("f", (2, 3), fresh=False)
    letters = "nabc"
    left = "".join(d.g.permutation(list(letters))[: d.values[one].ndim])
    right = "".join(d.g.permutation(list(letters))[: d.values[other].ndim])
    known = sorted(set(left + right))
    result = "".join(d.g.permutation(known)[: int(d.g.integers(1, len(known) + 1))])
    d.add("Einsum", [one, other], equation=f"{left},{right}->{result}")


def _transpose(d: Draft) -> None:
    name = d.pick("f" if d.g.random() < 0.8 else "i", (2, 3, 4))
    d.add("Transpose", [name], perm=[int(a) for a in d.g.permutation(d.values[name].ndim)])


def _reshape(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3, 4))
    size = d.values[name].size
    choices = [
        [-1],
        [0, -1],
        [-1, 4],
        [-1, 2],
        [4, -1],
        [2, -1],
        [0, 2, -1],
        [-1, 2, 2],
        [1, -1],
        [-1, 1, 4],
        [0, 0, -1],
        [2, -1, 4],
        [-1, 3],
    ]
    shape = choices[int(d.g.integers(len(choices)))]
    if size:
        d.add("Reshape", [name, d.constant(np.array(shape, np.int64))])


def _reshape_by_sizes(d: Draft) -> None:
    name, like = d.pick("f", (1, 2, 3, 4)), d.pick("f", (1, 2, 3), fresh=False)
    (shape,) = d.add("Shape", [like], start=0, end=int(d.g.integers(1, 3)))
    if d.g.random() < 0.5:
        (shape,) = d.add("Mul", [shape, d.constant(np.array([int(d.g.integers(1, 3))], np.int64))])
    parts = [shape, d.constant(np.array([-1], np.int64))]
    (joined,) = d.add("Concat", parts[:: 1 if d.g.random() < 0.7 else -1], axis=0)
    d.add("Reshape", [name, joined])


def _flatten(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3, 4))
    d.add("Flatten", [name], axis=_axis(d, name))


def _unsqueeze(d: Draft) -> None:
    name = d.pick("f" if d.g.random() < 0.6 else "i", (0, 1, 2, 3))
    d.add("Unsqueeze", [name, d.constant(np.array([_axis(d, name, 1)], np.int64))])


def _squeeze(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3, 4))
    d.add("Squeeze", [name, *([_axes(d, name)] if d.g.random() < 0.8 else [])])


def _concat(d: Draft) -> None:
    kind = "f" if d.g.random() < 0.8 else "i"
    one = d.pick(kind, (1, 2, 3))
    other = d.pick(kind, (d.values[one].ndim,), fresh=bool(d.g.random() < 0.5))
    d.add("Concat", [one, other], axis=_axis(d, one))


def _split(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("Split", [name], outputs=2, axis=_axis(d, name), num_outputs=2)


def _slice(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    bounds = [(0, 2**31), (1, 2**31), (0, -1), (0, 1), (0, 3), (-1, 2**31), (0, 2)]
    start, end = bounds[int(d.g.integers(len(bounds)))]
    step = int(d.g.choice([1, 1, 1, 2, -1]))
    if step < 0:
        start, end = -1, -(2**31)
    d.add("Slice", [name, *(d.constant(np.array([v], np.int64)) for v in (start, end, _axis(d, name), step))])


def _slice_by_rows(d: Draft) -> None:
    name, like = d.pick("f", (1, 2, 3)), d.pick("f", (1, 2, 3), fresh=False)
    (size,) = d.add("Shape", [like], start=0, end=1)
    zero = d.constant(np.array([0], np.int64))
    bounds = [zero, size] if d.g.random() < 0.7 else [size, d.constant(np.array([2**31], np.int64))]
    d.add("Slice", [name, *bounds, d.constant(np.array([_axis(d, name)], np.int64))])


def _pad(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    pads = [int(v) for v in d.g.choice([0, 0, 0, 1], 2 * d.values[name].ndim)]
    d.add("Pad", [name, d.constant(np.array(pads, np.int64))], mode=str(d.g.choice(["constant", "edge"])))


def _tile(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("Tile", [name, d.constant(d.g.integers(1, 3, d.values[name].ndim))])


def _expand(d: Draft) -> None:
    like = d.pick("f", (1, 2, 3))
    (shape,) = d.add("Shape", [like])
    if d.g.random() < 0.3:
        (shape,) = d.add("Concat", [d.constant(np.array([2], np.int64)), shape], axis=0)
    d.add("Expand", [d.pick("f", (0, 1, 2, 3), fresh=False), shape])


def _filled(d: Draft) -> None:
    (shape,) = d.add("Shape", [d.pick("f", (1, 2, 3))])
    d.add("ConstantOfShape", [shape], value=helper.make_tensor("v", onnx.TensorProto.FLOAT, [1], [0.5]))


def _size_as_value(d: Draft) -> None:
    (shape,) = d.add("Shape", [d.pick("f", (1, 2, 3))])
    (one,) = d.add("Gather", [shape, d.constant(np.array(int(d.g.integers(2)), np.int64))])
    (value,) = d.add("Cast", [one], to=onnx.TensorProto.FLOAT)
    d.add("Mul", [value, d.pick("f")])


def _numbers(d: Draft) -> None:
    (shape,) = d.add("Shape", [d.pick("f", (1, 2, 3), fresh=False)], start=0, end=1)
    (count,) = d.add("Squeeze", [shape])
    d.add("Range", [d.constant(np.array(0, np.int64)), count, d.constant(np.array(1, np.int64))])


def _gather(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("Gather", [name, d.pick("i", (0, 1, 2))], axis=_axis(d, name))


def _gather_elements(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("GatherElements", [name, d.pick("i", (d.values[name].ndim,))], axis=_axis(d, name))


def _gather_nd(d: Draft) -> None:
    d.add("GatherND", [d.pick("f", (1, 2, 3)), d.pick("i", (1, 2, 3))], batch_dims=int(d.g.integers(2)))


def _numbered(d: Draft) -> None:
    """Row numbers beside other indices, in one order or the other."""
    numbers, others = d.pick("i", (1,)), d.pick("i", (1,), fresh=False)
    one = d.constant(np.array([1], np.int64))
    parts = [*d.add("Unsqueeze", [numbers, one]), *d.add("Unsqueeze", [others, one])]
    (indices,) = d.add("Concat", parts, axis=1)
    d.add("GatherND", [d.pick("f", (2, 3)), indices])


def _flattened(d: Draft) -> None:
    """Row numbers times a size, plus an index that may or may not stay below it, into rows laid end to end."""
    name = d.pick("f", (2, 3))
    (flat,) = d.add("Reshape", [name, d.constant(np.array([-1, 1] if d.g.random() < 0.5 else [-1], np.int64))])
    (size,) = d.add("Shape", [name], start=1, end=2)
    (numbers,) = d.add("Mul", [d.pick("i", (1,)), size])
    if d.g.random() < 0.5:
        (local,) = d.add("ArgMax", [name], axis=int(d.g.integers(-1, 3)), keepdims=int(d.g.integers(2)))
    else:
        local = d.pick("i", (0, 1))
    (index,) = d.add("Add", [numbers, local])
    d.add("Gather", [flat, index])


def _scatter(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    indices = d.pick("i", (d.values[name].ndim,))
    found = [
        one for one, value in d.values.items() if value.dtype.kind == "f" and value.shape == d.values[indices].shape
    ]
    d.add("ScatterElements", [name, indices, str(d.g.choice(found))], axis=_axis(d, name), reduction="add")


def _one_hot(d: Draft) -> None:
    d.add(
        "OneHot",
        [d.pick("i", (1, 2)), d.constant(np.array(4, np.int64)), d.constant(np.array([0, 1], np.float32))],
        axis=int(d.g.integers(-1, 2)),
    )


def _arg(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add(str(d.g.choice(["ArgMax", "ArgMin"])), [name], axis=_axis(d, name), keepdims=int(d.g.integers(2)))


def _top(d: Draft) -> None:
    name = d.pick("f", (1, 2, 3))
    d.add("TopK", [name, d.constant(np.array([2], np.int64))], outputs=2, axis=_axis(d, name))


def _where(d: Draft) -> None:
    (condition,) = d.add("Greater", [d.pick("f"), d.pick("f", fresh=False)])
    d.add("Where", [condition, d.pick("f"), d.pick("f", fresh=False)])


def _norm(d: Draft) -> None:
    name = d.pick("f", (2, 3))
    axis = _axis(d, name)
    scale = d.constant(d.g.standard_normal(d.values[name].shape[axis:]).astype(np.float32))
    d.add("LayerNormalization", [name, scale], axis=axis)


def _instance(d: Draft) -> None:
    name = d.pick("f", (3,))
    ones = d.constant(np.ones(d.values[name].shape[1], np.float32))
    d.add("InstanceNormalization", [name, ones, ones])


def _conv(d: Draft) -> None:
    name = d.pick("f", (3,))
    weight = d.constant(d.g.standard_normal((2, d.values[name].shape[1], 2)).astype(np.float32))
    d.add("Conv", [name, weight])


def _recurrent(d: Draft) -> None:
    name = d.pick("f", (3,))
    width = d.values[name].shape[2]
    w = d.constant(d.g.standard_normal((1, 2, width)).astype(np.float32))
    d.add("RNN", [name, w, d.constant(d.g.standard_normal((1, 2, 2)).astype(np.float32))], outputs=2, hidden_size=2)


def _triangle(d: Draft) -> None:
    d.add("Trilu", [d.pick("f", (2, 3))], upper=int(d.g.integers(2)))


def _cast(d: Draft) -> None:
    if d.g.random() < 0.5:
        d.add("Cast", [d.pick("i")], to=onnx.TensorProto.FLOAT)
        return
    (whole,) = d.add("Clip", [d.pick("f"), d.constant(np.array(0, np.float32)), d.constant(np.array(2, np.float32))])
    d.add("Cast", [whole], to=onnx.TensorProto.INT64)


def _scaler(d: Draft) -> None:
    name = d.pick("f", (2,))
    d.add(str(d.g.choice(["Normalizer", "Binarizer"])), [name], domain="ai.onnx.ml")


def _extract(d: Draft) -> None:
    d.add("ArrayFeatureExtractor", [d.pick("f", (1, 2)), d.pick("i", (1, 2))], domain="ai.onnx.ml")


def _looped(d: Draft) -> None:
    """Two or three times the same step: a softmax along some axis, or putting the value behind itself."""
    name = d.pick("f", (1, 2, 3))
    axis = _axis(d, name)
    if d.g.random() < 0.5:
        step = [helper.make_node("Softmax", ["u"], ["w"], axis=axis)]
    else:
        step = [helper.make_node("Concat", ["u", name], ["w"], axis=axis)]
    info = [
        helper.make_tensor_value_info("k", onnx.TensorProto.INT64, []),
        helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
        helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, None),
    ]
    after = [
        helper.make_tensor_value_info("d", onnx.TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, None),
    ]
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"]), *step], "b", info, after)
    truth = d.constant(np.array(True))
    names = [f"v{len(d.nodes)}_0"]
    node = helper.make_node("Loop", [d.constant(np.array(2, np.int64)), truth, name], names, body=body)
    given = d.values[name]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(name, 1, given.shape)],
        [onnx.ValueInfoProto(name=names[0])],
        d.constants,
    )
    d.values[names[0]] = session(helper.make_model(graph, opset_imports=OPSETS, ir_version=8).SerializeToString()).run(
        None, {name: given}
    )[0]
    d.nodes.append(node)


_STEPS: list[Callable[[Draft], None]] = [
    _flat, _pair, _pair, _pair, _reduce, _reduce, _softmax, _cumulate, _matmul, _matmul, _gemm, _einsum, _transpose,
    _transpose, _reshape, _reshape, _reshape_by_sizes, _reshape_by_sizes, _flatten, _unsqueeze, _unsqueeze,
    _squeeze, _concat, _concat, _split, _slice, _slice_by_rows, _pad, _tile, _expand, _expand, _filled,
    _size_as_value, _numbers, _gather, _gather, _gather_elements, _gather_nd, _numbered, _flattened, _flattened,
    _scatter, _one_hot, _arg, _top, _where, _norm, _instance, _conv, _recurrent, _triangle, _cast, _scaler,
    _extract, _looped,
]  # fmt: skip
