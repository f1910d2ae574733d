"""Layers of a functional model grouped into blocks, where their names repeat: `conv2_block1_…` is one, and `block_3_…`.

A person writes such a model with a function for one block, which the graph does not tell. What it tells is that the
same calls stand under one prefix after the other.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Sequence

from torch import nn

from onnxpress.export.port.code import identifier
from onnxpress.export.port.from_keras.shared import Shared
from onnxpress.export.port.steps import Block, Ref, Step, refs, renumbered

_FEWEST_SAVED = 6
"""steps that need not be written again, from which on blocks are worth their classes"""


def grouped(block: Block, shared: Shared) -> Block:
    """The model with its repeated blocks as blocks, the names of what they hold changed in `shared` too."""
    while (groups := _best(block)) is not None:
        for prefix, members in groups.items():
            block = _with_group(block, prefix, members, shared)
    return block


def _best(block: Block) -> dict[str, set[int]] | None:
    """The prefixes of one kind that save the most steps, with their steps."""
    found: dict[str, dict[str, set[int]]] = defaultdict(dict)
    layers: dict[str, int] = defaultdict(int)
    for step in block.steps:
        for prefix in _prefixes(_called(step)):
            found[_kind(prefix)].setdefault(prefix, set()).add(step.number)
            layers[prefix] += step.kind in ("layer", "block")
    best: tuple[int, dict[str, set[int]]] = (_FEWEST_SAVED - 1, {})
    for by_prefix in found.values():
        groups = {
            prefix: whole
            for prefix, members in by_prefix.items()
            if layers[prefix] > 1
            and (whole := _closed(block.steps, members)) is not None
            and not any(whole & others for other, others in by_prefix.items() if other != prefix)
        }
        every = [number for whole in groups.values() for number in whole]
        if len(groups) < 2:
            continue
        forms = {_form(block.steps, whole) for whole in groups.values()}
        saved = len(every) - sum(map(len, forms)) - len(groups)
        best = max(best, (saved, groups), key=lambda one: one[0])
    return best[1] or None


def _called(step: Step) -> str:
    """What Keras calls the layer that the step is of."""
    return step.where.rpartition(", ")[2] if step.kind in ("layer", "block", "function") else ""


def _prefixes(name: str) -> list[str]:
    """Beginnings of the name that end with a number, or a number and a letter."""
    parts = name.split("_")
    each = ["_".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [prefix for prefix in each if re.search(r"\d[a-z]?$", prefix) and re.match(r"[a-zA-Z]", prefix)]


def _kind(prefix: str) -> str:
    return re.sub(r"\d+(?:[a-z](?=_|$))?", "#", prefix)


def _closed(steps: Sequence[Step], members: set[int]) -> set[int] | None:
    """The steps with what lies between them; None where that is another's, or more than one of them is read outside."""
    behind, before = set(members), set(members)
    for step in steps:
        if any(ref.number in behind for ref in refs((step.args, step.kwargs))):
            behind.add(step.number)
    for step in reversed(steps):
        if step.number in before:
            before |= {ref.number for ref in refs((step.args, step.kwargs))}
    found = behind & before
    if any(step.kind not in ("layer", "block", "function") for step in steps if step.number in found):
        return None
    found |= _own_tensors(steps, found)
    outside = [step for step in steps if step.number not in found]
    read = {ref.number for step in outside for ref in refs((step.args, step.kwargs))} & found
    called = {step.name for step in steps if step.number in found and step.kind in ("layer", "block")}
    if len(read) != 1 or any(step.name in called for step in outside if step.kind in ("layer", "block")):
        return None
    given = {ref.number for step in steps if step.number in found for ref in refs((step.args, step.kwargs))} - found
    tensors = {step.number for step in steps if isinstance(getattr(step.shown, "first", None), tuple)}
    return found if 1 <= len(given) <= 2 and given | read <= tensors else None


def _own_tensors(steps: Sequence[Step], members: set[int]) -> set[int]:
    """The parameters and buffers that nothing else reads, by any step."""
    readers: dict[str, set[int]] = defaultdict(set)
    names = {step.number: step.name for step in steps if step.kind == "parameter"}
    for step in steps:
        for ref in refs((step.args, step.kwargs)):
            if ref.number in names:
                readers[names[ref.number]].add(step.number)
    return {number for number, name in names.items() if readers[name] and readers[name] <= members}


def _form(steps: Sequence[Step], members: set[int]) -> tuple[str, ...]:
    """What the steps are, without their sizes."""
    return tuple(step.name if step.kind == "function" else step.kind for step in steps if step.number in members)


def _with_group(block: Block, prefix: str, members: set[int], shared: Shared) -> Block:
    """The block with these steps as one."""
    inside = [step for step in block.steps if step.number in members]
    outside = [step for step in block.steps if step.number not in members]
    read = {ref.number for step in outside for ref in refs((step.args, step.kwargs))}
    (answer,) = (step for step in inside if step.number in read)
    taken = list(dict.fromkeys(r.number for s in inside for r in refs((s.args, s.kwargs)) if r.number not in members))
    by_number = {step.number: step for step in block.steps}
    number = max(by_number) + 1
    renamed = {old: number + 1 + place for place, old in enumerate(taken)}
    inputs = [
        Step(renamed[old], "input", name, shown=by_number[old].shown)
        for old, name in zip(taken, ("x", "y"), strict=False)
    ]
    attribute = _free(identifier(prefix), block)
    inner = Block(type(_class_name(prefix), (nn.Module,), {})(), [], {}, attribute)
    paths = _moved(block, inner, inside, attribute, prefix)
    _rename(shared, paths)
    last = Step(number + 1 + len(taken), "output", "", (Ref(answer.number),))
    body = [renumbered(step, renamed) for step in inside]
    for step in body:
        if step.kind != "function":
            step.name = paths[step.name].rpartition(".")[2]
    inner.steps = [*inputs, *body, last]
    where = f"{answer.where.partition(', ')[0]}, {prefix}"
    called = Step(number, "block", attribute, tuple(map(Ref, taken)), {}, answer.shown, where=where)
    steps: list[Step] = []
    for step in block.steps:
        if step is answer:
            steps.append(called)
        elif step.number not in members:
            steps.append(renumbered(step, {answer.number: number}))
    return dataclasses.replace(block, steps=steps, children={**block.children, attribute: inner})


def _moved(block: Block, inner: Block, inside: list[Step], attribute: str, prefix: str) -> dict[str, str]:
    """Put what the steps call and read from one module into the other; old name → new path."""
    owner, holder = block.owner, inner.owner
    paths: dict[str, str] = {}
    for step in inside:
        if step.kind == "function" or step.name in paths:
            continue
        name = _free(_shortened(step.name, prefix), inner)
        paths[step.name] = f"{attribute}.{name}"
        if step.kind == "parameter":
            held = getattr(owner, step.name)
            delattr(owner, step.name)
            if isinstance(held, nn.Parameter):
                holder.register_parameter(name, held)
            else:
                holder.register_buffer(name, held)
            continue
        inner.children[name] = block.children.pop(step.name)
        module = owner._modules[step.name]
        modules = [(attribute, holder) if one == step.name else (one, kept) for one, kept in owner._modules.items()]
        owner._modules.clear()
        owner._modules.update(modules)  # the block stands where its first layer stood
        holder.add_module(name, module)
    return paths


def _rename(shared: Shared, paths: dict[str, str]) -> None:
    """The same names in what is known of the whole model."""

    def new(name: str) -> str:
        first, dot, rest = name.partition(".")
        return f"{paths.get(first, first)}{dot}{rest}"

    shared.renamed |= paths
    shared.carried[:] = [dataclasses.replace(one, name=new(one.name)) for one in shared.carried]
    shared.starts = {new(path): lines for path, lines in shared.starts.items()}
    shared.constants = {new(name) for name in shared.constants}
    shared.differences = [new(text.partition(":")[0]) + "".join(text.partition(":")[1:]) for text in shared.differences]


def _shortened(name: str, prefix: str) -> str:
    """`conv_1` of `conv2_block1_1_conv` in `conv2_block1`; `conv_dw` of `conv_dw_1` in that."""
    rest = name.removeprefix(f"{prefix}_") if name != prefix else re.sub(r"_?\d+[a-z]?$", "", prefix)
    match = re.fullmatch(r"(\d+)_(.+)", rest)
    return identifier(f"{match[2]}_{match[1]}" if match else rest)


def _free(name: str, block: Block) -> str:
    while hasattr(block.owner, name) or name in block.children:
        name += "_"
    return name


def _class_name(prefix: str) -> str:
    """`ConvBlock` of `conv2_block1`."""
    words = [re.sub(r"\d+[a-z]?$", "", word) for word in prefix.split("_")]
    return "".join(word[:1].upper() + word[1:] for word in words) or "Block"
