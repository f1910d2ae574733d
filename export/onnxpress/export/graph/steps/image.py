"""Steps over raw images as ONNX nodes."""

from __future__ import annotations

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import Fragment, float32, write


@write.register
def _(step: processing.Image, fragment: Fragment) -> None:
    # Channels first, whatever the network wants: ONNX Runtime's Resize on a GPU takes every tensor for one of that form
    # (issue 12706), and on a CPU the other one is slower. Moved before they become floats, while they are small.
    # Floats before Resize, as it rounds whole numbers to whole numbers.
    offset, factor = (
        fragment.constant(name, part.reshape(-1, 1, 1))
        for name, part in zip(("offset", "factor"), step.scaling("float32"), strict=True)
    )
    channels_first = fragment.then("Transpose", [step.input], perm=[0, 3, 1, 2])
    floats = fragment.then("Cast", [channels_first], to=float32())
    # All four sizes, not `axes` and two: ONNX Runtime 1.31 cannot load that form where a Transpose follows.
    rest = fragment.then("Shape", [channels_first], start=0, end=2)
    sizes = fragment.then("Concat", [rest, fragment.sizes("size", [step.height, step.width])], axis=0)
    resized = fragment.then(
        "Resize", [floats, "", "", sizes], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    centred = fragment.then("Sub", [resized, offset])
    if step.channels == "first":
        fragment.node("Mul", [centred, factor], step.output)
    else:
        fragment.node("Transpose", [fragment.then("Mul", [centred, factor])], step.output, perm=[0, 2, 3, 1])
