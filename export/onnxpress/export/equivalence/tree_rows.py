"""Rows that reach both sides of a tree's splits: drawn at random, few rows come near most of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.arrays import Array

if TYPE_CHECKING:
    import onnx

_OPERATORS = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
_PASSES = frozenset({"Cast", "Identity"})
_MOST = 256
"""splits of a graph, drawn from all"""
_DISTANCE = 1e-4
"""from the threshold, as a share of it: far beyond float32's rounding, near to what a wrong threshold would move"""
_TRIES = 8
"""rows that are tried for a split, until its two sides lead to leaves of other values"""
_SEED = 20_261_128

Bounds = dict[int, tuple[float, float]]
"""feature → above which value and up to which a row must be, to come to a node"""


def near_splits(graph: onnx.ModelProto) -> dict[str, Array]:
    """Input → float64 (rows, features): a row on either side of each split of the trees that read the input itself.

    Trees behind a computation are left out: which inputs lead to their thresholds is not known.
    """
    held = {value.name: value.name for value in graph.graph.input}
    widths = {value.name: _width(value) for value in graph.graph.input}
    generator = np.random.default_rng(_SEED)
    found: dict[str, list[Array]] = {}
    for node in graph.graph.node:
        if node.op_type in _PASSES and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
        elif node.op_type in _OPERATORS and widths.get(held.get(node.input[0], ""), 0):
            name = held[node.input[0]]
            found.setdefault(name, []).extend(_Trees(node, widths[name], generator).rows())
    return {name: np.array(rows) for name, rows in found.items() if rows}


def _width(value: onnx.ValueInfoProto) -> int:
    sizes = value.type.tensor_type.shape.dim
    return sizes[1].dim_value if len(sizes) == 2 else 0


class _Trees:
    """The trees of one node of opset 1 to 3, whose splits compare with `<=` or `<`; of others there are no rows."""

    def __init__(self, node: onnx.NodeProto, width: int, generator: np.random.Generator) -> None:
        import onnx

        given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        self._width, self._generator = width, generator
        modes = [mode.decode() for mode in given.get("nodes_modes", [])]

        def numbers(name: str) -> Any:
            wide = given.get(f"{name}_as_tensor")
            return given.get(name, []) if wide is None else onnx.numpy_helper.to_array(wide).tolist()

        values = numbers("nodes_values")
        keys = list(zip(given.get("nodes_treeids", []), given.get("nodes_nodeids", []), strict=True))
        place = {key: index for index, key in enumerate(keys)}
        self._splits = {
            index: (
                given["nodes_featureids"][index],
                float(values[index]),
                place[tree, given["nodes_truenodeids"][index]],
                place[tree, given["nodes_falsenodeids"][index]],
            )
            for index, (tree, _) in enumerate(keys)
            if modes[index] in ("BRANCH_LEQ", "BRANCH_LT")
        }
        below = {child for _, _, *both in self._splits.values() for child in both}
        self._roots = [index for index in range(len(keys)) if index not in below]
        self._thresholds: dict[int, list[float]] = {}
        for feature, threshold, *_ in self._splits.values():
            self._thresholds.setdefault(feature, []).append(threshold)
        self._weights: dict[int, list[tuple[int, float]]] = {}
        for kind in ("class", "target"):
            leaves = zip(given.get(f"{kind}_treeids", []), given.get(f"{kind}_nodeids", []), strict=True)
            ids, weights = given.get(f"{kind}_ids", []), numbers(f"{kind}_weights")
            for leaf, number, weight in zip(leaves, ids, weights, strict=False):
                self._weights.setdefault(place[leaf], []).append((number, weight))

    def rows(self) -> Iterator[Array]:
        """Two for each split of those that are drawn."""
        ways = dict(self._ways())
        for index in self._generator.permutation(sorted(ways))[:_MOST]:
            yield from self._beside(int(index), ways[int(index)])

    def _ways(self) -> Iterator[tuple[int, Bounds]]:
        """Every split that rows can come to, and what they must be for it."""
        waiting: list[tuple[int, Bounds]] = [(root, {}) for root in self._roots]
        while waiting:
            index, bounds = waiting.pop()
            if index not in self._splits:
                continue
            yield index, bounds
            feature, threshold, yes, no = self._splits[index]
            low, high = bounds.get(feature, (-np.inf, np.inf))
            if low < threshold:
                waiting.append((yes, {**bounds, feature: (low, min(high, threshold))}))
            if threshold < high:
                waiting.append((no, {**bounds, feature: (max(low, threshold), high)}))

    def _beside(self, index: int, bounds: Bounds) -> tuple[Array, ...]:
        """A row below the threshold and one above, else the same; of leaves that differ, where such were found."""
        feature, threshold, yes, no = self._splits[index]
        step = _DISTANCE * max(abs(threshold), _DISTANCE)
        both: tuple[Array, ...] = ()
        for _ in range(_TRIES):
            row = np.array([self._value(number, bounds) for number in range(self._width)])
            below, above = row.copy(), row.copy()
            below[feature], above[feature] = threshold - step, threshold + step
            both = (below, above)
            if self._leaf(yes, below) != self._leaf(no, above):
                break
        return both

    def _value(self, feature: int, bounds: Bounds) -> float:
        """Beside a threshold of the feature that lies between its bounds, else between them."""
        low, high = bounds.get(feature, (-np.inf, np.inf))
        inside = [value for value in self._thresholds.get(feature, ()) if low < value < high]
        if inside:
            value = float(self._generator.choice(inside))
            step = self._generator.choice((-1, 1)) * 100 * _DISTANCE * max(abs(value), 1.0)
            for moved in (value + step, value - step):
                if low < moved < high:
                    return float(moved)
            return (value + (high if step > 0 else low)) / 2  # both ends are nearer than a step
        if np.isinf(low) and np.isinf(high):
            return float(self._generator.standard_normal())
        if np.isinf(low):
            return high - max(1.0, abs(high))
        return low + max(1.0, abs(low)) if np.isinf(high) else (low + high) / 2

    def _leaf(self, index: int, row: Array) -> list[tuple[int, float]]:
        """What the leaf says that the row comes to."""
        while index in self._splits:
            feature, threshold, yes, no = self._splits[index]
            index = yes if row[feature] <= threshold else no
        return self._weights.get(index, [])
