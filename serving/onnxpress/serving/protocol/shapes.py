"""Whether the shape that a request gives a tensor is one that the model takes."""

from __future__ import annotations

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.refusal import Refusal, shown

_MOST_EMPTY = 1 << 20
"""an empty tensor may claim any size beside its zero, and a model that reduces over the zero would fill it"""


def check_shape(spec: TensorSpec, shape: list[int], sizes: dict[str, int]) -> None:
    """Refuse a shape that is not as the spec says, or gives a named dimension another size than `sizes` has for it."""
    if len(shape) != len(spec.shape):
        raise Refusal(
            400, f"the input {spec.name!r} has shape {shown(shape)}; it must have {len(spec.shape)} axes: {spec}"
        )
    for axis, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
        if size < 0:
            raise Refusal(400, f"the input {spec.name!r} has shape {shape}: a size cannot be negative")
        expected = sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted
        if size != expected:
            reason = f"{wanted!r} is {expected} elsewhere" if isinstance(wanted, str) else f"it must be {wanted}"
            raise Refusal(400, f"the input {spec.name!r} has shape {shape}: axis {axis} is {size}, but {reason}")
    if 0 in shape and max(shape) > _MOST_EMPTY:
        raise Refusal(400, f"the input {spec.name!r} is empty and has shape {shape}; {_MOST_EMPTY} is the most")
