"""Runs replayed as CUDA graphs: one captured for each padded batch size, with tensors that stay where they are.

A graph replays the same kernels on the same addresses, so a batch is padded to the next size that was captured, see
`padding`. The rows behind the last are whatever lay there before, and their answers are cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.device import Device
from onnxpress.serving.engine.padding import MAX_ROWS, padded
from onnxpress.serving.engine.runtime import onnxruntime

_NUMPY_OF = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(bool)": np.bool_,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
}  # fmt: skip
_WORTH_PINNING = 64 << 10
"""bytes; a smaller copy takes as long either way, and locking is by whole pages"""


class Captured(Protocol):
    """A run of a fixed number of rows."""

    def __call__(self, feeds: Mapping[str, Array], rows: int) -> list[Array]:
        """Every output in order, of as many rows as the graph has; `feeds` has `rows`, the first of them."""


class Replayed:
    """What stands for a session: batches padded to a captured size, all else run as it comes.

    `capture` makes the run of one size, when it is first needed. Safe to call from several threads: a captured run's
    tensors are shared, so one goes at a time. ONNX Runtime keeps a graph for each thread that asks for it.
    """

    def __init__(
        self,
        session: Any,
        capture: Callable[[int], Captured],
        uncaptured: Callable[[Sequence[str], Mapping[str, Array]], list[Array]],
        max_rows: int = MAX_ROWS,
    ) -> None:
        self._capture, self._uncaptured, self._max_rows = capture, uncaptured, max_rows
        self._outputs = [value.name for value in session.get_outputs()]
        self._captured: dict[int, Captured] = {}
        self._lock = Lock()

    def run(self, names: list[str], feeds: dict[str, Array], _options: object = None) -> list[Array]:
        """Like InferenceSession.run; a replayed graph cannot be ended by options."""
        rows = {value.shape[0] if value.ndim else -1 for value in feeds.values()}
        count = rows.pop()
        with self._lock:
            if rows or not 0 < count <= self._max_rows:
                return self._uncaptured(names, feeds)
            size = padded(count)
            run = self._captured.get(size)
            if run is None:
                run = self._captured[size] = self._capture(size)
            answers = run(feeds, count)
        by_name = dict(zip(self._outputs, answers, strict=True))
        return [by_name[name][:count] for name in names]


def obstacle(session: Any) -> str:
    """Why this session's runs cannot be captured; empty where they can.

    Every input and output must be an array of numbers that differs in its first dimension only, which they share.
    """
    values = [*session.get_inputs(), *session.get_outputs()]
    for value in values:
        if not value.shape or any(not isinstance(size, int) for size in value.shape[1:]):
            return f"{value.name!r} is open in more than the batch"
        if value.type not in _NUMPY_OF:
            return f"{value.name!r} is {value.type}"
    if any(isinstance(value.shape[0], int) for value in values) or len({value.shape[0] for value in values}) != 1:
        return "inputs and outputs do not share one open first dimension"
    return ""


def replayed(session: Any, device: Device, *, rows_apart: bool) -> Replayed:
    """`session` with its runs captured where that can be (see `obstacle`) and a row answers alone (`rows_apart`).

    A device without graphs, such as the CPU, takes the same steps but for the capture: so they can be tried there.
    """
    runtime = onnxruntime()
    capturing = device.graphs
    plainly = runtime.RunOptions()
    if capturing:
        plainly.add_run_config_entry("gpu_graph_id", "-1")

    def uncaptured(names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        answers: list[Array] = session.run(names, dict(feeds), plainly)
        return answers

    def capture(size: int) -> Captured:
        return _Bound(session, device, size)

    possible = rows_apart and not obstacle(session)
    return Replayed(session, capture, uncaptured, MAX_ROWS if possible else 0)


class _Bound:
    """A run of `size` rows, its tensors on the device for good; the runtime captures it in its first run."""

    def __init__(self, session: Any, device: Device, size: int) -> None:
        runtime = onnxruntime()
        place = device.provider, device.index
        self._session, self._binding = session, session.io_binding()
        self._options = runtime.RunOptions()
        if device.graphs:
            self._options.add_run_config_entry("gpu_graph_id", str(size))
        # On the host the same rows again, of which a batch fills the first. Zeros at first: a valid index, too.
        self._host = {
            value.name: np.zeros((size, *value.shape[1:]), _NUMPY_OF[value.type]) for value in session.get_inputs()
        }
        if device.graphs:
            from onnxpress.serving.engine import cuda

            for array in self._host.values():
                if array.nbytes >= _WORTH_PINNING:
                    cuda.pin(array)
        self._inputs = {
            name: runtime.OrtValue.ortvalue_from_numpy(array.copy(), *place) for name, array in self._host.items()
        }
        self._outputs = [
            runtime.OrtValue.ortvalue_from_shape_and_type((size, *value.shape[1:]), _NUMPY_OF[value.type], *place)
            for value in session.get_outputs()
        ]
        for name, tensor in self._inputs.items():
            self._binding.bind_ortvalue_input(name, tensor)
        for value, tensor in zip(session.get_outputs(), self._outputs, strict=True):
            self._binding.bind_ortvalue_output(value.name, tensor)

    def __call__(self, feeds: Mapping[str, Array], rows: int) -> list[Array]:
        for name, tensor in self._inputs.items():
            host = self._host[name]
            given = feeds[name]
            if given.shape[1:] != host.shape[1:] or given.dtype != host.dtype:
                raise ValueError(
                    f"{name!r} is {given.dtype}{list(given.shape)}, the model takes {host.shape[1:]} a row"
                )
            if rows == len(host) and given.flags.c_contiguous:
                tensor.update_inplace(given)
            else:
                host[:rows] = given
                tensor.update_inplace(host)
        self._session.run_with_iobinding(self._binding, self._options)
        return [tensor.numpy() for tensor in self._outputs]
