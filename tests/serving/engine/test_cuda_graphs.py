"""Batches padded to a captured size; the graphs are stand-ins, and once the runtime's own session without a capture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from tests.serving.publishing import MODELS, publish

from onnxpress.core.arrays import Array
from onnxpress.core.device import parse
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine, cuda_graphs
from onnxpress.serving.engine.sessions import runtime_session


class _Value:
    def __init__(self, name: str, shape: Sequence[int | str | None], type_: str = "tensor(float)") -> None:
        self.name, self.shape, self.type = name, list(shape), type_


class _Session:
    def __init__(self, inputs: Sequence[_Value], outputs: Sequence[_Value]) -> None:
        self._inputs, self._outputs = inputs, outputs

    def get_inputs(self) -> Sequence[_Value]:
        return self._inputs

    def get_outputs(self) -> Sequence[_Value]:
        return self._outputs


class _Graphs:
    """Captured runs that keep their buffers, as a GPU's do, and a note of what was run."""

    def __init__(self) -> None:
        self.captured: list[int] = []
        self.plain: list[int] = []

    def capture(self, size: int) -> cuda_graphs.Captured:
        self.captured.append(size)
        buffer = np.full((size, 2), np.nan, np.float32)

        def run(feeds: Mapping[str, Array], rows: int) -> list[Array]:
            buffer[:rows] = feeds["x"]
            return [buffer * 2, buffer.sum(axis=1)]

        return run

    def uncaptured(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        x = feeds["x"]
        self.plain.append(len(x))
        answers = {"y": x * 2, "z": x.sum(axis=1)}
        return [answers[name] for name in names]

    def session(self, max_rows: int = 8) -> cuda_graphs.Replayed:
        described = _Session([_Value("x", ["batch", 2])], [_Value("y", ["batch", 2]), _Value("z", ["batch"])])
        return cuda_graphs.Replayed(described, self.capture, self.uncaptured, max_rows)


def test_a_batch_runs_in_the_next_captured_size_and_gets_its_own_rows_only() -> None:
    graphs = _Graphs()
    session = graphs.session()
    for rows in (3, 4, 1, 8, 5, 2, 3):
        x = np.random.default_rng(rows).random((rows, 2), np.float32)
        z, y = session.run(["z", "y"], {"x": x})
        np.testing.assert_array_equal(y, x * 2)
        np.testing.assert_array_equal(z, x.sum(axis=1))
    assert graphs.captured == [3, 4, 1, 8, 6, 2]
    assert graphs.plain == []


def test_what_no_graph_fits_runs_as_it_comes() -> None:
    graphs = _Graphs()
    session = graphs.session()
    for rows in (9, 0):
        (y,) = session.run(["y"], {"x": np.ones((rows, 2), np.float32)})
        assert y.shape == (rows, 2)
    assert graphs.plain == [9, 0]
    assert graphs.captured == []


def test_threads_do_not_meet_in_a_graphs_buffers() -> None:
    graphs = _Graphs()
    session = graphs.session()
    wrong: list[int] = []

    def ask(number: int) -> None:
        x = np.full((3, 2), number, np.float32)
        for _ in range(200):
            (y,) = session.run(["y"], {"x": x})
            if not np.array_equal(y, x * 2):
                wrong.append(number)

    threads = [Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([("x", ["batch", 3])], [("y", ["batch"])], ""),
        ([("x", [None, 3])], [("y", [None])], ""),
        ([("x", ["batch", "length"])], [("y", ["batch"])], "open in more than the batch"),
        ([("x", ["batch", 3])], [("y", ["rows"])], "do not share"),
        ([("x", [4, 3])], [("y", [4])], "do not share"),
        ([("x", ["batch", 3]), ("scale", [])], [("y", ["batch"])], "open in more"),
        ([("x", ["batch"], "tensor(string)")], [("y", ["batch"])], r"tensor\(string\)"),
    ],
)
def test_what_can_be_captured(inputs: list, outputs: list, reason: str) -> None:
    found = cuda_graphs.obstacle(_Session([_Value(*one) for one in inputs], [_Value(*one) for one in outputs]))
    assert bool(found) == bool(reason)
    import re

    assert re.search(reason, found)


def test_the_runtimes_session_with_its_tensors_kept_answers_the_same(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tiny")
    plain = Engine.load(folder / "model.onnx")
    session = runtime_session(str(folder / "model.onnx"), "cpu", SessionSettings(), 1, True)
    kept = cuda_graphs.replayed(session, parse("cpu"), rows_apart=True)
    draw = np.random.default_rng(0)
    for rows in (1, 3, 4, 7, 2, 300):
        x = draw.standard_normal((rows, 32)).astype(np.float32)
        (y,) = kept.run(["y"], {"x": x})
        np.testing.assert_allclose(y, plain.run({"x": x})["y"], rtol=1e-5, atol=1e-6)
        (y,) = kept.run(["y"], {"x": np.asfortranarray(x)})
        np.testing.assert_allclose(y, plain.run({"x": x})["y"], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="the model takes"):
        kept.run(["y"], {"x": np.ones((2, 31), np.float32)})


def test_rows_that_were_never_measured_apart_are_not_padded() -> None:
    session = runtime_session((MODELS / "tiny.onnx").read_bytes(), "cpu", SessionSettings(), 1, True)
    kept = cuda_graphs.replayed(session, parse("cpu"), rows_apart=False)
    assert kept._max_rows == 0
    (y,) = kept.run(["y"], {"x": np.ones((3, 32), np.float32)})
    assert len(y) == 3
