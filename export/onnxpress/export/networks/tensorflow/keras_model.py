"""A Keras model as a Network: asked in float32 and float64, converted with tf2onnx from a traced function."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.network import Precision, See, TruthUnavailable
from onnxpress.export.networks.tensorflow import watching as from_keras_layers
from onnxpress.export.networks.tensorflow.attributes import as_before, unset_attributes
from onnxpress.export.networks.tensorflow.calling import Calling, arranged, how_called, input_names, named_specs
from onnxpress.export.networks.tensorflow.choosing import choices
from onnxpress.export.networks.tensorflow.converter import convert, refuse_opset
from onnxpress.export.networks.tensorflow.resizing import resized_in_float64
from onnxpress.export.networks.tensorflow.structure import _clean, array_of, blank, flatten, spec_of, tensor
from onnxpress.export.networks.tensorflow.unconvertible import refuse_rounding, refuse_stateful
from onnxpress.export.networks.truth import refuse_other_truth
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

_NARROWER = {"float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"}


class KerasNetwork:
    """A Keras 3 model on the TensorFlow backend, called with training=False; the model itself is only read."""

    def __init__(self, source: Source) -> None:
        import tf2onnx

        if keras.backend.backend() != "tensorflow":
            raise UsageError(
                f"Keras runs on the {keras.backend.backend()} backend here; its ONNX converter needs TensorFlow",
                where=source.reference,
                hint="set KERAS_BACKEND=tensorflow",
            )
        self._model = source.network
        self._unset = unset_attributes(self._model)
        self.framework_version = tf.__version__
        self.converter = f"tf2onnx {tf2onnx.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        refuse_opset(source)
        refuse_stateful(self._model, source.reference)
        refuse_rounding(self._model, source.reference)
        self._given = source.example_inputs if source.example_inputs is not None else (source.samples or None)
        self._double: Any = None
        self._double_checked = False
        self.choices = choices()
        self._order = list(getattr(self._model, "inputs", None) or [])
        self.inputs = source.network_inputs or self._tell_inputs(source)
        self._refuse_baked_batch(source)
        self._calling: Calling | None = None
        self._described = [spec.name for spec in source.network_outputs or []]
        self.output_names = self._tell_outputs()

    def _tell_inputs(self, source: Source) -> list[TensorSpec]:
        if self._order:
            return [
                spec_of(name, value.dtype, value.shape)
                for name, value in zip(input_names(self._model), self._order, strict=True)
            ]
        if self._given is None:
            raise UsageError(
                "this Keras model does not declare its inputs",
                where=source.reference,
                hint="return (model, example_inputs) from the factory, or add --input 'x:float32[batch,...]'",
            )
        return named_specs(self._given)

    def _refuse_baked_batch(self, source: Source) -> None:
        for value in self._order:
            if len(value.shape) and value.shape[0] is not None:
                raise NotEquivalent(
                    f"the input {_clean(value.name)!r} is declared with a fixed batch of {value.shape[0]}",
                    where=source.reference,
                    hint="use keras.Input(shape=...) rather than batch_shape with a number",
                )

    def _tell_outputs(self) -> list[str]:
        feeds = self.examples(2) or {}
        if not {spec.name for spec in self.inputs} <= feeds.keys():  # none, or rows before steps that are described
            feeds = {spec.name: blank(spec) for spec in self.inputs}
        return list(self.run(feeds, "float32"))

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The given examples, their rows repeated or cut to `batch`."""
        if self._given is None:
            return None
        values = self._given
        if not isinstance(values, dict):
            sequence = values if isinstance(values, list | tuple) else [values]
            values = dict(zip([spec.name for spec in self.inputs], sequence, strict=True))
        arrays = {name: np.asarray(value) for name, value in values.items()}
        return {name: np.resize(array, (batch, *array.shape[1:])) for name, array in arrays.items()}

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output; see Network.run."""
        model = self._model if precision == "float32" else self.in_double()
        if precision == "float64" and not self._double_checked:
            self._double_checked = True
            refuse_other_truth(self.run(feeds, "float32"), self.run(feeds, "float64"))
        tensors = [tensor(spec, feeds[spec.name], precision) for spec in self.inputs]
        try:
            with self.choices.kept(), resized_in_float64() if precision == "float64" else contextlib.nullcontext():
                answer = self.call(model, tensors)
        except TruthUnavailable:
            raise
        except Exception as error:
            if precision == "float64":
                raise TruthUnavailable(str(error)) from error
            shapes = {spec.name: list(feeds[spec.name].shape) for spec in self.inputs}
            raise BadModel(f"the model fails on inputs of shape {shapes}: {error}") from error
        return {name: array_of(value) for name, value in self.by_name(answer).items()}

    def begun(self, first: dict[str, Array], feeds: dict[str, Array]) -> dict[str, Array] | None:
        """With the attributes of the author's own layers as they were before the first call; see Beginning."""
        with as_before(self._unset) as changed:
            if not changed:
                return None
            try:
                self.run(first, "float32")
                return self.run(feeds, "float32")
            except BadModel:  # one of them was set when it was built, which it is not again
                return None

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """With noise on the scores that are chosen from; see Choosing."""
        return self.choices.otherwise(partial(self.run, feeds), limit, turns)

    def compiled(self) -> Callable[[dict[str, Array]], object]:
        """By XLA; see Compilable."""
        function = tf.function(lambda *tensors: self.call(self._model, list(tensors)), jit_compile=True)
        return lambda feeds: function(*[tensor(spec, feeds[spec.name], "float32") for spec in self.inputs])

    def by_name(self, answer: Any) -> dict[str, Any]:
        """What the model's own call returned: under the author's keys where it is a dict, else by position."""
        flat = self._apart_from_inputs(flatten(answer))
        if isinstance(answer, dict) and (not self._described or set(flat) == set(self._described)):
            return flat
        own = list(getattr(self._model, "output_names", None) or [])
        for names in (self._described, own if not isinstance(answer, dict) else []):
            if len(names) == len(flat) and len(set(names)) == len(names):
                return self._apart_from_inputs(dict(zip(names, flat.values(), strict=True)))
        return flat

    def _apart_from_inputs(self, answers: dict[str, Any]) -> dict[str, Any]:
        """A graph has one tensor of a name; an output that is called as an input gets another."""
        taken = {spec.name for spec in self.inputs}
        return {f"{name}_out" if name in taken else name: value for name, value in answers.items()}

    def call(self, model: Any, tensors: list[Any], *, training: bool = False) -> Any:
        """What the model, or its twin, answers to tensors in the order of `inputs`."""
        names = [spec.name for spec in self.inputs]
        if self._order:
            return model(arranged(model, names, tensors), training=training)
        if self._calling is None:
            self._calling = how_called(model, names, tensors, self._given)
        return self._calling(model, tensors, training)

    def in_double(self) -> Any:
        """The same architecture rebuilt from its config with dtype float64, with the same weights."""
        if self._double is None:
            try:
                config = _with_float64(copy.deepcopy(self._model.get_config()))
                with _float64_by_default():
                    twin = type(self._model).from_config(config)
                    if not twin.built:
                        self.call(twin, [tensor(spec, blank(spec), "float64") for spec in self.inputs])
                for mine, weight in zip(twin.weights, self._model.weights, strict=True):  # no copies of all at once
                    mine.assign(_widen(np.asarray(weight)))
                for layer in twin._flatten_layers():
                    if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
                        layer.finalize_state()  # its constants are made from its weights, once
            except Exception as error:
                raise TruthUnavailable(f"no float64 twin: {error}") from error
            self._double = twin
        return self._double

    @property
    def has_float64(self) -> bool:
        """Whether the twin is there."""
        return self._double is not None

    def forget_float64(self) -> None:
        """Free the twin in float64; it is made anew when it is asked for."""
        self._double = None

    def watch(self, feeds: dict[str, Array], precision: Precision, see: See) -> None:
        """What every layer and operation computes; see Layered."""
        if precision == "float64" and not self._double_checked:
            self.run(feeds, precision)  # the check runs the network itself
        with from_keras_layers.watching(self._model if precision == "float32" else self.in_double(), see):
            self.run(feeds, precision)

    def layer_names(self) -> frozenset[str]:
        """The names of the layers."""
        return from_keras_layers.names(self._model)

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The first layer of a functional model whose output differs between two runs; else the model's name."""
        layers = [layer for layer in getattr(self._model, "layers", []) if hasattr(layer, "output")]
        try:
            probe = keras.Model(self._model.inputs, [layer.output for layer in layers])
            tensors = [tensor(spec, feeds[spec.name], "float32") for spec in self.inputs]
            first, second = self.call(probe, tensors), self.call(probe, tensors)
        except Exception:
            return f"the model {self._model.name}"
        for layer, a, b in zip(layers, tf.nest.flatten(first), tf.nest.flatten(second), strict=False):
            if not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=a.dtype.is_floating):
                return f"{layer.name} ({type(layer).__name__})"
        return f"the model {self._model.name}"

    def convert(self, folder: Path) -> onnx.ModelProto:
        """Trace the model with training=False and hand the function to tf2onnx."""
        return convert(
            lambda tensors: self.by_name(self.call(self._model, tensors)),
            self.inputs,
            self.output_names,
            owner=self._model,
            log=self.talk,
        )

    def parameters(self) -> dict[str, Array]:
        """The weights by their path: layer and weight."""
        return {weight.path: np.asarray(weight) for weight in self._model.weights}

    def write_state(self, path: Path) -> None:
        """The weights in the model's order."""
        with path.open("wb") as file:
            np.savez(file, *self._model.get_weights())

    def read_state(self, path: Path) -> None:
        """Take the weights of `write_state`. Raises BadModel where the model has other weights or shapes."""
        with np.load(path) as archive:
            weights = [archive[name] for name in archive.files]
        try:
            self._model.set_weights(weights)
        except ValueError as error:
            raise BadModel(
                f"built a second time, the model has other weights: {error}",
                hint="the factory must build the same architecture every time it is called",
            ) from error


@contextlib.contextmanager
def _float64_by_default() -> Iterator[None]:
    """While open, a layer whose author wrote no `dtype` into its config computes in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _with_float64(config: Any) -> Any:
    """A layer configuration with every float32 policy and dtype replaced by float64."""
    if isinstance(config, dict):
        return {key: _with_float64(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_with_float64(value) for value in config)
    return "float64" if isinstance(config, str) and config in _NARROWER else config


def _widen(weight: Array) -> Array:
    return weight.astype(np.float64) if weight.dtype.kind == "f" else weight
