"""Whether a planted fault changes anything at all: the code with it beside the code without, by plain calls.

It asks neither the source nor the proof. Both models are of one framework, so that what is the same is so bit for bit:
the answers of fresh rows in inference and in training mode, drawn alike, and every weight after a step of training.
A regulariser that the report leaves out changes no model, so that it is never asked here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array


def keras_changes(sound: Any, faulty: Any, feeds: dict[str, Array]) -> bool:
    """Of two targets in Keras, each built from the same seed."""
    return _differ(_after_keras(sound, feeds), _after_keras(faulty, feeds))


def torch_changes(sound: Any, faulty: Any, feeds: dict[str, Array]) -> bool:
    """Of two targets in torch."""
    return _differ(_after_torch(sound, feeds), _after_torch(faulty, feeds))


def fresh(feeds: dict[str, Array]) -> dict[str, Array]:
    """Other rows of the same kinds: floats are drawn, the rest comes in another order."""
    drawn = np.random.default_rng(4242)
    found = {}
    for name, value in feeds.items():
        if value.dtype.kind == "f":
            found[name] = (drawn.standard_normal(value.shape) * (float(value.std()) or 1.0)).astype(value.dtype)
        else:
            found[name] = np.roll(value, 1, axis=0)
    return found


def _after_keras(target: Any, feeds: dict[str, Array]) -> list[Array]:
    import keras
    import tensorflow as tf

    target.forget()
    keras.utils.set_random_seed(0)
    model = target.model()
    inputs = [tf.constant(value) for value in target.inputs(feeds)]
    found = [np.asarray(value) for value in target.call(inputs, "float32", training=False)]
    with tf.GradientTape() as tape:
        answers = target.call(inputs, "float32", training=True)
        loss = sum(tf.reduce_sum(value**2) for value in answers if value.dtype.is_floating)
    learning = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in learning], unconnected_gradients="zero")
    for variable, gradient in zip(learning, gradients, strict=True):
        variable.assign_sub(0.01 * tf.convert_to_tensor(gradient))
    found += [np.asarray(value) for value in answers]
    return [*found, *(np.array(weight) for weight in model.weights if "seed_generator" not in weight.path)]


def _after_torch(target: Any, feeds: dict[str, Array]) -> list[Array]:
    import torch

    model, inputs = target.built("float32"), target.inputs(feeds)
    with torch.no_grad():
        found = [value.numpy() for value in target.flat(model(*inputs))]
    torch.manual_seed(0)
    answers = target.flat(model.train()(*inputs))
    loss = sum((value**2).sum() for value in answers if value.is_floating_point())
    if (penalty := target.function("penalty")) is not None:
        loss += penalty(model)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    if (constrain := target.function("constrain")) is not None:
        constrain(model)
    found += [value.detach().numpy() for value in answers]
    return [*found, *(value.numpy() for value in model.state_dict().values())]


def _differ(sound: list[Array], faulty: list[Array]) -> bool:
    return len(sound) != len(faulty) or not all(
        one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        for one, other in zip(sound, faulty, strict=True)
    )
