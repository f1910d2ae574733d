"""A Keras network learning: one traced step for each batch; mixed precision by policy, processes by tf.distribute."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, ProcessLost
from onnxpress.training.fitting import named_outputs
from onnxpress.training.fitting.checkpoint import Arrays
from onnxpress.training.fitting.loop import Examples, Fit, Inputs
from onnxpress.training.fitting.losses import LEAST, rows_at_once
from onnxpress.training.settings import Training
from onnxpress.training.tensorflow import processes

WEIGHTS = "model.weights.h5"


def seed(training: Training) -> None:
    """Seed Python, numpy and TensorFlow; joins the other processes first, which TensorFlow does only at its start."""
    processes.strategy()
    keras.utils.set_random_seed(training.seed)
    if training.deterministic:
        tf.config.experimental.enable_op_determinism()


def build(factory: Callable[..., keras.Model], settings: Mapping[str, Any], training: Training) -> keras.Model:
    """The network, under Keras's mixed-precision policy where the recipe asks for it."""
    if training.precision == "float32":
        return factory(**settings)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{training.precision}")
    try:
        return factory(**settings)
    finally:
        keras.config.set_dtype_policy(before)


class _Learner:
    """See `fitting.loop.Learner`.

    Every process has variables of its own, the same in all: from one seed, changed by the same summed gradients.
    """

    def __init__(self, network: keras.Model, job: Fit) -> None:
        training = job.training
        self._strategy, self._place = processes.strategy(), processes.place()
        if self._strategy is not None:
            for layer in network._flatten_layers():
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.synchronized = True
        self._seed, self._loss, self._margin = training.seed, job.loss, job.margin
        self._train, self._validation = _constants(job.train), _constants(job.validation)
        self._teaching = job.teaching
        if job.teaching is not None:
            self._taught = tf.constant(job.teaching.answers)
        if job.frozen_encoder:
            encoder, network = network.get_layer("encoder"), network.get_layer("head")
            self._train, self._validation = (
                ([tf.constant(_infer(encoder, x))], y, weight) for x, y, weight in (self._train, self._validation)
            )
        if job.only is not None:
            for layer in network.layers:
                layer.trainable = layer.name in job.only
        self._network, self._trained = network, network.trainable_variables
        self._optimizer = _optimizer(training)
        self._optimizer.build(self._trained)
        self._dropouts = [
            layer.seed_generator
            for layer in network._flatten_layers()
            if getattr(layer, "seed_generator", None) is not None
        ]
        self._rate = training.learning_rate
        rows = tf.TensorSpec([None], tf.int64)
        self._step = tf.function(self._one_step, input_signature=[rows], jit_compile=training.compile or None)
        # Steps over several processes hold what XLA cannot compile: the sums over all of them.
        share = [rows, tf.TensorSpec([], tf.float32)]
        self._step_together = tf.function(self._one_step_together, input_signature=share)

    def learn(self, rows: Sequence[Array], rates: Sequence[float], *, epoch: int) -> float:
        for number, generator in enumerate(self._dropouts):
            # Each process drops others.
            generator.state.assign([(self._seed + number) % 2**31, epoch * self._place.count + self._place.number])
        total = tf.zeros(())
        for batch, rate in zip(rows, rates, strict=True):
            if rate != self._rate:
                self._optimizer.learning_rate.assign(rate)
                self._rate = rate
            step = self._step if self._strategy is None else self._share
            total += step(tf.convert_to_tensor(batch)) * len(batch)
        return float(total) / sum(map(len, rows))

    def _share(self, batch: Any) -> Any:
        """A step on this process's rows of the batch; the loss of all of them."""
        mine = batch[self._place.number :: self._place.count]
        try:
            return self._step_together(mine, tf.cast(len(batch), tf.float32))
        except _LOST as error:
            raise ProcessLost(
                f"another of the {self._place.count} processes is gone: {error.message.splitlines()[-1]}",
                where="TF_CONFIG",
                hint="start all of them again with --resume",
            ) from None

    def _one_step(self, rows: Any) -> Any:
        loss, gradients = self._gradients(rows, None)
        self._optimizer.apply(gradients, self._trained)
        return loss

    def _one_step_together(self, rows: Any, whole: Any) -> Any:
        def added_up(rows: Any, whole: Any) -> Any:
            loss, gradients = self._gradients(rows, whole)
            return processes.summed([loss, *gradients])

        loss, *gradients = self._strategy.run(added_up, (rows, whole))  # type: ignore[union-attr]
        # Clipped and applied after they are added up, by every process alike.
        self._optimizer.apply(gradients, self._trained)
        return loss

    def _gradients(self, rows: Any, whole: Any) -> tuple[Any, list[Any]]:
        """The rows' mean loss, or with `whole` their sum divided by that, for a process may have none of a batch."""
        x, y, weight = self._train
        with tf.GradientTape() as tape:
            answer = _ask(self._network, [tf.gather(part, rows) for part in x], training=True)
            answer = tf.cast(answer, tf.float32)
            of_rows = _LOSSES[self._loss](tf.gather(y, rows), answer)
            if self._teaching is not None:
                apart = _DISTANCES[self._loss](answer, tf.gather(self._taught, rows), self._teaching.temperature)
                of_rows += self._teaching.share * (apart - of_rows)
            weighted = of_rows if weight is None else self._counted(of_rows, tf.gather(weight, rows))
            loss = tf.reduce_mean(weighted) if whole is None else tf.reduce_sum(weighted) / whole
            scaled = self._optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, self._trained)

    def _counted(self, of_rows: Any, weight: Any) -> Any:
        if not self._margin:
            return of_rows * weight
        return tf.where(weight < 0, tf.nn.relu(self._margin - of_rows), of_rows) * tf.abs(weight)

    def validate(self) -> Array:
        return _infer(self._network, self._validation[0])

    def weights(self) -> Arrays:
        return {str(number): np.array(variable) for number, variable in enumerate(self._network.weights)}

    def restore_weights(self, weights: Arrays) -> None:
        for number, variable in enumerate(self._network.weights):
            variable.assign(weights[str(number)])

    def state(self) -> Arrays:
        optimizer = {f"optimizer/{n}": np.array(variable) for n, variable in enumerate(self._optimizer.variables)}
        return {f"network/{name}": value for name, value in self.weights().items()} | optimizer

    def restore(self, state: Arrays) -> None:
        self.restore_weights({n.removeprefix("network/"): v for n, v in state.items() if n.startswith("network/")})
        for number, variable in enumerate(self._optimizer.variables):
            variable.assign(state[f"optimizer/{number}"])
        self._rate = float(self._optimizer.learning_rate)


_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def _mean_squared_error(y: Any, answer: Any) -> Any:
    return tf.reduce_mean(tf.reshape((answer - y) ** 2, [tf.shape(y)[0], -1]), axis=1)


def _cross_entropy(y: Any, logits: Any) -> Any:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)


def _binary_cross_entropy(y: Any, logits: Any) -> Any:
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits), axis=1)


def _negative_log_likelihood(y: Any, answer: Any) -> Any:
    of_class = tf.gather(answer, tf.cast(y, tf.int64), axis=1, batch_dims=1)
    return -tf.math.log(tf.clip_by_value(of_class, LEAST, 1.0))


def _binary_negative_log_likelihood(y: Any, answer: Any) -> Any:
    p = tf.clip_by_value(answer, LEAST, 1 - LEAST)
    return -tf.reduce_mean(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p), axis=1)


_LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    "mean_squared_error": _mean_squared_error,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "negative_log_likelihood": _negative_log_likelihood,
    "binary_negative_log_likelihood": _binary_negative_log_likelihood,
}


def _of_logits(answer: Any, taught: Any, temperature: float) -> Any:
    mine, its = (tf.nn.log_softmax(z / temperature) for z in (answer, taught))
    return temperature**2 * tf.reduce_sum(tf.exp(its) * (its - mine), axis=-1)


def _of_one_logit(answer: Any, taught: Any, temperature: float) -> Any:
    mine, its = (tf.concat([tf.zeros_like(z), z], axis=-1) for z in (answer, taught))
    return _of_logits(mine, its, temperature)


def _of_values(answer: Any, taught: Any, _: float) -> Any:
    return _mean_squared_error(taught, answer)


_DISTANCES: dict[str, Callable[[Any, Any, float], Any]] = {
    "cross_entropy": _of_logits,
    "binary_cross_entropy": _of_one_logit,
    "mean_squared_error": _of_values,
}
"""of each row's answer from the teacher's; see `fitting.distillation`"""


def learner(network: keras.Model, job: Fit) -> _Learner:
    """The network made ready to learn from the job's rows."""
    return _Learner(network, job)


def _optimizer(training: Training) -> Any:
    common = {
        "learning_rate": training.learning_rate,
        "beta_1": training.betas[0],
        "beta_2": training.betas[1],
        "epsilon": 1e-7,
        "global_clipnorm": training.clip_norm,
    }
    if training.optimizer == "adamw":
        optimizer: Any = keras.optimizers.AdamW(weight_decay=training.weight_decay, **common)
    else:
        optimizer = keras.optimizers.Adam(**common)
    return keras.optimizers.LossScaleOptimizer(optimizer) if training.precision == "float16" else optimizer


def finished(network: keras.Model, factory: Callable[..., keras.Model], settings: Mapping[str, Any]) -> keras.Model:
    """The network as it is, or built again in float32 with the same weights where its policy was a mixed one."""
    if all(layer.compute_dtype == "float32" for layer in network._flatten_layers()):
        return network
    plain = factory(**settings)
    plain.set_weights(network.get_weights())
    return plain


def joined(
    networks: Sequence[keras.Model], factory: Callable[..., keras.Model], settings: Mapping[str, Any]
) -> keras.Model:
    """The ensemble that `factory` builds, with the weights of `networks` as its members."""
    whole = factory(**settings)
    for number, network in enumerate(networks):
        whole.get_layer(f"member_{number}").set_weights(network.get_weights())
    return whole


def is_main() -> bool:
    """Whether this is the first of the processes."""
    return processes.place().number == 0


def process_count() -> int:
    """How many the cluster has."""
    return processes.place().count


def _constants(rows: Examples) -> tuple[list[Any], Any, Any]:
    x, y, weight = rows
    return [tf.constant(part) for part in x.values()], tf.constant(y), None if weight is None else tf.constant(weight)


def _ask(network: Any, x: Sequence[Any], *, training: bool) -> Any:
    # Ids may be stored in fewer bytes than the embedding takes.
    parts = [part if part.dtype.is_floating else tf.cast(part, tf.int64) for part in x]
    return network(parts[0] if len(parts) == 1 else parts, training=training)


def _infer(network: Any, x: Sequence[Any]) -> Array:
    rows = rows_at_once(x)
    parts = [
        np.asarray(
            named_outputs.alone(_ask(network, [part[start : start + rows] for part in x], training=False)), np.float32
        )
        for start in range(0, len(x[0]), rows)
    ]
    return np.concatenate(parts)


def predict(network: keras.Model, x: Inputs) -> Array:
    """Inference mode."""
    return _infer(network, [tf.constant(part) for part in x.values()])


class _OneOf(keras.Model):
    """Answers one of the tensors that a network returns."""

    def __init__(self, network: keras.Model, names: Sequence[str], chosen: str) -> None:
        super().__init__()
        self.network, self.named, self.chosen = network, tuple(names), chosen

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        # Not `call`: Keras would write a text of its own around what is refused.
        return named_outputs.pick(self.network(inputs, training=training), self.named, self.chosen)


def one_of(network: keras.Model, names: Sequence[str], chosen: str) -> keras.Model:
    """A network that answers `chosen` alone, of what `network` returns under `names`; it shares its weights."""
    return _OneOf(network, names, chosen)


class _ByName(keras.Model):
    """Gives a network that takes a dict its tensors under their names."""

    def __init__(self, network: keras.Model, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        # Not `call`: Keras would look at the list of tensors and cast them.
        return self.network(dict(zip(self.names, inputs, strict=True)), training=training)


def by_name(network: keras.Model, x: Inputs) -> keras.Model:
    """See FrameworkFit: of a functional network its inputs tell; any other is tried with a dict first."""
    tensors = [tf.constant(part) for part in x.values()]
    structure = getattr(network, "_inputs_struct", None)
    if isinstance(structure, dict):
        if set(structure) != set(x):
            raise BadModel(
                f"it takes a dict of {', '.join(structure)}, and is given {', '.join(x)}",
                where="model.inputs",
                hint="name the tensors that the steps make as the network does",
            )
        return _ByName(network, list(x))
    if structure is None and len(x) > 1:
        whole = _ByName(network, list(x))
        with contextlib.suppress(Exception):  # whatever a network says that is given a dict in place of a list
            _ask(whole, tensors, training=False)
            return whole
    _ask(network, tensors, training=False)
    return network


def last_layer(network: keras.Model) -> str:
    """Of the last layer, which may be an activation itself."""
    last = network.layers[-1] if network.layers else None
    name = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    return name if name in {"softmax", "sigmoid"} else ""


def save(network: keras.Model, path: Path) -> None:
    """The weights in Keras's HDF5 form."""
    network.save_weights(path)


def parameters(network: keras.Model) -> int:
    """The number of trained parameters."""
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
