"""Where a block's layers and parameters lie: how they are called in `forward`, and in which order they are made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.steps import Block

LISTS = nn.ModuleList | nn.Sequential | nn.ParameterList


@dataclass
class Node:
    """A layer, a Block, a tensor of the block's own, or what holds several of them."""

    path: str
    value: Any
    """nn.Module, Block or torch.Tensor; of what holds several the module"""
    children: dict[str, Node] = field(default_factory=dict)
    """by name, where it holds several"""
    holds: bool = False

    @property
    def name(self) -> str:
        """Its name in what it lies in."""
        return self.path.rpartition(".")[2]

    @property
    def is_list(self) -> bool:
        """Whether it is a list without gaps."""
        return isinstance(self.value, LISTS) and list(self.children) == [str(n) for n in range(len(self.children))]


class Tree:
    """All that one block calls or reads, as a tree of paths; `where` is the block's own path."""

    def __init__(self, block: Block, where: str) -> None:
        self._block, self._where = block, where
        self.root = Node("", block.owner, holds=True)
        for path, child in block.children.items():
            self._add(path, child)
        for step in block.steps:
            if step.kind == "parameter":
                self._add_parameter(step.name)
        self._put_in_order(self.root)
        self._gaps = {n.path for n in _all(self.root) if n.holds and isinstance(n.value, LISTS) and not n.is_list}

    def member(self, path: str) -> str:
        """`self.blocks[0].attention`."""
        module, code, before = self._block.owner, "self", ""
        for part in path.split("."):
            if isinstance(module, nn.ModuleDict) or before in self._gaps:
                code += f'["{part}"]'
            elif isinstance(module, LISTS) and part.isdigit():
                code += f"[{part}]"
            else:
                code += f".{part}" if part.isidentifier() else f'.get_submodule("{part}")'
            module = getattr(module, part, None)
            before = f"{before}.{part}" if before else part
        return code

    def is_item(self, path: str) -> bool:
        """Whether it is one of a list."""
        return path.rpartition(".")[2].isdigit() and path.rpartition(".")[0] not in self._gaps

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """The Blocks in it, by path."""
        return ((path, child) for path, child in self._block.children.items() if isinstance(child, Block))

    def counts(self) -> dict[str, int]:
        """How many each list of the block has."""
        return {node.path: len(node.children) for node in self.root.children.values() if node.holds and node.is_list}

    def _add(self, path: str, value: Any) -> None:
        node, before = self.root, ""
        *parents, name = path.split(".")
        for part in parents:
            before = f"{before}.{part}" if before else part
            known = node.children.get(part)
            if known is None:
                known = node.children[part] = Node(before, self._block.owner.get_submodule(before), holds=True)
            if not known.holds:
                return  # it lies in a layer that is there
            node = known
        node.children.setdefault(name, Node(path, value))

    def _add_parameter(self, path: str) -> None:
        module: Any = self._block.owner
        parts = path.split(".")
        for number, part in enumerate(parts):
            module = getattr(module, part, None)
            before = ".".join(parts[: number + 1])
            if before in self._block.children:
                return
            kind = type(module)
            if isinstance(module, nn.Module) and getattr(nn, kind.__name__, None) is kind and not _is_holder(module):
                self._add(before, module)
                return
        if not isinstance(module, torch.Tensor):
            raise NoCorrespondence(f"{path} is no tensor", where=self._where or None)
        self._add(path, module)

    def _put_in_order(self, node: Node) -> None:
        names = [*node.value._parameters, *node.value._buffers, *node.value._modules]
        last = len(names)
        node.children = dict(
            sorted(node.children.items(), key=lambda item: names.index(item[0]) if item[0] in names else last)
        )
        for child in node.children.values():
            if child.holds:
                self._put_in_order(child)


def _is_holder(module: nn.Module) -> bool:
    return isinstance(module, LISTS | nn.ModuleDict | nn.ParameterDict)


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children.values():
        yield from _all(child)
