"""The lines of `__init__`: layers, lists of them, parameters, what is shared and what is frozen."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from onnxpress.export.port import own_layers
from onnxpress.export.port.buffers import formula_of, in_torch
from onnxpress.export.port.code import call, literal, tuple_of
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block, Ref
from onnxpress.export.port.to_torch.layers import constructor
from onnxpress.export.port.to_torch.shared import Shared
from onnxpress.export.port.to_torch.tree import Node, Tree


def init_lines(tree: Tree, path: str, shared: Shared) -> list[str]:
    """Everything that the block's `__init__` says, in the order of the source."""
    lines = _lines(tree.root, path, shared)
    return [*lines, *_tied(tree, path, shared), *_frozen(tree, path, shared)]


def _lines(holder: Node, path: str, shared: Shared) -> list[str]:
    lines = []
    for name, node in holder.children.items():
        if isinstance(node.value, torch.Tensor):
            lines.append(_own(node, name, shared.full(path, node.path), shared))
            continue
        made = expression(node, path, shared)
        lines.append(f"self.{name} = {made}" if name.isidentifier() else f'self.add_module("{name}", {made})')
    return lines


def expression(node: Node, path: str, shared: Shared) -> str:
    """The expression that makes what lies at the node; `path` is that of the block that it is in."""
    where = shared.full(path, node.path)
    if isinstance(node.value, Block):
        return of_block(node.value, where, shared)
    if not node.holds:
        shared.keep(where, node.value)
        if own_layers.is_own(node.value):
            return call(shared.own(node.value), *own_layers.arguments(node.value))
        return constructor(node.value, where)
    if isinstance(node.value, nn.ParameterList) and node.is_list:
        tensors = [_parameter(child, shared.full(path, child.path), shared) for child in node.children.values()]
        return f"nn.ParameterList({_listed(tensors)})"
    if any(isinstance(child.value, torch.Tensor) for child in node.children.values()):
        return shared.space(type(node.value).__name__, _lines(node, path, shared))
    made = {name: expression(child, path, shared) for name, child in node.children.items()}
    if node.is_list:
        if isinstance(node.value, nn.Sequential):
            return _sequence(made)
        return f"nn.ModuleList({_listed(list(made.values()))})"
    if isinstance(node.value, nn.ModuleDict | nn.ModuleList | nn.Sequential):
        return "nn.ModuleDict({" + ", ".join(f'"{name}": {code}' for name, code in made.items()) + "})"
    return shared.space(type(node.value).__name__, _lines(node, path, shared))


def of_block(block: Block, where: str, shared: Shared) -> str:
    """Of a chain of layers `nn.Sequential(...)`, of another its class, called."""
    names = chain(block)
    if names is None:
        return f"{shared.block(block, where)}()"
    tree = Tree(block, where)
    made = {}
    for name in block.owner._modules:
        node = tree.root.children.get(names[name])
        if node is None:
            raise NoCorrespondence("a layer that nothing calls stands in a sequence", where=where)
        if name != names[name] and (isinstance(node.value, Block) or list(node.value.parameters())):
            raise NoCorrespondence(
                f"{names[name]} has weights and stands in a sequence twice", where=where, hint="call it in a forward"
            )
        made[name] = expression(node, where, shared)
    return _sequence(made)


def chain(block: Block) -> dict[str, str] | None:
    """Of an nn.Sequential that is called as a whole: each child's name → that of the layer called; else None."""
    owner = block.owner
    if not isinstance(owner, nn.Sequential) or type(owner).forward is not nn.Sequential.forward:
        return None
    steps = block.steps
    called = steps[1:-1]
    if (
        len(called) != len(owner)
        or not called
        or steps[0].kind != "input"
        or steps[-1].args != (Ref(called[-1].number),)
    ):
        return None
    for before, step in zip(steps, called, strict=False):
        if step.kind not in ("layer", "block") or step.args != (Ref(before.number),) or step.kwargs:
            return None
    names = dict(zip(owner._modules, (step.name for step in called), strict=True))
    same = all(owner._modules[name] is owner._modules.get(other) for name, other in names.items())
    return names if same and all(name in block.children for name in names.values()) else None


def _sequence(made: dict[str, str]) -> str:
    codes = list(made.values())
    if not all(name.isdigit() for name in made):
        if all(name.isidentifier() for name in made):
            return f"nn.Sequential(OrderedDict({', '.join(f'{name}={code}' for name, code in made.items())}))"
        pairs = ", ".join(f'("{name}", {code})' for name, code in made.items())
        return f"nn.Sequential(OrderedDict([{pairs}]))"
    if len(codes) > 2 and len(set(codes)) == 1:
        return f"nn.Sequential(*{_listed(codes)})"
    return f"nn.Sequential({', '.join(codes)})"


def _listed(codes: list[str]) -> str:
    if len(codes) > 1 and len(set(codes)) == 1:
        return f"[{codes[0]} for _ in range({len(codes)})]"
    return f"[{', '.join(codes)}]"


def _own(node: Node, name: str, where: str, shared: Shared) -> str:
    """A parameter, or a buffer, of the block's own."""
    if isinstance(node.value, nn.Parameter):
        return f"self.{name} = {_parameter(node, where, shared)}"
    shared.keep(where, node.value)
    return f'self.register_buffer("{name}", {_start(node.value, learns=False)})'


def _parameter(node: Node, where: str, shared: Shared) -> str:
    shared.keep(where, node.value)
    learns = where in shared.learning
    extra = "" if learns else ", requires_grad=False"
    return f"nn.Parameter({_start(node.value, learns=learns)}{extra})"


def _start(value: torch.Tensor, *, learns: bool) -> str:
    """What the tensor begins as: a constant, or noise of the same spread."""
    sizes = ", ".join(map(str, value.shape))
    kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    if not value.dim():
        return f"torch.tensor({literal(_short(value.item()))}{kind})"
    if value.is_floating_point() and value.numel() and bool((value == 1).all()):
        return f"torch.ones({sizes}{kind})"
    if learns and value.is_floating_point() and value.numel() and bool((value != 0).any()):
        first = value.flatten()[0]
        if bool((value == first).all()):
            return f"torch.full({tuple_of(map(str, value.shape))}, {literal(_short(first.item()))}{kind})"
        spread = float(f"{float(value.detach().double().std(correction=0)):.2g}")
        return f"{literal(spread)} * torch.randn({sizes}{kind})"
    formula = None if learns else formula_of(value.detach().cpu().numpy()) if _in_numpy(value) else None
    if formula is not None and formula.kind != "full":
        return in_torch(formula, tuple(value.shape), str(value.dtype))
    if formula is not None and formula.numbers[0]:
        return f"torch.full({tuple_of(map(str, value.shape))}, {literal(_short(formula.numbers[0]))}{kind})"
    return f"torch.zeros({sizes}{kind})"


def _in_numpy(value: torch.Tensor) -> bool:
    return value.dtype not in (torch.bfloat16, torch.complex64, torch.complex128)


def _short(value: float) -> float:
    """A float32 as it was meant: 0.1, not 0.10000000149."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _tied(tree: Tree, path: str, shared: Shared) -> list[str]:
    """`self.head.weight = self.table.weight`, of one parameter under two names that part in this block."""
    found = []
    for one, other in shared.tied.items():
        ends = [shared.within(path, name) for name in (other, one)]
        if None in ends or one not in shared.state or other not in shared.state:
            continue
        first, second = (end or "" for end in ends)
        if any(_is_within(first, p) and _is_within(second, p) and chain(b) is None for p, b in tree.blocks()):
            continue
        found.append(f"{tree.member(second)} = {tree.member(first)}")
    return found


def _is_within(name: str, path: str) -> bool:
    return name.startswith(f"{path}.")


def _frozen(tree: Tree, path: str, shared: Shared) -> list[str]:
    """`self.conv.requires_grad_(False)` of what training leaves alone, said as far out as it holds."""
    learns = shared.learns(path)
    if len(learns) == 1 and True not in learns:
        return [] if path else ["self.requires_grad_(False)"]
    return [f"{tree.member(name)}.requires_grad_(False)" for name in _frozen_within(tree.root, path, shared)]


def _frozen_within(holder: Node, path: str, shared: Shared) -> Iterator[str]:
    for node in holder.children.values():
        where = shared.full(path, node.path)
        if isinstance(node.value, torch.Tensor):
            continue
        learns = shared.learns(where)
        if False not in learns:
            continue
        if True not in learns:
            yield node.path
        elif node.holds:
            yield from _frozen_within(node, path, shared)
        elif isinstance(node.value, Block):
            if chain(node.value) is not None:
                inner = Tree(node.value, where).root
                yield from (f"{node.path}.{name}" for name in _frozen_within(inner, where, shared))
        else:
            names = [f"{where}.{name}" for name, _ in node.value.named_parameters()]
            left = [name for name in names if name not in shared.learning and name not in shared.settled]
            yield from (f"{node.path}{name.removeprefix(where)}" for name in left)
