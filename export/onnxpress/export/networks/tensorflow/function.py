"""A tf.function, or a SavedModel's signature, as a Network."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.export.networks.batch_axis import repeated, ways
from onnxpress.export.networks.batch_axis import spec_of as spec_along
from onnxpress.export.networks.tensorflow.choosing import choices
from onnxpress.export.networks.tensorflow.converter import convert, refuse_opset
from onnxpress.export.networks.tensorflow.structure import array_of, blank, flatten, spec_of, tensor
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

_SIGNATURES = ("serving_default", "serve")


class FunctionNetwork:
    """A callable of TensorFlow's with a declared signature; its dtypes are fixed, so the floor is found by one ulp."""

    def __init__(self, source: Source) -> None:
        import tf2onnx

        self.framework_version = tf.__version__
        self.converter = f"tf2onnx {tf2onnx.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        refuse_opset(source)
        self._source = source.network  # keeps a SavedModel's variables alive
        self._function, declared, self._arguments = _signature(source)
        self._declared = [spec.name for spec in declared]
        self._given = source.example_inputs
        self.inputs = source.network_inputs or declared or self._from_examples(source)
        self.choices = choices()
        self.output_names: list[str] = []
        self.output_names = list(self.run({spec.name: blank(spec) for spec in self.inputs}, "float32"))

    def _from_examples(self, source: Source) -> list[TensorSpec]:
        if self._given is None:
            raise UsageError(
                "this tf.function has no input_signature",
                where=source.reference,
                hint="add @tf.function(input_signature=[tf.TensorSpec([None, ...])]), return (function, "
                "example_inputs) from the factory, or add --input 'x:float32[batch,...]'",
            )
        arrays = self._example_arrays() or {}
        axes = next(ways([array.shape for array in arrays.values()]))
        return [spec_along(name, array, axis) for (name, array), axis in zip(arrays.items(), axes, strict=True)]

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output; float64 is not available."""
        if precision == "float64":
            raise TruthUnavailable("a traced function has its dtypes fixed")
        try:
            answer = self._call([tensor(spec, feeds[spec.name], spec.dtype) for spec in self.inputs])
        except Exception as error:
            shapes = {spec.name: list(feeds[spec.name].shape) for spec in self.inputs}
            raise BadModel(f"the function fails on inputs of shape {shapes}: {error}") from error
        return {name: array_of(value) for name, value in answer.items()}

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """With noise on the scores that are chosen from; see Choosing. What a SavedModel chooses is not seen."""
        if self.choices.chooses is None:
            with contextlib.suppress(BadModel):
                self._run_eagerly(feeds, "float32")
        return self.choices.otherwise(partial(self._run_eagerly, feeds), limit, turns)

    def _run_eagerly(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Operator by operator, so that each can be seen."""
        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            with self.choices.kept():
                return self.run(feeds, precision)
        finally:
            tf.config.run_functions_eagerly(before)

    def _call(self, tensors: list[Any]) -> dict[str, Any]:
        names = [spec.name for spec in self.inputs]
        if set(names) == set(self._declared):  # described in another order
            tensors = [tensors[names.index(name)] for name in self._declared]
        given = [dict(zip(names, tensors, strict=True))] if self._takes_dict(names) else tensors
        # A graph has one tensor of a name; an output that is called as an input gets another.
        answers = flatten(self._function(given))
        return {f"{name}_out" if name in names else name: value for name, value in answers.items()}

    def _takes_dict(self, names: list[str]) -> bool:
        """Whether its one argument is a dict, as the example is."""
        return not self._declared and isinstance(self._given, dict) and len(self._arguments) == 1 != len(names)

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """Not told by a traced function."""
        return "the function"

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The given examples, their rows repeated or cut to `batch`."""
        arrays = self._example_arrays()
        if arrays is None:
            return None
        specs = {spec.name: spec for spec in self.inputs}
        return {name: repeated(array, specs[name], {"batch": batch}) for name, array in arrays.items()}

    def _example_arrays(self) -> dict[str, Array] | None:
        if self._given is None:
            return None
        given = self._given
        if not isinstance(given, dict):
            values = given if isinstance(given, list | tuple) else [given]
            declared = getattr(self, "inputs", None)
            numbered = [f"input_{number}" for number in range(len(self._arguments), len(values))]
            names = [spec.name for spec in declared] if declared else [*self._arguments, *numbered]
            names = names[: len(values)]
            given = dict(zip(names, values, strict=True))
        return {name: np.asarray(value) for name, value in given.items()}

    def convert(self, folder: Path) -> onnx.ModelProto:
        """With tf2onnx."""
        return convert(self._call, self.inputs, self.output_names, owner=self._source, log=self.talk)

    def parameters(self) -> dict[str, Array]:
        """None: a traced function does not tell them."""
        return {}

    def write_state(self, path: Path) -> None:
        """Nothing: a SavedModel holds its variables; a tf.function's are not reachable from it."""

    def read_state(self, path: Path) -> None:
        """Never written."""


def _signature(source: Source) -> tuple[Any, list[TensorSpec], list[str]]:
    """A callable over tensors in order, its declared inputs (none without an input_signature), and its arguments."""
    function = source.network
    signatures = getattr(function, "signatures", None)
    if signatures is not None:
        chosen = signatures[_chosen(signatures, source)]
        specs = chosen.structured_input_signature[1]
        names = sorted(specs)
        declared = [_varying(name, specs[name], source) for name in names]
        return (lambda tensors: chosen(**dict(zip(names, tensors, strict=True)))), declared, names
    if source.signature is not None:
        raise UsageError(
            "--signature chooses one of a SavedModel's signatures; this is no SavedModel", where=source.reference
        )
    if not hasattr(function, "python_function"):
        function = _called(function, source)
    given = list(getattr(function, "input_signature", None) or ())
    if not all(isinstance(spec, tf.TensorSpec) for spec in given):
        raise BadModel(
            "its input_signature holds dicts or lists of tensors",
            where=source.reference,
            hint="give it one tf.TensorSpec for each argument",
        )
    arguments = [name for name in inspect.signature(function.python_function).parameters if name != "self"]
    declared = [
        _varying(getattr(spec, "name", None) or argument, spec, source)
        for spec, argument in zip(given, arguments, strict=False)
    ]
    return (lambda tensors: function(*tensors)), declared, arguments


def _varying(name: str, spec: Any, source: Source) -> TensorSpec:
    """The spec of a declared input, one axis of which varies."""
    if spec.shape.rank and None not in spec.shape.as_list():
        raise NotEquivalent(
            f"the input {name!r} is declared with a fixed batch: {list(spec.shape)}",
            where=source.reference,
            hint="declare it with tf.TensorSpec([None, ...])",
        )
    return spec_of(name, spec.dtype, spec.shape)


def _called(module: Any, source: Source) -> Any:
    """The `__call__` of a tf.Module, as a tf.function."""
    if not callable(module):
        raise BadModel(
            f"{type(module).__name__} has no __call__",
            where=source.reference,
            hint="name the tf.function itself, or give the module a __call__ with @tf.function(input_signature=[...])",
        )
    call = module.__call__
    return call if hasattr(call, "python_function") else tf.function(call)


def _chosen(signatures: Any, source: Source) -> str:
    """The signature to export: the one that is asked for, else the only one."""
    names = list(signatures)
    listed = "; ".join(_told(name, signatures[name]) for name in names)
    if not names:
        raise BadModel(
            "the SavedModel has no signatures",
            where=source.reference,
            hint="save it with signatures=..., or with keras.Model.export",
        )
    if source.signature is not None:
        if source.signature not in names:
            raise UsageError(
                f"the SavedModel has no signature {source.signature!r}",
                where=source.reference,
                hint=f"there is {listed}",
            )
        return source.signature
    # keras.Model.export writes its one function under both names.
    if len(names) == 1 or (set(names) == set(_SIGNATURES) and len({_told("", signatures[n]) for n in names}) == 1):
        return next((name for name in _SIGNATURES if name in names), names[0])
    raise UsageError(
        f"the SavedModel has {len(names)} signatures: {listed}",
        where=source.reference,
        hint=f"choose one: --signature {next((name for name in _SIGNATURES if name in names), names[0])}",
    )


def _told(name: str, signature: Any) -> str:
    """`serving_default(x) -> scores`."""
    answers = signature.structured_outputs
    inputs = ", ".join(sorted(signature.structured_input_signature[1]))
    return f"{name}({inputs}) -> {', '.join(answers) if isinstance(answers, dict) else answers}"
