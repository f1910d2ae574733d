"""Initializers that a request may override: inputs with a default, which few requests give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol import binary
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.protocol.run_arrays import RunArrays, flat_values
from onnxpress.serving.protocol.shapes import check_shape
from onnxpress.serving.protocol.tensor_data import value_type
from onnxpress.serving.protocol.wire import AnyTensor


class Overrides:
    """Those of one model. A request that gives one runs alone: what the rest of its batch gets is the default."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self.specs = tuple(specs)
        self._taken = 0
        """requests with overrides so far; its number tells each from all others"""
        self._lists = [msgspec.json.Decoder(list[value_type(spec.dtype)]).decode for spec in specs]  # type: ignore[misc]
        self._arrays = RunArrays(specs, self._lists)

    def take(
        self,
        inputs: Inputs,
        given: Mapping[str, AnyTensor],
        cuts: Mapping[str, memoryview],
        sizes: dict[str, int],
        arrived: int,
    ) -> None:
        """Put those of the tensors given that are overrides with the inputs. Raises Refusal where one does not fit."""
        found = {}
        for number, spec in enumerate(self.specs):
            tensor = given.get(spec.name)
            if tensor is not None:
                found[spec.name] = self._array(number, tensor, cuts.get(spec.name), sizes, arrived)
        self.set(inputs, found)

    def set(self, inputs: Inputs, overrides: dict[str, Array]) -> None:
        """Let these inputs run alone, with these values for initializers. Raises Refusal where one is empty."""
        for name, value in overrides.items():
            if not value.size:
                raise Refusal(400, f"the input {name!r} has a default, and cannot be overridden with nothing")
        inputs.overrides = overrides
        if inputs.tails is not None:
            self._taken += 1
            inputs.tails = ((-3, self._taken), *inputs.tails)

    def _array(
        self, number: int, tensor: AnyTensor, content: memoryview | None, sizes: dict[str, int], arrived: int
    ) -> Array:
        spec = self.specs[number]
        check_shape(spec, tensor.shape, sizes, arrived)
        count = math.prod(tensor.shape)
        if content is not None:
            return binary.from_bytes(spec, count, content).reshape(tensor.shape)
        with np.errstate(over="raise"):
            flat = flat_values(spec, self._lists[number], tensor, count)
            return self._arrays.array(number, flat).reshape(tensor.shape)
