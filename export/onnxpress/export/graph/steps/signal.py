"""Steps over windows of samples as ONNX nodes."""

from __future__ import annotations

import numpy as np

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import Fragment, write


@write.register
def _(step: processing.Magnitude, fragment: Fragment) -> None:
    last = fragment.constant("last", np.asarray([-1], np.int64))
    squares = fragment.then("Mul", [step.input, step.input])
    fragment.node("Sqrt", [fragment.then("ReduceSum", [squares, last], keepdims=1)], step.output)


@write.register
def _(step: processing.Standardise, fragment: Fragment) -> None:
    time = fragment.constant("time", np.asarray([1], np.int64))
    epsilon = fragment.constant("epsilon", np.asarray(step.epsilon, np.float32))
    centred = fragment.then("Sub", [step.input, fragment.then("ReduceMean", [step.input, time], keepdims=1)])
    variance = fragment.then("ReduceMean", [fragment.then("Mul", [centred, centred]), time], keepdims=1)
    deviation = fragment.then("Add", [fragment.then("Sqrt", [variance]), epsilon])
    fragment.node("Div", [centred, deviation], step.output)


@write.register
def _(step: processing.Spectrogram, fragment: Fragment) -> None:
    # A convolution over each channel alone: its kernels are the windowed cosines and sines.
    kernels = np.concatenate(step.bases("float32"), axis=1).T[:, None, :]
    channel_first = fragment.then("Transpose", [step.input], perm=[0, 2, 1])
    alone = fragment.then(
        "Concat",
        [fragment.sizes("each", [-1, 1]), fragment.then("Shape", [channel_first], start=2, end=3)],
        axis=0,
    )
    flat = fragment.then("Reshape", [channel_first, alone])
    waves = fragment.then("Conv", [flat, fragment.constant("bases", kernels)], strides=[step.hop])
    squares = fragment.then("Mul", [waves, waves])
    real, imaginary = fragment.inner("real"), fragment.inner("imaginary")
    fragment.node("Split", [squares], real, imaginary, axis=1, num_outputs=2)
    magnitude = fragment.then("Sqrt", [fragment.then("Add", [real, imaginary])])  # (batch × channels, bins, frames)
    shape = fragment.then(
        "Concat",
        [
            fragment.then("Shape", [step.input], start=0, end=1),
            fragment.then("Shape", [step.input], start=2, end=3),
            fragment.then("Shape", [magnitude], start=1, end=3),
        ],
        axis=0,
    )
    frames_first = fragment.then("Transpose", [fragment.then("Reshape", [magnitude, shape])], perm=[0, 3, 1, 2])
    fragment.node("Reshape", [frames_first, fragment.sizes("joined", [0, 0, -1])], step.output)
