"""Steps over raw images as ONNX nodes."""

from __future__ import annotations

from onnxpress.core import processing
from onnxpress.export.steps.fragment import Fragment, float32, write


@write.register
def _(step: processing.Image, fragment: Fragment) -> None:
    # Resize rounds whole numbers to whole numbers, so they become floats before it. The channels stay last until the
    # image is small: ONNX Runtime resizes them as fast there, and moving a large image costs more than that.
    offset, factor = (
        fragment.constant(name, part) for name, part in zip(("offset", "factor"), step.scaling("float32"), strict=True)
    )
    resized = fragment.then(
        "Resize",
        [fragment.then("Cast", [step.input], to=float32()), "", "", fragment.sizes("size", [step.height, step.width])],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
        axes=[1, 2],
    )
    centred = fragment.then("Sub", [resized, offset])
    if step.channels == "last":
        fragment.node("Mul", [centred, factor], step.output)
    else:
        fragment.node("Transpose", [fragment.then("Mul", [centred, factor])], step.output, perm=[0, 3, 1, 2])
