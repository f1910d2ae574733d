"""A whole model as one module of Keras code: its classes, its builder, and where every weight comes from."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.port.classes import merged
from onnxpress.export.port.code import LOWEST, formatted, literal, snake, tuple_of, without_unread, without_unused
from onnxpress.export.port.layout import Relaid, Unordered, Value, channels_last, holds_tensors, identity
from onnxpress.export.port.loops import folded, listed, said_once, without_aliases
from onnxpress.export.port.steps import Block, Shown
from onnxpress.export.port.to_keras import functions, layers, parameters
from onnxpress.export.port.to_keras.making import member
from onnxpress.export.port.to_keras.own_functions import HELPERS, LIKE_TORCH
from onnxpress.export.port.to_keras.own_norms import OWN_NORMS
from onnxpress.export.port.to_keras.padding import Padding
from onnxpress.export.port.to_keras.precision import in_precision
from onnxpress.export.port.to_keras.shapes import answers_of, axes_of
from onnxpress.export.port.to_keras.writer import Carried, Writer, Written, is_sequence


@dataclass
class Code:
    """The written module."""

    text: str
    name: str
    """of the model's class"""
    carried: list[Carried]
    inputs: list[tuple[int, ...]]
    """the layout of each input: which of the source's axes lies at each place"""
    outputs: Any
    """of each output, in the structure in which they are answered"""
    transposes: int
    sequence: bool
    """whether the model is a keras.Sequential itself"""
    constants: frozenset[str]
    """the source's values that stand in the code as numbers"""


@dataclass
class _Shared:
    """What all blocks of one model know, and who writes their steps."""

    function = staticmethod(functions.written)
    layer = staticmethod(layers.layer)
    child = staticmethod(layers.block)
    weight_lines = staticmethod(parameters.weight_lines)
    weight_of_layer = staticmethod(parameters.weight_of_layer)

    state: dict[str, Array]
    learning: frozenset[str]
    tied: dict[str, str]
    """a parameter's other names → the one that `state` has"""
    settled: set[Any]
    padding: Padding
    """which convolutions pad by a layer of their own"""
    dtype: str = "float32"
    """of every float parameter, if it is float64"""
    fills: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    """a step that makes a tensor of one number → the order of axes that it is wanted in"""
    transposes: int = 0
    helpers: set[str] = field(default_factory=set)
    """the functions of `own_functions.HELPERS` that the code calls"""
    classes: dict[str, list[str]] = field(default_factory=dict)
    """class name → lines"""
    bases: dict[str, str] = field(default_factory=dict)
    """class name → the same without a number behind it"""
    constants: set[str] = field(default_factory=set)

    def is_wide(self, given: list[Value]) -> bool:
        """Whether it takes float64 that Keras would cast to its own precision."""
        kinds = [one.shown.dtype for one in given if isinstance(one.shown, Shown)]
        return self.dtype == "float32" and "float64" in kinds

    def block(self, block: Block, given: list[Value], path: str) -> Written:
        """The class of a block, one for all that are written alike; a plain sequence has none."""
        import keras

        writer = Writer(block, given, path, self)
        written = writer.write()
        _with_layers(writer, written)
        if written.items is not None:
            return written
        if not any(one.number is None for one in given):
            written.init.append("self.built = True")  # it is not called as a layer, which would say so
        base = type(block.owner).__name__.lstrip("_") or "Block"
        if base in dir(keras):  # as Sequential: called as the attribute is, `down` as Down
            own = [part for part in path.split(".") if not part.isdigit()]
            base = "".join(word.capitalize() for word in own[-1].split("_")) if own else f"{base}Block"
        if base in HELPERS:
            base += "Block"
        body = _body(written, "layers.Layer", wide=self.is_wide(given))
        for name in itertools.chain([base], (f"{base}{n}" for n in itertools.count(2))):
            lines = [line.replace("\0", name) for line in body]
            if self.classes.setdefault(name, lines) == lines:
                break
        self.bases[name] = base
        written.name = name
        return written


def _expressions(made: Any, name: str) -> list[str]:
    """The constructor calls that one layer of the source came to."""
    if not isinstance(made, Written):
        return list(made.calls)
    name = name.lstrip("_")
    label = "" if not name or name.isdigit() else f'name="{name}"'
    if made.items is None:
        return [f"{made.name}({label})"]
    return [f"keras.Sequential([{', '.join(made.items)}]{', ' + label if label else ''})"]


def _weights(made: Any, several: bool) -> list[Carried]:
    """Its weights, from the layer on; of several calls each after its place."""
    if isinstance(made, Written):
        return made.carried
    return [
        Carried((*((number,) if several else ()), *one.path), one.sources, one.carry, one.several)
        for number, one in made.carried
    ]


def _with_layers(writer: Writer, written: Written) -> None:
    """All layers that were written: as a sequence, or in `__init__`."""
    if is_sequence(writer):
        written.items, written.carried = _sequence(writer)
    else:
        _place_all(writer, written)


def _sequence(writer: Writer) -> tuple[list[str], list[Carried]]:
    items: list[str] = []
    carried: list[Carried] = []
    for path, made in writer.items.items():
        several = not isinstance(made, Written)
        for one in _weights(made, several):
            head, *rest = one.path if several else (0, *one.path)
            carried.append(Carried((len(items) + int(head), *rest), one.sources, one.carry, one.several))
        items += _expressions(made, path.split(".")[-1])
    return items, carried


def _place_all(writer: Writer, written: Written) -> None:
    """The lines of `__init__` for all layers, lists of equal ones folded."""
    lines: list[str] = []
    done: set[str] = set()
    for line in writer.init:
        if isinstance(line, str):
            lines.append(line)
            continue
        path = line[0]
        attribute = writer.attribute(path)
        if len(attribute) == 1:
            lines.append(f"self.{attribute[0]} = {_one(writer.items[path], path)}")
        elif attribute[0] not in done:
            done.add(str(attribute[0]))
            paths = sorted(
                (p for p in writer.items if writer.attribute(p)[0] == attribute[0]),
                key=lambda p: int(p.rpartition(".")[2]),
            )
            codes = [_one(writer.items[p], p) for p in paths]
            if len(codes) > 1 and len(set(codes)) == 1:
                lines.append(f"self.{attribute[0]} = [{codes[0]} for _ in range({len(codes)})]")
            else:
                lines.append(f"self.{attribute[0]} = [{', '.join(codes)}]")
    lines += [
        f"{member(writer.attribute(path))}.build({shape})  # its weight is read before it is called"
        for path, shape in writer.read_early.items()
    ]
    for path, made in writer.items.items():
        several = not isinstance(made, Written) and len(made.calls) > 1
        for one in _weights(made, several):
            written.carried.append(Carried((*writer.attribute(path), *one.path), one.sources, one.carry, one.several))
    written.init = lines
    written.counts = dict(Counter(str(writer.attribute(path)[0]) for path in writer.items))
    written.call = folded(written.call, written.counts)


def _one(made: Any, path: str) -> str:
    calls = _expressions(made, path.rpartition(".")[2])
    return calls[0] if len(calls) == 1 else f"keras.Sequential([{', '.join(calls)}])"


def written(
    block: Block,
    specs: list[TensorSpec],
    state: dict[str, Array],
    learning: frozenset[str],
    tied: dict[str, str],
    title: str,
    weights: str,
    *,
    keep: bool = False,
) -> Code:
    """The model's code, its inputs in the layout that leaves the fewest transposes. Raises NoCorrespondence.

    With `keep` inputs and answers have the source's order of axes, and the code moves data where a layer needs another.
    """
    shown = [step.shown for step in block.steps if step.kind == "input"]
    choices = []
    for one in shown:
        ways = [identity(one.rank)]
        if keep:
            choices.append(ways)
            continue
        if one.rank >= 3:
            ways.append(channels_last(one.rank))
        if one.rank == 3:
            ways.append((1, 0, 2))
        if one.rank == 5:
            ways.append(channels_last(5, 2))  # images one after the other
        choices.append(ways)
    best: tuple[_Shared, Written, Any] | None = None
    for perms in itertools.islice(itertools.product(*choices), 16):
        if any(perm[0] != 0 and "batch" in spec.shape[:1] for perm, spec in zip(perms, specs, strict=True)):
            continue
        found = _settled(block, shown, perms, state, learning, tied, keep=keep)
        if best is None or found[0].transposes < best[0].transposes:
            best = (*found, perms)
    assert best is not None
    shared, done, perms = best
    name = type(block.owner).__name__.lstrip("_")
    name = "Network" if name in ("Sequential", "Module") else name
    while name in shared.classes or name in HELPERS:
        name += "Model"
    text = _module(name, shared, done, specs, shown, perms, title, weights)
    return Code(
        text,
        name,
        done.carried,
        list(perms),
        _layouts(done.outputs),
        shared.transposes,
        done.items is not None,
        frozenset(shared.constants),
    )


def _settled(
    block: Block, shown: list[Shown], perms: Any, state: Any, learning: Any, tied: Any, *, keep: bool
) -> tuple[_Shared, Written]:
    settled: set[Any] = set()
    fills: dict[Any, tuple[int, ...]] = {}
    padding = Padding(block.owner)
    while True:
        padding.begin()
        kinds = {str(value.dtype) for value in state.values() if value.dtype.kind == "f"}
        dtype = "float64" if kinds == {"float64"} else "float32"
        shared = _Shared(state, learning, tied, settled, padding, dtype, fills)
        given = [Value("", one, perm) for one, perm in zip(shown, perms, strict=True)]
        writer = Writer(block, given, "", shared)
        try:
            done = writer.write()
            done.outputs = writer.outputs = _ended(writer, done.outputs, keep=keep)
            _with_layers(writer, done)
        except Relaid as error:
            fills[error.place] = error.perm
            continue
        except Unordered as error:
            settled.add(error.place)
            continue
        if padding.is_one_form():
            return shared, done


def _ended(writer: Writer, outputs: Any, *, keep: bool) -> Any:
    """The model's answers: in the source's order of axes, but for channels that come last, if they may."""
    if isinstance(outputs, Value):
        if outputs.parts is not None:
            return tuple(_ended(writer, part, keep=keep) for part in outputs.parts if part is not None)
        outputs = writer.made(writer.settle(outputs))
        last = channels_last(outputs.rank) if outputs.rank > 2 and not keep else None
        if outputs.perm not in (identity(outputs.rank), last):
            outputs = writer.plain(outputs)
        return outputs
    if isinstance(outputs, tuple):
        return tuple(_ended(writer, part, keep=keep) for part in outputs if part is not None)
    if isinstance(outputs, dict):
        return {key: _ended(writer, part, keep=keep) for key, part in outputs.items() if part is not None}
    raise writer.refuse(f"an answer that is {type(outputs).__name__} has no correspondence")


def _layouts(outputs: Any) -> Any:
    if isinstance(outputs, Value):
        return outputs.perm
    if isinstance(outputs, dict):
        return {key: _layouts(part) for key, part in outputs.items()}
    return [_layouts(part) for part in outputs]


def _returned(outputs: Any) -> str:
    if isinstance(outputs, Value) and outputs.parts is not None:
        outputs = tuple(outputs.parts)
    if isinstance(outputs, Value):
        return outputs.code
    if isinstance(outputs, dict):
        return "{" + ", ".join(f"{literal(key)}: {_returned(part)}" for key, part in outputs.items()) + "}"
    if isinstance(outputs, tuple):
        kept = [part for part in outputs if holds_tensors(part)]
        return tuple_of(map(_returned, kept)) if len(kept) > 1 else _returned(kept[0])
    return repr(outputs)


def _body(written: Written, base: str, doc: str = "", *, wide: bool = False) -> list[str]:
    """The statements of a class, each in one line, its name as \\0. `wide`: its inputs are not cast."""
    lines = [f"class \0({base}):"]
    if doc:
        lines += [f'    """{doc}"""', ""]
    if written.init or wide:
        own = "autocast=False, **options" if wide else "**options"
        lines += ["    def __init__(self, **options):", f"        super().__init__({own})"]
        lines += [*(" " * 8 + line for line in written.init), ""]
    lines += [f"    def call({', '.join(['self', *written.arguments])}):"]
    returned = listed(_returned(written.outputs), written.counts)
    call = folded(without_unused(written.call, returned), written.counts)  # what is called `_` now may make a loop
    call = without_unread(said_once(without_aliases(call, returned)), returned)
    if call and call[-1].startswith(f"{returned} = "):
        returned = call.pop().removeprefix(f"{returned} = ")
    lines += [" " * 8 + line for line in call]
    if returned.startswith("(") and isinstance(written.outputs, tuple) and sum(map(holds_tensors, written.outputs)) > 1:
        returned = returned[1:-1]
    return [*lines, f"        return {returned}"]


def _named(line: str) -> str:
    """The line with a name for the lowest float32, which hides scores in many sources."""
    return line.replace("-3.4028234663852886e+38", LOWEST).replace(LOWEST, "LOWEST")


def _module(
    name: str,
    shared: _Shared,
    done: Written,
    specs: list[TensorSpec],
    shown: list[Shown],
    perms: Any,
    title: str,
    weights: str,
) -> str:
    parts = [text for helper, text in HELPERS.items() if helper in shared.helpers]
    classes = {label: [_named(line) for line in lines] for label, lines in shared.classes.items()}
    items = [_named(item) for item in done.items or ()]
    own_layers = [*classes, *LIKE_TORCH, "ProjectedLSTMCell", *OWN_NORMS]
    if shared.dtype != "float32":
        items = [in_precision(item, own_layers, shared.dtype) for item in items]
    wide = shared.dtype == "float32" and any(spec.dtype == "float64" for spec in specs)
    own = (
        []
        if done.items is not None
        else _body(
            done,
            "keras.Model",
            f"{axes_of(done.arguments, specs, perms)} → {answers_of(done.outputs, specs, shown)}.",
            wide=wide,
        )
    )
    own = [_named(line) for line in own]
    if shared.dtype != "float32":
        own = [in_precision(line, own_layers, shared.dtype) for line in own]
        classes = {n: [in_precision(line, own_layers, shared.dtype) for line in lines] for n, lines in classes.items()}
    merged(classes, [items, own], shared.bases)
    parts += ["\n".join(lines) for lines in classes.values()]
    inputs = []
    for spec, perm, argument in zip(specs, perms, done.arguments, strict=True):
        sizes = tuple(None if isinstance(spec.shape[a], str) else spec.shape[a] for a in perm)[1:]
        dtype = "" if spec.dtype == "float32" else f', dtype="{spec.dtype}"'
        taken = any(f'name="{argument}"' in item for item in items)  # within one model no two have the same name
        called = "" if taken else f', name="{argument}"'
        inputs.append(f"keras.Input({literal(sizes)}{dtype}{called})")
    builder = [
        "def build():",
        '    """The model as it is before training; `load_weights` takes the file beside it."""',
    ]
    if done.items is not None:
        builder.append(f"    return keras.Sequential([{', '.join([*inputs, *items])}])")
    else:
        parts.append("\n".join(line.replace("\0", name) for line in own))
        for argument, made in zip(done.arguments, inputs, strict=True):
            builder.append(f"    {argument} = {made}")
        called = ", ".join(done.arguments)
        given = called if len(done.arguments) == 1 else f"[{called}]"
        whole = f'{name}(name="{snake(name)}_model")' if snake(name) in done.arguments else f"{name}()"
        if shared.dtype != "float32":
            whole = in_precision(whole, [name], shared.dtype)
        builder.append(f"    return keras.Model({given}, {whole}({called}))")
    text = "\n\n\n".join([*parts, "\n".join(builder)]) + "\n"
    head = f'"""{title}\n\nbuild().load_weights("{weights}") is the trained model.\n"""\n'
    imported = [n for n in ("layers", "ops") if f"{n}." in text]
    lines = ["import math", ""] if "math." in text else []
    lines += ["import keras"] + ([f"from keras import {', '.join(imported)}"] if imported else [])
    lowest = f"\nLOWEST = {LOWEST}  # of float32\n" if "LOWEST" in text else ""
    return formatted(f"{head}\n" + "\n".join(lines) + "\n" + lowest + "\n\n" + text)
