"""A graph's inputs and outputs: dtypes, named dimensions, and which of them were fixed by the conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

from onnxpress.core.tensors import TensorSpec, size_of

if TYPE_CHECKING:
    import onnx


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


def infer_outputs(
    names: list[str],
    inputs: list[TensorSpec],
    observe: Callable[[dict[str, int]], dict[str, tuple[str, tuple[int, ...]]]],
    usual: Mapping[str, int],
) -> list[TensorSpec]:
    """The outputs' dtypes and dimensions, told by running at several sizes rather than by the converter's word.

    `observe` maps sizes of the named dimensions to each output's (dtype, shape); `usual` holds the sizes seen in the
    author's examples, near which every model answers. An axis that follows one named dimension takes its name, one that
    follows the sum of two takes that (`past+new`); one that varies otherwise is called `<output>_<axis>`.
    """
    dimension_names = sorted({name for spec in inputs for name in spec.named_dimensions})
    told = [size for spec in inputs for size in spec.sums]
    sums = [*told, *(f"{one}+{other}" for one, other in combinations(dimension_names, 2))]
    sizes = [_sizes(dimension_names, usual, run) for run in range(3)]
    seen = [observe(size) for size in sizes]
    specs = []
    for name in names:
        dtype, first = seen[0][name]
        shape: list[int | str] = []
        for axis in range(len(first)):
            observed = [run[name][1][axis] if axis < len(run[name][1]) else -1 for run in seen]
            followed = [n for n in (*dimension_names, *sums) if observed == [size_of(n, size, 0) for size in sizes]]
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
