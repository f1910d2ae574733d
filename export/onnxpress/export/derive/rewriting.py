"""Whether a statically quantized graph is what its precision explains, or faulty beyond it.

Every constant in 8 or 32 bits, unpacked, must lie within half a step of the float that it stands for. Every activation,
packed and unpacked again, must lie within half a step of itself, but for the few values that the calibration cut off;
and the steps must be no coarser than the values need. The quantizer that rewrites graphs has had faults of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.derive import intermediates

if TYPE_CHECKING:
    import onnx

_SLACK = 1.02
"""half steps: the float32 of the scale and the product rounds too"""
_COARSE = 0.5
"""of the channels: a few get a larger step, so that their bias fits into 32 bits"""
CUT = {"min-max": 0.001, "percentile": 0.002, "entropy": 0.05}
"""calibration → the share of an activation's values that it may cut off"""
_USED = 0.6
"""of the 256 steps, that zero and the values of the calibration reach at least"""
_SAME_STEPS = (
    "MaxPool",
    "AveragePool",
    "Concat",
    "Reshape",
    "Flatten",
    "Transpose",
    "Gather",
    "Slice",
    "Squeeze",
    "Unsqueeze",
)
"""operators whose results have the steps of what they take, though they may use fewer"""
_RENAMED = "_QuantizeLinear_Input"
"""what the quantizer appends to the name of an output that it packs"""


def faults(
    original: onnx.ModelProto, quantized: onnx.ModelProto, batches: Iterable[Mapping[str, Array]], *, cut: float
) -> list[str]:
    """What is wrong, a sentence each; nothing in a sound graph. `batches` are all feeds of the calibration.

    `cut` is the share of values that it may cut off, see `CUT`. `original` is the prepared graph that was quantized:
    constants and tensors are known by their names in it.
    """
    return [*_constants(original, quantized), *_activations(original, quantized, batches, cut)]


def _arrays(graph: onnx.ModelProto) -> dict[str, Array]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}


def _constants(original: onnx.ModelProto, quantized: onnx.ModelProto) -> Iterator[str]:
    floats, packed = _arrays(original), _arrays(quantized)
    for node in quantized.graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in packed:
            continue
        name = node.input[0].removesuffix("_quantized")
        if name not in floats:
            yield f"{node.input[0]}: there is no constant {name!r} that it could stand for"
            continue
        bits, wanted = packed[node.input[0]], floats[name]
        if bits.shape != wanted.shape:
            yield f"{name}: its shape is {bits.shape}, that of the original {wanted.shape}"
            continue
        scale, zero = (_along(packed[one], bits.ndim, node) for one in node.input[1:3])
        if not _fits(scale, bits.shape):
            yield f"{name}: its scales {scale.shape} are not along an axis of {bits.shape}"
            continue
        off = np.abs((bits.astype(np.float64) - zero) * scale.astype(np.float64) - wanted)
        if bits.dtype == np.int32:
            # A bias has its input's step times its weight's; what is lost besides is that of float32.
            allowed = 0.5 * _SLACK * scale + 1e-6 * np.abs(wanted)
        else:
            allowed = 0.5 * _SLACK * scale + 0.0 * wanted
        if (beyond := off > allowed).any():
            share = float(beyond.mean())
            worst = float((off / np.maximum(scale, 1e-30)).max())
            yield f"{name}: {100 * share:.2g} % of its values are up to {worst:.3g} steps off"
        elif bits.dtype == np.int8:
            yield from _coarse(name, bits, scale)


def _coarse(name: str, bits: Array, scale: Array) -> Iterator[str]:
    """A scale that is too large loses bits: the largest of a channel reaches half of its steps at least."""
    axes = tuple(axis for axis in range(bits.ndim) if scale.ndim <= axis or scale.shape[axis] == 1)
    reached = np.abs(bits.astype(np.int64)).max(axes) if axes else np.abs(bits)
    if reached.size and reached.max() > 0 and (reached[reached > 0] < 31).mean() > _COARSE:
        yield f"{name}: its scales are so large that only {int(reached[reached > 0].min())} steps are used"


def _along(value: Array, rank: int, node: onnx.NodeProto) -> Array:
    """A scale for each index of the node's axis, shaped to be multiplied."""
    if value.ndim == 0 or value.size == 1:
        return value.reshape(())
    axis = next((one.i for one in node.attribute if one.name == "axis"), 1) % rank
    return value.reshape([-1 if number == axis else 1 for number in range(rank)])


def _fits(scale: Array, shape: tuple[int, ...]) -> bool:
    return scale.ndim == 0 or all(one in (1, size) for one, size in zip(scale.shape, shape, strict=True))


def _activations(
    original: onnx.ModelProto, quantized: onnx.ModelProto, batches: Iterable[Mapping[str, Array]], cut: float
) -> Iterator[str]:
    packed = _arrays(quantized)
    made = {node.output[0]: node for node in quantized.graph.node}
    pairs: list[_Packed] = []
    for node in quantized.graph.node:
        packing = made.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if packing is not None and packing.op_type == "QuantizeLinear":
            numbers = [float(packed[one].reshape(-1)[0]) for one in (*packing.input[1:3], *node.input[1:3])]
            pairs.append(_Packed(packing.input[0].removesuffix(_RENAMED), *numbers))
    computed = {name: node.op_type for node in original.graph.node for name in node.output}
    names = [name for name in dict.fromkeys(pair.name for pair in pairs) if name in computed]
    for feeds in batches:
        values = {**feeds, **intermediates.each(original, names, feeds)}
        for pair in pairs:
            if pair.name in values:
                pair.see(values[pair.name].astype(np.float64))
    for pair in pairs:
        told = pair.told(cut, own_steps=computed.get(pair.name) not in _SAME_STEPS)
        if told:
            yield f"{pair.name}: {told}"


class _Packed:
    """One activation that is packed with a scale and a zero point, and unpacked with others that should be the same."""

    def __init__(self, name: str, scale: float, zero: float, again: float, again_zero: float) -> None:
        self.name, self._scale, self._zero, self._again, self._again_zero = name, scale, zero, again, again_zero
        self._low = self._high = zero
        self._off = 0.0
        """steps: the largest of a value within the range"""
        self._cut = self._count = 0

    def see(self, value: Array) -> None:
        """Count in these values."""
        bits = np.rint(value / self._scale) + self._zero
        cut = (bits < 0) | (bits > 255)
        bits = np.clip(bits, 0, 255)
        off = np.abs((bits - self._again_zero) * self._again - value) / self._scale
        self._off = max(self._off, float(off[~cut].max(initial=0.0)))
        self._cut, self._count = self._cut + int(cut.sum()), self._count + value.size
        if value.size:
            self._low, self._high = min(self._low, float(bits.min())), max(self._high, float(bits.max()))

    def told(self, cut: float, *, own_steps: bool) -> str:
        """What is wrong; empty where nothing is, and where nothing was seen."""
        if self._off > 0.5 * _SLACK:
            return f"packed and unpacked it is up to {self._off:.3g} steps off"
        if self._cut > cut * self._count:
            return f"{100 * self._cut / self._count:.2g} % of its values are beyond what its 256 steps reach"
        if own_steps and self._count and self._high - self._low < _USED * 255:
            return f"its values reach {int(self._high - self._low)} of 255 steps"
        return ""
