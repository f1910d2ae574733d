"""Several networks of one family as one in Keras: the mean of their probabilities. Read beside the PyTorch one."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers as keras_layers

from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import BadModel


def build(member: str, settings: dict[str, Any], count: int) -> keras.Model:
    """`count` fresh networks of the family's module `member`, built with `settings`, each of logits (batch, classes).

    The members' inputs → probabilities (batch, classes) float32. Raises BadModel for a member that is no module of
    onnxpress's.
    """
    if not member.isidentifier():  # a run folder names it: it must not reach any other function
        raise BadModel(f"an ensemble of {member!r}, which is no family's network")
    factory = load_factory(f"onnxpress.training.tensorflow.models.{member}:build")
    members = [factory(**settings) for _ in range(count)]
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in members[0].inputs]
    answers = []
    for number, network in enumerate(members):
        named = keras.Model(network.inputs, network.outputs[0], name=f"member_{number}")
        answer = named(inputs if len(inputs) > 1 else inputs[0])
        answers.append(keras_layers.Softmax(name=f"softmax_{number}")(answer))
    mean = keras_layers.Average(name="mean_of_members")(answers)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], mean, name="ensemble")
