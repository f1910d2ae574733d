"""Tiny ONNX models, written in protobuf's wire format by hand: the tests of serving run where no onnx package is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.manifest import Derived, EquivalenceSummary, Manifest, Source
from onnxpress.core.tensors import parse_spec
from onnxpress.core.version_folder import MODEL_FILE, staging

ELEMENT = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
}  # fmt: skip
"""dtype → onnx.TensorProto.DataType"""


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _tensor(name: str, value: Array) -> bytes:
    dims = b"".join(_field(1, size) for size in value.shape)
    return dims + _field(2, ELEMENT[str(value.dtype)]) + _field(8, name) + _field(9, value.tobytes())


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | Sequence[int]) -> bytes:
    """One NodeProto; attributes are integers or lists of them."""
    fields = [_field(1, name) for name in inputs] + [_field(2, name) for name in outputs] + [_field(4, operator)]
    for name, value in attributes.items():
        if isinstance(value, int):
            attribute = _field(1, name) + _field(3, value) + _field(20, 2)
        else:
            attribute = _field(1, name) + b"".join(_field(8, one) for one in value) + _field(20, 7)
        fields.append(_field(5, attribute))
    return b"".join(fields)


def _value(text: str) -> bytes:
    spec = parse_spec(text)
    dims = [_field(1, size) if isinstance(size, int) else _field(2, size) for size in spec.shape]
    shape = b"".join(_field(1, dim) for dim in dims)
    return _field(1, spec.name) + _field(2, _field(1, _field(1, ELEMENT[spec.dtype]) + _field(2, shape)))


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[str],
    outputs: Sequence[str],
    constants: dict[str, Array] | None = None,
    *,
    opset: int = 18,
    raw: bytes = b"",
) -> bytes:
    """A ModelProto of IR 10; `inputs` and `outputs` are tensor specifications as text, `raw` more of the graph."""
    graph = b"".join(_field(1, one) for one in nodes) + _field(2, "graph")
    graph += b"".join(_field(5, _tensor(name, value)) for name, value in (constants or {}).items())
    graph += b"".join(_field(11, _value(text)) for text in inputs)
    graph += b"".join(_field(12, _value(text)) for text in outputs) + raw
    return _field(1, 10) + _field(7, graph) + _field(8, _field(1, "") + _field(2, opset))


def narrow(element: int) -> bytes:
    """`y = x` by way of another element type (onnx.TensorProto.DataType): float32 (batch,) → float32 (batch,)."""
    nodes = [node("Cast", ["x"], ["q"], to=element), node("Cast", ["q"], ["y"], to=1)]
    return model(nodes, ["x:float32[batch]"], ["y:float32[batch]"], opset=21)


def narrow_weights(element: int, content: bytes) -> bytes:
    """`y = x @ dequantized w`, w of two values with a scale of 0.5: float32 (batch, 2) → (batch, 1)."""
    w = _field(1, 2) + _field(1, 1) + _field(2, element) + _field(8, "w") + _field(9, content)
    nodes = [node("DequantizeLinear", ["w", "s"], ["d"]), node("MatMul", ["x", "d"], ["y"])]
    scale = {"s": np.array(0.5, np.float32)}
    return model(nodes, ["x:float32[batch,2]"], ["y:float32[batch,1]"], scale, opset=21, raw=_field(5, w))


def narrow_border(element: int) -> bytes:
    """float32 (batch,) → another element type, which no request or answer can carry."""
    kind = _field(1, _field(1, element) + _field(2, _field(1, _field(2, "batch"))))
    raw = _field(12, _field(1, "y") + _field(2, kind))
    return model([node("Cast", ["x"], ["y"], to=element)], ["x:float32[batch]"], [], opset=21, raw=raw)


def sequence() -> bytes:
    """float32 (batch,) → a sequence of it, twice."""
    tensor = _field(1, _field(1, 1))
    raw = _field(12, _field(1, "y") + _field(2, _field(4, _field(1, tensor))))
    return model([node("SequenceConstruct", ["x", "x"], ["y"])], ["x:float32[batch]"], [], raw=raw)


def of_any_rank() -> bytes:
    """`y = x`: float32 of any number of axes → the same."""
    raw = _field(11, _field(1, "x") + _field(2, _field(1, _field(1, 1))))
    return model([node("Identity", ["x"], ["y"])], [], ["y:float32[batch]"], raw=raw)


def optional() -> bytes:
    """float32 (batch,) → the same as an optional."""
    tensor = _field(1, _field(1, 1))
    raw = _field(12, _field(1, "y") + _field(2, _field(9, _field(1, tensor))))
    return model([node("Optional", ["x"], ["y"])], ["x:float32[batch]"], [], raw=raw)


def identity(dtype: str, shape: str = "batch,length") -> bytes:
    """`y = x`, for every dtype that the runtime knows."""
    return model([node("Identity", ["x"], ["y"])], [f"x:{dtype}[{shape}]"], [f"y:{dtype}[{shape}]"])


def affine(offset: float = 0.0) -> bytes:
    """`y = x @ ones(3, 2) + offset`: float32 (batch, 3) → (batch, 2)."""
    constants = {"w": np.ones((3, 2), np.float32), "b": np.full(2, offset, np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    return model(nodes, ["x:float32[batch,3]"], ["y:float32[batch,2]"], constants)


def _outside(name: str, location: str) -> bytes:
    """float32 (3, 2), its data in another file."""
    entry = _field(1, "location") + _field(2, location)
    return _field(1, 3) + _field(1, 2) + _field(2, 1) + _field(8, name) + _field(13, entry) + _field(14, 1)


def external(location: str) -> bytes:
    """`y = x @ w`, with the (3, 2) float32 values of w in the file `location`."""
    graph = _field(1, node("MatMul", ["x", "w"], ["y"])) + _field(2, "graph") + _field(5, _outside("w", location))
    graph += _field(11, _value("x:float32[batch,3]")) + _field(12, _value("y:float32[batch,2]"))
    return _field(1, 10) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 18))


def in_attribute(location: str) -> bytes:
    """A graph in a node's attribute, in which a constant's value lies in the file `location`."""
    value = _field(1, "value") + _field(5, _outside("", location)) + _field(20, 4)
    constant = _field(2, "w") + _field(4, "Constant") + _field(5, value)
    inner = _field(1, "then_branch") + _field(6, _field(1, constant) + _field(2, "inner")) + _field(20, 5)
    graph = _field(1, _field(1, "c") + _field(2, "y") + _field(4, "If") + _field(5, inner)) + _field(2, "graph")
    return _field(1, 10) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 18))


def places(location: str) -> dict[str, bytes]:
    """Models with a tensor in the file `location`, one for each place where a file may hold a tensor."""
    tensor, small = _outside("t", location), _tensor("i", np.zeros(1, np.int64))

    def attribute(content: bytes) -> bytes:
        return _field(1, "value") + content

    def graph(content: bytes) -> bytes:
        return _field(2, "g") + content

    def holding(one: bytes) -> bytes:
        return _field(2, "k") + _field(4, "Constant") + _field(5, one)

    def whole(content: bytes = b"", rest: bytes = b"") -> bytes:
        return _field(1, 10) + _field(7, graph(content)) + _field(8, _field(1, "") + _field(2, 18)) + rest

    def function(content: bytes) -> bytes:
        return whole(rest=_field(25, _field(1, "f") + _field(5, "k") + _field(10, "my") + content))

    inner = {
        "initializer": graph(_field(5, tensor)),
        "sparse initializer's values": graph(_field(15, _field(1, tensor) + _field(2, small))),
        "sparse initializer's indices": graph(_field(15, _field(1, small) + _field(2, tensor))),
    }
    attributes = {
        "tensor": attribute(_field(5, tensor)),
        "tensors": attribute(_field(10, small) + _field(10, tensor)),
        "sparse tensor": attribute(_field(22, _field(1, tensor) + _field(2, small))),
        "sparse tensors": attribute(_field(23, _field(1, small) + _field(2, tensor))),
        **{f"graph's {name}": attribute(_field(6, content)) for name, content in inner.items()},
        "graphs": attribute(_field(11, inner["initializer"])),
        "graph in a graph": attribute(_field(6, graph(_field(1, holding(attribute(_field(6, inner["initializer"]))))))),
    }
    return {
        **{name: _field(1, 10) + _field(7, content) for name, content in inner.items()},
        **{f"node's {name}": whole(_field(1, holding(one))) for name, one in attributes.items()},
        **{f"function's node's {name}": function(_field(7, holding(one))) for name, one in attributes.items()},
        **{f"function's default {name}": function(_field(11, one)) for name, one in attributes.items()},
        "training's first graph": whole(rest=_field(20, _field(1, inner["initializer"]))),
        "training's algorithm": whole(rest=_field(20, _field(2, inner["initializer"]))),
    }


def lookup() -> bytes:
    """`y = table[i]`: int64 (batch,) → float32 (batch,); an index beyond 0..9 makes the runtime fail."""
    nodes = [node("Gather", ["table", "i"], ["y"])]
    return model(nodes, ["i:int64[batch]"], ["y:float32[batch]"], {"table": np.arange(10, dtype=np.float32)})


def mixed() -> bytes:
    """Three inputs of different dtypes, one of them string, and four outputs: `y = a + b`, and each input again."""
    nodes = [
        node("Add", ["a", "b"], ["y"]),
        *(node("Identity", [name], [f"{name}_again"]) for name in ("a", "b", "s")),
    ]
    inputs = ["a:float32[batch,2]", "b:float32[batch,2]", "s:string[batch]"]
    outputs = ["y:float32[batch,2]", "a_again:float32[batch,2]", "b_again:float32[batch,2]", "s_again:string[batch]"]
    return model(nodes, inputs, outputs)


def mixing() -> bytes:
    """Rows that look at each other: a softmax over the batch, float32 (batch, 3) → (batch, 3)."""
    return model([node("Softmax", ["x"], ["y"], axis=0)], ["x:float32[batch,3]"], ["y:float32[batch,3]"])


def busy() -> bytes:
    """Works as long as it is told to: int64 (1,) `n` → the mean of a chain of eight products of n × n matrices."""
    nodes = [node("Concat", ["n", "n"], ["shape"], axis=0), node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [node("MatMul", [f"m{step}", "m0"], [f"m{step + 1}"]) for step in range(8)]
    nodes += [node("ReduceMean", ["m8"], ["y"], keepdims=0)]
    return model(nodes, ["n:int64[1]"], ["y:float32[]"])


def publish(
    repository: Path,
    name: str,
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    batch_safe: bool = True,
    cases: Sequence[golden.Golden] = (),
    derived: Derived | None = None,
) -> Path:
    """The model as a version with a manifest, and golden samples where `cases` are given; returns its folder."""

    def write(folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(content)
        if cases:
            golden.write(folder / golden.FILE_NAME, cases)

    return publish_folder(repository, name, write, inputs, outputs, batch_safe=batch_safe, derived=derived)


def publish_folder(
    repository: Path,
    name: str,
    write: Callable[[Path], None],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    batch_safe: bool = True,
    derived: Derived | None = None,
) -> Path:
    """A version with a manifest and the files that `write` puts into its folder; returns the folder."""
    manifest = Manifest(
        name=name,
        created="2026-01-01T00:00:00Z",
        inputs=[parse_spec(text) for text in inputs],
        outputs=[parse_spec(text) for text in outputs],
        batch_safe=batch_safe,
        opset=18,
        ir_version=10,
        equivalence=EquivalenceSummary(
            equivalent=derived is None,
            worst_multiple=1.0,
            limit=12.0,
            floor="float64",
            accepted=f"derived: {derived.told}" if derived else "",
        ),
        derived_from=derived,
        source=Source(reference="by hand", framework="numpy", framework_version="2", converter="none"),
    )
    with staging(repository, name) as draft:
        write(draft.folder)
        return draft.publish(manifest)[0]


def publish_affine(
    repository: Path, name: str = "affine", offset: float = 0.0, *, promised: float | None = None
) -> Path:
    """`affine` with one golden sample; `promised` is the offset that the sample was made with."""
    x = np.array([[1, 2, 3], [0, 0, 0]], np.float32)
    y = np.repeat(x.sum(1, keepdims=True), 2, axis=1) + np.float32(offset if promised is None else promised)
    case = golden.Golden({"x": x}, {"y": y}, {"y": np.full(y.shape, 1e-6)})
    return publish(repository, name, affine(offset), ["x:float32[batch,3]"], ["y:float32[batch,2]"], cases=[case])


def plain(repository: Path, name: str, content: bytes, version: int = 1) -> Path:
    """The model as a version without a manifest."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes(content)
    return folder
