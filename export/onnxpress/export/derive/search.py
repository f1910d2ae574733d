"""Which nodes must stay in float: each is quantized alone, and the dearest are kept until the gate is passed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core.errors import OnnxpressError
from onnxpress.core.progress import Progress
from onnxpress.export.derive import judging
from onnxpress.export.derive.candidates import Candidate, Candidates
from onnxpress.export.derive.trial import Made, Questions, asked, finished, loaded
from onnxpress.export.equivalence.report.schema import LayerCost
from onnxpress.export.graph.layer_notes import layer_of

if TYPE_CHECKING:
    import onnx

_ROWS = 200
_MOST_GROUPS = 48
"""neighbouring nodes of a larger graph are ranked together"""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What putting these nodes alone into fewer bits does. `nodes` are names in the prepared graph."""

    nodes: list[str]
    cost: float
    """see `LayerCost`"""
    measured: bool = True
    """whether there was time"""


def ranked(questions: Questions, candidate: Candidate, seconds: float) -> list[Cost]:
    """The nodes of a candidate, the dearest first. What no time was left for comes last, with cost 0."""
    if candidate.alone is None:
        return []
    names = [name for name in candidate.alone.nodes() if name not in candidate.kept]
    size = -(-len(names) // _MOST_GROUPS) or 1
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    ends, found = time.monotonic() + seconds, []
    with Progress("ranking nodes", len(groups)) as progress:
        for group in groups:
            if time.monotonic() > ends:
                found.append(Cost(nodes=group, cost=0.0, measured=False))
                continue
            try:
                graph = candidate.alone.make(group)
                if graph is None:  # there is nothing in them that could have fewer bits
                    continue
                made = loaded(questions.parent, candidate, finished(graph, questions.parent.graph))
                cost = _cost(questions, made)
            except (OnnxpressError, ValueError, RuntimeError):  # a node that cannot be quantized stays in float
                cost = float("inf")
            found.append(Cost(nodes=group, cost=cost))
            progress.advance(group[0])
    return sorted(found, key=lambda one: -one.cost)


def _cost(questions: Questions, made: Made) -> float:
    few = {name: value[:_ROWS] for name, value in questions.answers.items()}
    judged = judging.judge(
        few,
        asked(questions, made, _ROWS),
        questions.kinds,
        floors=questions.parent.floors,
        thresholds=questions.parent.manifest.thresholds,
    )
    total = 0.0
    for one in judged:
        if one.not_finite:
            return float("inf")
        if one.kl_mean is not None:
            total += one.kl_mean
        elif one.cosine_mean is not None:
            total += 1 - one.cosine_mean
        elif one.error is not None:
            total += one.error
        elif one.decisions:
            total += one.flips / one.decisions
    return total


def by_layer(costs: Sequence[Cost], graph: onnx.ModelProto) -> list[LayerCost]:
    """Those that were measured, with the author's names of the layers that the nodes have in the parent's `graph`."""
    layers = {node.name: layer_of(node) or "" for node in graph.graph.node if node.name}

    def named(nodes: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(layer for node in nodes if (layer := layers.get(node))))

    return [LayerCost(nodes=one.nodes, layer=named(one.nodes), cost=one.cost) for one in costs if one.measured]


def mixtures(candidates: Candidates, of: Candidate, costs: list[Cost]) -> Iterator[Candidate]:
    """The candidate with more and more of the dearest nodes in float: 1, 2, 3, 5, 8 and so on, up to two thirds."""
    before, count = 1, 1
    while count <= len(costs) * 2 / 3:
        kept = [name for one in costs[:count] for name in one.nodes]
        yield candidates.mixed(of, kept)
        before, count = count, before + count
        if count == before:
            count += 1
