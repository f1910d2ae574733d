"""Whether the shape that a request gives a tensor is one that the model takes, and that what came can fill.

Cost follows the bytes that came, never a number that they declare. This is the place that holds it: before anything is
allocated, looped over or decoded for a tensor, its shape went through `check_shape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec, broken_sum
from onnxpress.serving.protocol.refusal import Refusal, shown


def check_shape(spec: TensorSpec, shape: list[int], sizes: dict[str, int], arrived: int) -> None:
    """Refuse a shape that is not as the spec says, or gives a named dimension another size than `sizes` has for it.

    Or that promises more than the `arrived` bytes of the request can hold, where no value has less than a byte. A
    tensor with a zero in its shape holds nothing, but the model may answer for each of its other sizes (a mean over no
    words, for 2^20 texts): those that the caller chose count as if there were one value for each.
    """
    if len(shape) != len(spec.shape):
        raise Refusal(
            400, f"the input {spec.name!r} has shape {shown(shape)}; it must have {len(spec.shape)} axes: {spec}"
        )
    promised, chosen = 1, 1
    for axis, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
        if size < 0:
            raise Refusal(400, f"the input {spec.name!r} has shape {shown(shape)}: a size cannot be negative")
        expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
        if size != expected:
            reason = f"{wanted!r} is {shown(expected)} elsewhere" if isinstance(wanted, str) else f"it must be {wanted}"
            raise Refusal(
                400, f"the input {spec.name!r} has shape {shown(shape)}: axis {axis} is {shown(size)}, but {reason}"
            )
        promised *= size
        if isinstance(wanted, str) and size:
            chosen *= size
    if max(promised, chosen) > arrived:
        raise Refusal(
            400,
            f"the input {spec.name!r} has shape {shown(shape)}, for which the {arrived} bytes that came hold too few "
            "values",
        )


def checked(specs: Sequence[TensorSpec], arrays: Iterable[Array], arrived: int) -> tuple[list[Array], list[list[int]]]:
    """The values of each array, flat, and the shapes, once all are as the specs say. Raises Refusal.

    Each is checked before the next one is taken.
    """
    values, shapes, sizes = [], [], dict[str, int]()
    for spec, array in zip(specs, arrays, strict=True):
        shape = list(array.shape)
        check_shape(spec, shape, sizes, arrived)
        values.append(array.ravel())
        shapes.append(shape)
    check_sums(specs, sizes)
    return values, shapes


def check_sums(specs: Sequence[TensorSpec], sizes: dict[str, int]) -> None:
    """Refuse sizes of which one is not the sum that its dimension says: `past+new`."""
    if broken := broken_sum(specs, sizes):
        raise Refusal(400, f"the input {broken}")
