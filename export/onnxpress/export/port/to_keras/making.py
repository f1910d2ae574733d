"""A layer's constructor call, with what torch's parameters say of it, and its place in `__init__`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onnxpress.export.port.code import literal
from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.registry import registering
from onnxpress.export.port.steps import Step
from onnxpress.export.port.to_keras.own_norms import OWN_NORMS
from onnxpress.export.port.to_keras.writer import Made, Writer

LAYERS: dict[str, Callable[..., Value]] = {}
_SAME_AS_BEFORE = "channels last, as this layer has them"


def register(*names: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Register how the layers of these names are written."""
    return registering(LAYERS, names)


def member(path: tuple[str | int, ...]) -> str:
    """`self.blocks[0]` of an attribute and a place."""
    return "self" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def add(w: Writer, step: Step, made: Made) -> str:
    """Put the layer into `__init__`, once; returns what is called."""
    if step.name not in w.attributes:
        w.attributes[step.name] = made
        w.place(step.name, made)
    return member(w.attribute(step.name))


def frozen(w: Writer, name: str, parameters: list[str]) -> bool:
    learning = [w.learns(f"{name}.{p}") for p in parameters]
    if any(learning) and not all(learning):
        raise w.refuse("a layer whose parameters are frozen in part has no correspondence", "freeze the whole layer")
    return bool(parameters) and not any(learning)


def make(w: Writer, module: Any, constructor: str, before: str = "", after: str = "", **options: Any) -> Made:
    """The constructor's call with what the layer's parameters say: initialisers as torch's, trainable or not."""
    name, _, given = constructor.partition("(")
    shown = [f"{k}={v if isinstance(v, str) else literal(v)}" for k, v in options.items() if v is not None]
    if any(str(value.dtype) == "torch.float16" for value in module.parameters()):
        shown.append('dtype="float16"')
    if name != "FixedBatchNormalization" and frozen(w, w.step.name, [n for n, _ in module.named_parameters()]):
        shown.append("trainable=False")
    label = w.step.name.split(".")[-1].lstrip("_")  # Keras allows no name that begins so
    if label and not label.isdigit():
        shown.append(f'name="{label}"')
    if name in OWN_NORMS:
        w.shared.helpers.add(name)
    name = name if name in OWN_NORMS else f"layers.{name}"
    text = f"{name}({', '.join([*([given[:-1]] if given else []), *shown])})"
    return Made([c for c in (before, text, after) if c], w.full(w.step.name))


def called(w: Writer, made: Made, x: Value) -> str:
    return f"{add(w, w.step, made)}({x.code})"


def with_start(w: Writer, made: Made) -> Made:
    """As the written module's own layer of this kind, whose first weights have torch's distribution."""
    place = next(n for n, c in enumerate(made.calls) if "Padding" not in c and "Cropping" not in c)
    made.calls[place] = made.calls[place].removeprefix("layers.")
    w.shared.helpers |= {"like_torch", made.calls[place].partition("(")[0]}
    return made


def as_tuple(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def spatial(w: Writer, x: Value, rank: int) -> Value:
    if x.rank != rank + 2:
        raise w.refuse("a layer over channels that is called without a batch axis has no correspondence")
    return w.in_layout(w.settle(w.made(x)), channels_last(rank + 2), _SAME_AS_BEFORE)


def without_learning(w: Writer, code: str, ids: Value, padding: int) -> Value:
    """The vectors `code` of these ids, of which that of the padding learns nothing."""
    name = w.fresh("vectors")
    w.lines.append(f"{name} = {code}")
    w.lines.append("# the row of the padding learns nothing")
    kept = f"ops.expand_dims({ids.code} != {padding}, -1)"
    return w.result(f"ops.where({kept}, {name}, ops.stop_gradient({name}))")
