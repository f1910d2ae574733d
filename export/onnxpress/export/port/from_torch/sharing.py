"""Layers whose parameters those of another block are too: the blocks have to be followed in one forward for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onnxpress.export.port.steps import Block

Chain = tuple[str, ...]
"""the paths of the blocks around a layer, the whole model's first"""


def sharing(block: Block, tied: Mapping[str, str]) -> frozenset[str]:
    """The paths of the blocks to follow where they are called, so that one block holds all layers that share.

    `tied` names of each parameter that has several names the one that counts.
    """
    around: dict[str, set[Chain]] = {}
    for chain, path, layer in _layers(block, ("",)):
        for name, _ in layer.named_parameters():
            full = f"{path}.{name}"
            around.setdefault(tied.get(full, full), set()).add(chain)
    found: set[str] = set()
    for chains in around.values():
        together = min(map(len, chains))
        while len({chain[:together] for chain in chains}) > 1:
            together -= 1
        found.update(*(chain[together:] for chain in chains))
    return frozenset(found)


def _layers(block: Block, chain: Chain) -> Iterator[tuple[Chain, str, Any]]:
    for name, child in block.children.items():
        path = f"{chain[-1]}.{name}" if chain[-1] else name
        if isinstance(child, Block):
            yield from _layers(child, (*chain, path))
        else:
            yield chain, path, child
