"""Rung 3: the gradient of a random sum of the answers by every parameter and input, in float64."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any
from unittest import mock

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.pytorch.copying import copied
from onnxpress.export.port.proof.aside import aside, hand_back
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.rung import Rung, Worst
from onnxpress.export.port.proof.streamed import gradient_of, gradients_of, hand_over
from onnxpress.export.port.to_keras.model import Code

_FACTOR = 2.0**30
"""by which the sum is multiplied, to see whether a hook or a backward of the author's own clips what comes back; it is
a power of two, which rounds nothing"""
LIMIT = 5e-7
"""of the largest gradient of the same array. A layer of the target may hold a constant in float32, as Keras's attention
does, which is 6e-8 from the truth; otherwise float64 shows 1e-15"""


class Sides:
    """The source in torch and the written model in Keras, both in float64, on one batch.

    Of a `large` model one of them is there at a time: whoever has asked one side leaves it, and it is made anew of the
    source's `state` when it is asked again. Its gradients by weights are never there together. `learning` are the
    parameters that training changes in the source.
    """

    def __init__(self, module: Any, state: Mapping[str, Array], call: Any, target: KerasTarget, code: Code,
                 feeds: dict[str, Array], learning: frozenset[str], *, large: bool = False) -> None:  # fmt: skip
        self._source, self.state, self._learning, self.large = module, state, learning, large
        self._module: Any = None
        self.drawn: dict[str, list[Any]] = {}
        """what the source draws at random in training mode, by the module that draws; see `drawing`"""
        self.call, self.target, self.code = call, target, code
        self.feeds = {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in feeds.items()}
        self._functions: dict[bool, Any] = {}
        self._by_torch: MutableMapping[str, Array] = aside(large=large)
        self._by_keras: MutableMapping[int, Array] = aside(large=large)
        self.reached: set[str] = set()
        """the parameters that the last gradient was told by, be it zero"""
        generator = np.random.default_rng(7)
        _, floats = self._answered(training=False)
        self.weights = [generator.standard_normal(tuple(v.shape)) for v in floats]

    @property
    def module(self) -> Any:
        """The source in float64."""
        if self._module is None:
            self._module = _in_float64(self._source, self.state if self.large else {})
            for name, parameter in self._module.named_parameters():
                parameter.requires_grad_(name in self._learning)
            if self.large:
                hand_back()  # what it was filled from
        return self._module

    def leave_torch(self) -> None:
        """Free its gradients; of a large model all of it."""
        if self._module is not None:
            self._module.zero_grad()
        self._by_torch = aside(large=self.large)
        if self.large:
            self._module = None
            hand_back()

    def leave_keras(self) -> None:
        """Free its gradients; of a large model all of it."""
        self._by_keras = aside(large=self.large)
        if self.large:
            self._functions.clear()
            self.target.forget("float64")
            hand_back()

    def of_torch(
        self, *, training: bool, factor: float = 1.0, feeds: dict[str, Array] | None = None
    ) -> tuple[MutableMapping[str, Array], dict[str, Array], float]:
        """Gradients by parameter and by input, and the sum; `factor` times as much, of other `feeds`.

        Those by parameter are there until this side is asked again.
        """
        import torch

        self.module.zero_grad()
        by = self._by_torch
        tensors, floats = self._answered(training, feeds)
        total: Any = sum(
            (o * torch.from_numpy(np.asarray(factor * r))).sum() for o, r in zip(floats, self.weights, strict=True)
        )
        learning = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        with gradients_of(learning, by, large=self.large) as self.reached, warnings.catch_warnings():
            # A backward hook tells that no input asks for a gradient, as in training.
            warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
            if total.requires_grad:
                total.backward()
        return by, {n: gradient_of(t) for n, t in tensors.items() if t.requires_grad}, total.item()

    def _answered(self, training: bool, feeds: dict[str, Array] | None = None) -> tuple[dict[str, Any], list[Any]]:
        """The tensors that were given, and the answers that are floats."""
        import torch

        self.module.train(training)
        tensors = {n: torch.from_numpy(np.array(v)) for n, v in (feeds or self.feeds).items()}
        for tensor in tensors.values():
            if tensor.is_floating_point() and not training:  # a module may ask it itself of what it makes of an input
                tensor.requires_grad_(True)
        with exact(), in_doubles():
            # Copies, as a module may change what it is given, and a tensor that gathers gradients may not be changed.
            outputs = self.call(self.module, {n: t.clone() for n, t in tensors.items()})
        return tensors, [o for o in outputs if o.is_floating_point()]

    def of_keras(
        self, *, training: bool, feeds: dict[str, Array] | None = None
    ) -> tuple[MutableMapping[int, Array], list[Array], float]:
        """Gradients by every carried weight that learns and by every float input, and the sum; of other `feeds`.

        Those by weight stand under their places in `learning()`, and are there until this side is asked again.
        """
        import tensorflow as tf

        if training not in self._functions:
            self.target.model("float64")  # variables are made outside of what is traced
            self._functions[training] = tf.function(
                lambda *inputs: self._differentiated(inputs, training), autograph=False
            )
        given = self.target.inputs(feeds or self.feeds)
        total, by, by_input = self._functions[training](*[tf.constant(v) for v in given])
        self._by_keras.update((place, np.asarray(gradient)) for place, gradient in enumerate(by))
        return self._by_keras, [np.asarray(g) for g in by_input], float(total)

    def _differentiated(self, inputs: Any, training: bool) -> Any:
        import tensorflow as tf

        variables = [self.target.variable(one, "float64").value for one in self.learning()]
        watched = [x for x in inputs if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            for x in watched:
                tape.watch(x)
            found = self.target.call(list(inputs), "float64", training=training)
            floats = [(v, p) for v, p in zip(found, self.target.perms(), strict=True) if v.dtype.is_floating]
            total = sum(
                tf.reduce_sum(v * np.transpose(r, p) if p else v * r)
                for (v, p), r in zip(floats, self.weights, strict=True)
            )
        by = tape.gradient(total, [*variables, *watched], unconnected_gradients="zero")
        arrays = [tf.convert_to_tensor(g) for g in by]
        by, by_input = arrays[: len(variables)], arrays[len(variables) :]
        if self.large:
            hand_over(lambda place, array: self._by_keras.update({place: array}), range(len(by)), by)
            by = []
        return total, by, by_input

    def learning(self) -> list[Any]:
        """The weights that training changes in the source."""
        return [one for one in self.code.carried if any(name in self._learning for name in one.sources)]


def _in_float64(source: Any, state: Mapping[str, Array]) -> Any:
    """A copy of the module, with the weights that are in `state` from there."""
    import torch

    module = copied(source)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if name in state:
            told = torch.from_numpy(state[name])
            value.data = told.double() if told.is_floating_point() else told
    module.double()
    for part in module.modules():  # tensors that it holds beside its parameters
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                setattr(part, name, value.double())
    return module


def gradients(sides: Sides) -> Rung:
    """Compare both, in inference mode."""
    if not sides.weights:
        return Rung(name="gradients", holds=True, detail="no answer has one")
    strong = _sums(*sides.of_torch(training=False, factor=_FACTOR)[:2])
    bounded = _bounded_at_zeros(sides)
    by, by_input, _ = sides.of_torch(training=False)
    wrong = _clips(_sums(by, by_input), strong) or _lost(sides)
    sides.leave_torch()
    if wrong:
        return Rung(name="gradients", holds=False, detail=wrong)
    rung = _beside_keras(sides, by, by_input)
    if rung.holds and (wrong := _unbounded_at_zeros(sides, bounded)):
        rung = Rung(name="gradients", holds=False, detail=wrong)
    sides.leave_keras()
    return rung


def _beside_keras(sides: Sides, by: Mapping[str, Array], by_input: dict[str, Array]) -> Rung:
    """The written model's gradients beside the source's."""
    ours, our_inputs, _ = sides.of_keras(training=False)
    worst = Worst()
    whole = max([1e-300, *(largest(g) for g in by.values())])
    for place, one in enumerate(sides.learning()):
        worst.add(difference(carried(one, by), ours[place], whole), one.sources[0])
    floats = [(n, p) for n, p in zip(sides.target.names, sides.code.inputs, strict=True) if n in by_input]
    for (name, perm), mine in zip(floats, our_inputs, strict=True):
        worst.add(difference(np.transpose(by_input[name], perm), mine, whole), f"the input {name}")
    detail = f"by {len(ours)} weights and {len(our_inputs)} inputs in float64, the worst by {worst.where or 'none'}"
    return worst.rung("gradients", LIMIT, detail)


def _sums(*several: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
    """Of each array its sum and its largest value."""
    return {n: (float(g.sum()), largest(g)) for by in several for n, g in by.items()}


def _clips(plain: dict[str, tuple[float, float]], strong: dict[str, tuple[float, float]]) -> str:
    """By what the gradient of _FACTOR times the sum is not as many times as large; empty where it is."""
    for name, (total, largest) in plain.items():
        apart = max(abs(strong[name][0] / _FACTOR - total), abs(strong[name][1] / _FACTOR - largest))
        if np.isfinite([total, largest]).all() and not apart <= 1e-9 * max(largest, 1e-300):
            return (
                f"the source's gradient by {name} does not grow as the answers do: a hook or a backward of its own "
                "changes it, which has no correspondence"
            )
    return ""


def _lost(sides: Sides) -> str:
    """A parameter that the source's answers depend on, and in whose stead nothing learns; empty where there is none."""
    lost = sorted(sides.reached - {name for one in sides.code.carried for name in one.sources})
    return f"{lost[0]} learns in the source, and nothing here learns in its stead" if lost else ""


def _bounded_at_zeros(sides: Sides) -> set[str]:
    """By what the source's gradient is finite where a row is zero, as padding is."""
    if (feeds := with_zeros(sides.feeds)) is None:
        return set()
    by, by_input, _ = sides.of_torch(training=False, feeds=feeds)
    return finite(by) | {f"the input {name}" for name in finite(by_input)}


def _unbounded_at_zeros(sides: Sides, bounded: set[str]) -> str:
    """By which of them ours is not; empty where all are."""
    if (feeds := with_zeros(sides.feeds)) is None:
        return ""
    ours, our_inputs, _ = sides.of_keras(training=False, feeds=feeds)
    known = finite(ours)
    mine = {one.sources[0]: place in known for place, one in enumerate(sides.learning())}
    floats = [name for name in sides.target.names if sides.feeds[name].dtype.kind == "f"]
    mine |= {f"the input {n}": bool(np.isfinite(g).all()) for n, g in zip(floats, our_inputs, strict=True)}
    return unbounded(mine, bounded)


def with_zeros(feeds: dict[str, Array]) -> dict[str, Array] | None:
    """The feeds with their first row zero in all that is a float; None where nothing is."""
    if not any(value.dtype.kind == "f" and value.ndim for value in feeds.values()):
        return None
    found = {name: np.array(value) for name, value in feeds.items()}
    for value in found.values():
        if value.dtype.kind == "f" and value.ndim:
            value[0] = 0
    return found


def finite(gradients: Mapping[Any, Array]) -> set[Any]:
    """The names of those that are numbers throughout."""
    return {name for name, gradient in gradients.items() if np.isfinite(gradient).all()}


def unbounded(mine: Mapping[str, bool], bounded: Iterable[str]) -> str:
    """What is said of the first that should be finite and is not; empty where there is none."""
    wrong = sorted(name for name in bounded if not mine.get(name, True))
    return f"of a row of zeros the gradient by {wrong[0]} is finite in the source, and not here" if wrong else ""


def carried(one: Any, by: Mapping[str, Array]) -> Array:
    """The source's gradients as that of the written weight: where two are summed in one, each has its gradient."""
    if one.several:  # the others may be frozen: the first learns for all
        first = by[one.sources[0]]
        return one.carry(first, *(np.zeros_like(first) for _ in one.sources[1:]))
    return one.carry(*(by[name] for name in one.sources))


def difference(wanted: Array, mine: Array, whole: float) -> float:
    """The largest difference, as a share of the largest value; of what is small everywhere, of the whole's."""
    return largest(wanted - mine) / max(largest(wanted), 1e-4 * whole)


def largest(array: Array) -> float:
    """The size of the largest value; no number where one is none."""
    return max(float(array.max(initial=0)), -float(array.min(initial=0)))


@contextlib.contextmanager
def in_doubles() -> Iterator[None]:
    """Every tensor that is made, or cast to fewer bits, is one of float64."""
    import torch

    from onnxpress.export.networks.pytorch.float64 import StaysWide

    def detached(self: Any, *, force: bool = False) -> Any:
        return as_numpy(self.detach(), force=force)

    before, as_numpy = torch.get_default_dtype(), torch.Tensor.numpy
    torch.set_default_dtype(torch.float64)
    try:
        with StaysWide(), mock.patch.object(torch.Tensor, "numpy", detached):  # numpy keeps no gradient
            yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Without torch's fused shortcuts of inference mode, and without dropout."""
    import torch
    from torch.nn import functional

    attention = functional.scaled_dot_product_attention

    def attended(*args: Any, **kwargs: Any) -> Any:
        args = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args
        return attention(*args, **kwargs if len(args) > 4 else {**kwargs, "dropout_p": 0.0})

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            mock.patch.object(functional, "dropout", lambda x, *_, **__: x),
            mock.patch.object(functional, "scaled_dot_product_attention", attended),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
