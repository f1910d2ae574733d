"""The rungs of a port whose source is an .onnx file: what can be asked of a graph that holds no training.

There is no gradient in a graph. It is measured instead: the evaluator computes the graph in float64 a small step to
both sides of a weight, along a random direction, and the slope is compared with the gradient of the written model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated, NumpyGraph
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.export.networks.onnx_file import OnnxNetwork
from onnxpress.export.port.from_onnx.reader import Origin
from onnxpress.export.port.proof.rung import Rung, Worst
from onnxpress.export.port.proof.streamed import gradient_of
from onnxpress.export.port.proof.torch_target import TorchTarget

LIMIT = 1e-5
"""of the slope, or of a thousandth of the largest: a step of 1e-6 shows ten digits of it at most"""
_STEPS = (1e-6, 1e-5, 1e-7)
"""of a weight's size; where one crosses the corner of a relu another does not"""
_MOST = 64
"""directions; where there are more weights, several are moved at once"""


class OnnxOriginal:
    """The file: ONNX Runtime's answer in float32, the evaluator's in float64."""

    def __init__(self, network: OnnxNetwork, proto: onnx.ModelProto) -> None:
        self._network, self._proto = network, proto
        self._graph: NumpyGraph | None = None
        self.inputs, self.output_names = network.inputs, network.output_names

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The file's answer."""
        if precision == "float32":
            return self._network.run(feeds, "float32")
        try:
            self._graph = self._graph or NumpyGraph(self._proto)
            return self._graph.run(feeds)
        except NotEvaluated as error:
            raise TruthUnavailable(str(error)) from error

    def answers(self, feeds: dict[str, Array]) -> bool:
        """Whether it takes these values: an id beyond its table it does not."""
        try:
            self._network.run(feeds, "float32")
        except BadModel:
            return False
        return True


def parameters(origins: Mapping[str, Origin], target: TorchTarget, proto: onnx.ModelProto) -> Rung:
    """Rung 2: every parameter is what its initializers say, and every initializer is in one."""
    arrays = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    model = target.model()
    state = model.state_dict()
    wrong = []
    count = 0
    for path, origin in origins.items():
        wanted = origin.carry(*(arrays[name] for name in origin.initializers))
        if not np.array_equal(state[path].numpy(), wanted):
            wrong.append(f"{path} is not {' + '.join(origin.initializers)}")
        count += wanted.size
    learning = dict(model.named_parameters(remove_duplicate=False))
    wrong += [f"{path} comes from nowhere" for path in learning if path not in origins]
    read = {name for origin in origins.values() for name in origin.initializers}
    left = [n for n, a in arrays.items() if a.dtype.kind == "f" and a.size > 1 and n not in read]
    detail = wrong[0] if wrong else f"{count} in {len(origins)} arrays, every value the file's"
    differences = [f"{name} is no parameter: a constant that the graph computes with" for name in left]
    return Rung(name="parameters", holds=not wrong, detail=detail, differences=differences)


class Slopes:
    """The written model's gradients beside the graph's slopes, in float64 on one batch."""

    def __init__(
        self, proto: onnx.ModelProto, origins: Mapping[str, Origin], target: TorchTarget, feeds: dict[str, Array]
    ) -> None:
        self._origins, self._target = origins, target
        self._feeds = {n: v.astype(np.float64) if v.dtype.kind == "f" else v for n, v in feeds.items()}
        self._model = target.built("float64")
        every = {name for name, _ in self._model.named_parameters(remove_duplicate=False)}
        learning = {n for path, origin in origins.items() if path in every for n in origin.initializers}
        learning -= {n for path, origin in origins.items() if path not in every for n in origin.initializers}
        self._weights = {
            one.name: numpy_helper.to_array(one).astype(np.float64)
            for one in proto.graph.initializer
            if one.name in learning
        }
        open_graph = onnx.ModelProto()
        open_graph.CopyFrom(proto)
        kept = [one for one in proto.graph.initializer if one.name not in self._weights]
        del open_graph.graph.initializer[:]
        open_graph.graph.initializer.extend(kept)
        known = {value.name for value in open_graph.graph.input}
        for name, value in self._weights.items():
            if name not in known:
                open_graph.graph.input.append(
                    onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, value.shape)
                )
        self._graph = NumpyGraph(open_graph)
        self._generator = np.random.default_rng(7)
        first = self._graph.run({**self._weights, **self._feeds})
        self._drawn = {
            name: self._generator.standard_normal(value.shape)
            for name, value in first.items()
            if value.dtype.kind == "f"
        }

    def _made_of(self, initializer: str) -> list[str]:
        return [path for path, origin in self._origins.items() if initializer in origin.initializers]

    def _sum(self, moved: Mapping[str, Array]) -> float:
        found = self._graph.run({**self._weights, **self._feeds, **moved})
        return float(sum((found[name] * drawn).sum() for name, drawn in self._drawn.items()))

    def rung(self) -> Rung:
        """Rung 3."""
        if not self._drawn:
            return Rung(name="gradients", holds=True, detail="no answer has one")
        by, by_input = self._gradients()
        inputs = [name for name, value in self._feeds.items() if value.dtype.kind == "f"]
        names = [*self._weights, *inputs]
        groups = (
            [names[n::_MOST] for n in range(min(_MOST, len(names)))] if len(names) > _MOST else [[n] for n in names]
        )
        slopes = []
        for group in groups:
            moves = {name: self._move(name) for name in group}
            analytic = 0.0
            for name, move in moves.items():
                analytic += float((by_input[name] * move).sum()) if name in by_input else self._along(name, move, by)
            measured = [self._slope(moves, step) for step in _STEPS]
            slopes.append((*min((abs(one - analytic), one) for one in measured), group))
        whole = max([1e-300, *(abs(slope) for _, slope, _ in slopes)])
        worst = Worst()
        for apart, slope, group in slopes:
            worst.add(apart / max(abs(slope), 1e-3 * whole), " and ".join(group[:3]))
        detail = (
            f"by {len(self._weights)} weights and {len(inputs)} inputs, against slopes of the graph in float64 along "
            f"{len(groups)} directions, the worst by {worst.where or 'none'}"
        )
        return worst.rung("gradients", LIMIT, detail)

    def _move(self, name: str) -> Array:
        value = self._weights[name] if name in self._weights else self._feeds[name]
        size = float(np.sqrt(np.mean(value**2))) if value.size else 0.0
        found: Array = self._generator.standard_normal(value.shape) * (size or 1.0)
        return found

    def _slope(self, moves: Mapping[str, Array], step: float) -> float:
        ends = [
            self._sum({n: (self._weights | self._feeds)[n] + sign * step * d for n, d in moves.items()})
            for sign in (1.0, -1.0)
        ]
        return (ends[0] - ends[1]) / (2 * step)

    def _along(self, initializer: str, move: Array, by: Mapping[str, Array]) -> float:
        """What the written model's gradients say of a move of the initializer."""
        total = 0.0
        for path in self._made_of(initializer):
            if path not in by:
                continue  # another name of a parameter that has its gradient under its first
            origin = self._origins[path]
            arrays = [move if n == initializer else np.zeros_like(self._weights[n]) for n in origin.initializers]
            total += float((by[path] * origin.carry(*arrays)).sum())
        return total

    def _gradients(self) -> tuple[dict[str, Array], dict[str, Array]]:
        import torch

        tensors = self._target.inputs(self._feeds)
        for tensor in tensors:
            tensor.requires_grad_(tensor.is_floating_point())
        found = dict(
            zip([name for name, _, _ in self._target.outputs], self._target.flat(self._model(*tensors)), strict=True)
        )
        total: Any = sum(
            (found[name] * torch.from_numpy(np.asarray(drawn))).sum() for name, drawn in self._drawn.items()
        )
        total.backward()
        by = {name: gradient_of(value) for name, value in self._model.named_parameters()}
        named = zip(self._target.names, tensors, strict=True)
        return by, {name: gradient_of(tensor) for name, tensor in named if tensor.is_floating_point()}
