"""Walking a graph's nodes, renaming its tensors, dropping what no output needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def rename_values(graph: onnx.GraphProto, renames: dict[str, str]) -> None:
    """Rename tensors everywhere in the graph, subgraphs included."""

    def new(name: str) -> str:
        return renames.get(name, name)

    for container in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in container:
            value.name = new(value.name)
    for node in graph.node:
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                rename_values(subgraph, renames)


def nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Every node of the graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from nodes(subgraph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes that no output needs, and the initializers that no node then needs."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed.update(node.input, captured(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [value for value in graph.initializer if value.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def captured(node: onnx.NodeProto) -> set[str]:
    """What the bodies of an If, Loop or Scan take or answer; empty for any other node."""
    bodies = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    taken = {name for body in bodies for inner in nodes(body) for name in inner.input}
    return taken | {value.name for body in bodies for value in body.output}
