"""One block as a class of torch: its layers in `__init__`, its steps in `forward`."""

from __future__ import annotations

from typing import Any

from onnxpress.export.port.code import identifier
from onnxpress.export.port.layout import Value
from onnxpress.export.port.steps import Block, Ref, Shown, Step, changed, renumbered, without_dead
from onnxpress.export.port.to_torch import functions
from onnxpress.export.port.to_torch.tree import Tree
from onnxpress.export.port.to_torch.writer import StepWriter, Term

_NAMED = ("max", "min", "sort", "topk", "median", "mode", "cummax", "cummin")


class BlockWriter(StepWriter):
    """Writes the forward of one block, at `path` from the model on."""

    def __init__(self, block: Block, path: str) -> None:
        super().__init__(_merged(block), path)
        self.tree = Tree(self.block, path)
        self.arguments: list[str] = []
        self.outputs: Any = None

    def write(self) -> None:
        """All steps."""
        for step in self.block.steps:
            self.step = step
            if step.kind == "input":
                name = self.fresh(identifier(step.name))
                self.arguments.append(name)
                self.values[step.number] = self.term(name)
                continue
            args, kwargs = changed(step.args, self._read), changed(step.kwargs, self._read)
            if step.kind == "output":
                self.outputs = args[0]
                break
            if step.kind == "parameter":
                found = self.term(self.tree.member(step.name))
                found.parameter = step.name
                self.values[step.number] = found
                continue
            self.reads(step)
            found = self._computed(step, args, kwargs)
            if step.comment:
                self.lines.append(f"# {step.comment}")
            if found.parts is None and _is_several(step.shown):
                self._unpack(step, found)
                continue
            self.values[step.number] = self.bind(found, step)

    def _computed(self, step: Step, args: Any, kwargs: dict[str, Any]) -> Term:
        if step.kind == "function":
            parts = args[0].parts if step.name == "getitem" and isinstance(args[0], Term) else None
            if parts is not None:
                return self._part(parts, args[1])
            return functions.written(self, step.name, args, kwargs)
        given = [functions.argument(self, arg) for arg in args]
        given += [f"{name}={functions.argument(self, value)}" for name, value in kwargs.items()]
        return self.term(f"{self.tree.member(step.name)}({', '.join(given)})")

    def _part(self, parts: list[Any], index: Any) -> Term:
        found = parts[index]
        if found is None:
            raise self.refuse("a part is read that the code does not keep")
        if found.code.isidentifier():
            self.names[found.code] = self.step.number
        return Term(found.code, found.shown, parts=found.parts)

    def _unpack(self, step: Step, found: Term) -> None:
        """`states, (hidden, _) = self.lstm(x)`: the parts that something reads get a name."""
        readers = [s for s in self.block.steps if Ref(step.number) in _all(s)]
        if not readers or not all(_is_piece(s) for s in readers):
            self.values[step.number] = self.bind(found, step)
            return
        is_bare = step.kind == "function" and step.name != "pad_packed_sequence"
        if len(readers) == 1 and is_bare and not isinstance(readers[0].shown, tuple):
            place = readers[0].args[1]
            named = (".values", ".indices")[place] if step.name in _NAMED else f"[{place}]"
            found.code = functions.operand(found) + named
            only: list[Any] = [None] * len(step.shown)
            only[place] = Term(found.code, readers[0].shown)
            self._held[step.number] = self._read_now
            for number in self._read_now:
                self.left[number] += 1
            self.values[step.number] = Term(found.code, step.shown, parts=only)
            return
        targets, parts = self._targets(step)
        self.lines.append(f"{targets} = {found.code}")
        self.values[step.number] = Term("", step.shown, parts=parts)

    def _targets(self, step: Step) -> tuple[str, list[Any]]:
        readers = {s.args[1] % len(step.shown): s for s in self.block.steps if Ref(step.number) in _all(s)}
        codes: list[str] = []
        parts: list[Any] = []
        for place, shown in enumerate(step.shown):
            reader = readers.get(place)
            if reader is None:
                codes.append("_")
                parts.append(None)
                continue
            inner = [s for s in self.block.steps if Ref(reader.number) in _all(s)]
            if isinstance(shown, tuple) and inner and all(_is_piece(s) for s in inner):
                code, several = self._targets(reader)
                codes.append(f"({code})")
                parts.append(Term("", shown, parts=several))
                continue
            wanted = reader.variables[0] if reader.variables else _default_name(self, step, place)
            name = self.fresh(identifier(wanted))
            codes.append(name)
            parts.append(Term(name, shown))
        return (f"{codes[0]}," if len(codes) == 1 else ", ".join(codes)), parts

    def _bound(self, value: Value, step: Step) -> Value:
        if value.parts is not None or self.names.get(value.code) == step.number:
            return value
        if step.kind == "function" and step.name == "size" and not step.variables and self.left.get(step.number, 0) > 1:
            name = self.fresh("batch" if step.args[1] == 0 else f"size_{step.args[1]}")
            self.lines.append(f"{name} = {value.code}")
            return Term(name, value.shown)
        if step.kind in ("layer", "block") and self.left.get(step.number, 0) and self._is_turn(step):
            name = self._variable(step)
            self.lines.append(f"{name} = {value.code}")
            return Term(name, value.shown)
        found = super()._bound(value, step)
        return Term(found.code, found.shown) if found.bare and found.code.isidentifier() else found

    def _is_turn(self, step: Step) -> bool:
        """Whether it calls an item of a list, and the answer is not one of what is joined or stacked."""
        readers = [s for s in self.block.steps if Ref(step.number) in _all(s)]
        joins = len(readers) == 1 and readers[0].kind == "function" and readers[0].name in ("cat", "stack")
        return self.tree.is_item(step.name) and not joins

    def _read(self, value: Any) -> Any:
        return self.values[value.number] if isinstance(value, Ref) else value


def _is_several(shown: Any) -> bool:
    return isinstance(shown, tuple) and any(isinstance(one, Shown | tuple) for one in shown)


def _all(step: Step) -> list[Any]:
    """The Refs of a step's arguments that stand by themselves, and those within."""
    found: list[Any] = []
    changed((step.args, step.kwargs), found.append)
    return found


def _is_piece(step: Step) -> bool:
    return step.kind == "function" and step.name == "getitem" and type(step.args[1]) is int


_PARTS = {
    "sort": ("values", "order"),
    "topk": ("values", "places"),
    "pad_packed_sequence": ("states", "lengths"),
}


def _default_name(w: BlockWriter, step: Step, place: int) -> str:
    if step.kind == "function" and step.name == "getitem" and isinstance(step.args[0], Ref):
        source = next((s for s in w.block.steps if s.number == step.args[0].number), step)
        if type(w.block.children.get(source.name)).__name__ in ("LSTM", "LoopedLSTM"):
            return ("hidden", "cell")[place]
    if step.kind == "function" and step.name in _PARTS:
        return _PARTS[step.name][place]
    kind = type(w.block.children.get(step.name)).__name__
    if kind in ("LSTM", "GRU", "RNN", "LoopedLSTM", "ResetBeforeGRU"):
        return ("states", "hidden")[place] if isinstance(step.shown, tuple) else "states"
    if kind == "MultiheadAttention":
        return ("x", "scores")[place]
    return f"part_{place}"


def _merged(block: Block) -> Block:
    """Of steps that read the same piece, size or parameter only the first, under all their names."""
    first: dict[Any, Step] = {}
    instead: dict[int, int] = {}
    steps = []
    for step in block.steps:
        step = renumbered(step, instead)
        is_read = step.kind == "parameter" or (step.kind == "function" and (_is_piece(step) or step.name == "size"))
        key = (step.kind, step.name, step.args) if is_read else None
        if key is not None and key in first:
            same = first[key]
            instead[step.number] = same.number
            same.variables += tuple(v for v in step.variables if v not in same.variables)
            continue
        if key is not None:
            first[key] = step
        steps.append(step)
    return Block(block.owner, without_dead(steps), block.children, block.where)
