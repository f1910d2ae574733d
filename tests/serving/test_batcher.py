"""What runs together: the same answers as alone, the guilty request alone fails, and the queue never stops."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.serving.onnx_models import affine, lookup, publish, publish_affine

from onnxpress.serving.batcher import Batcher
from onnxpress.serving.engine import Engine


class Answers:
    """Collects what is answered; `respond` belongs to one exchange."""

    def __init__(self) -> None:
        self.got: dict[int, tuple[int, Any]] = {}
        self.done = asyncio.Event()

    def exchange(self, number: int, wanted: int) -> Any:
        outer = self

        class One:
            def respond(self, status: int, body: bytes, headers: Any = ()) -> None:
                assert number not in outer.got, "answered twice"
                outer.got[number] = status, json.loads(body)
                if len(outer.got) == wanted:
                    outer.done.set()

        return One()


class Counted:
    """An engine that remembers the rows of each run, and may be told to wait or to fail in it."""

    def __init__(self, engine: Engine, during: Callable[[dict[str, Any]], None] = lambda feeds: None) -> None:
        self.name, self.manifest = engine.name, engine.manifest
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self.expected_seconds = engine.expected_seconds
        self.runs: list[int] = []
        self._engine, self._during = engine, during

    def run_all(self, feeds: dict[str, Any], values: int) -> list[Any]:
        self.runs.append(len(next(iter(feeds.values()))))
        self._during(feeds)
        return self._engine.run_all(feeds, values)


def make(engine: Any, max_rows: int = 64, max_waiting: int = 1024) -> Batcher:
    return Batcher(engine, name="m", version=1, max_rows=max_rows, max_waiting=max_waiting)


def answer(batcher: Batcher, bodies: Sequence[bytes]) -> list[tuple[int, Any]]:
    """Submit all in one turn of the loop and wait for every answer."""

    async def main() -> list[tuple[int, Any]]:
        answers = Answers()
        for number, body in enumerate(bodies):
            batcher.submit(body, answers.exchange(number, len(bodies)))
        await asyncio.wait_for(answers.done.wait(), 20)
        return [answers.got[number] for number in range(len(bodies))]

    return asyncio.run(main())


def body(name: str, datatype: str, value: Any) -> bytes:
    array = np.array(value)
    tensor = {"name": name, "shape": list(array.shape), "datatype": datatype, "data": array.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def test_rows_run_together_answer_as_alone(tmp_path: Path) -> None:
    engine = Counted(Engine.load(publish_affine(tmp_path) / "model.onnx"))
    generator = np.random.default_rng(3)
    bodies = [body("x", "FP32", generator.normal(size=(rows, 3))) for rows in (1, 2, 1, 5, 1, 0, 3)]
    together = answer(make(engine), bodies)
    assert sum(engine.runs) == 13
    assert len(engine.runs) == 1
    alone = [answer(make(engine), [one])[0] for one in bodies]
    assert together == alone


def test_a_batch_has_no_more_rows_than_allowed_unless_one_request_has_them(tmp_path: Path) -> None:
    engine = Counted(Engine.load(publish_affine(tmp_path) / "model.onnx"))
    answer(make(engine, max_rows=4), [body("x", "FP32", np.ones((rows, 3))) for rows in (3, 2, 1, 9, 1)])
    assert engine.runs == [4, 3, 9]


def test_a_model_that_was_not_measured_batch_safe_runs_one_by_one(tmp_path: Path) -> None:
    specs = ["x:float32[batch,3]"], ["y:float32[batch,2]"]
    engine = Counted(Engine.load(publish(tmp_path, "m", affine(), *specs, batch_safe=False) / "model.onnx"))
    answer(make(engine), [body("x", "FP32", np.ones((1, 3)))] * 5)
    assert engine.runs == [1] * 5


def test_only_the_guilty_request_of_a_batch_fails(tmp_path: Path) -> None:
    path = publish(tmp_path, "lookup", lookup(), ["i:int64[batch]"], ["y:float32[batch]"])
    got = answer(make(Engine.load(path / "model.onnx")), [body("i", "INT64", [i]) for i in (1, 99, 3)])
    assert [status for status, _ in got] == [200, 400, 200]
    assert got[2][1]["outputs"][0]["data"] == [3.0]
    assert "the model cannot answer this" in got[1][1]["error"]


def test_a_value_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    path = publish(tmp_path, "lookup", lookup(), ["i:int64[batch]"], ["y:float32[batch]"])
    huge = b'{"inputs":[{"name":"i","shape":[1],"datatype":"INT64","data":[18446744073709551615]}]}'
    got = answer(make(Engine.load(path / "model.onnx")), [body("i", "INT64", [1]), huge, body("i", "INT64", [2])])
    assert [status for status, _ in got] == [200, 400, 200]


def test_an_answer_that_cannot_be_written_does_not_stop_the_queue(tmp_path: Path) -> None:
    engine = Counted(Engine.load(publish_affine(tmp_path) / "model.onnx"))
    batcher = make(engine)
    real = engine.run_all
    engine.run_all = lambda feeds, values: [object()]  # type: ignore[method-assign,list-item]
    got = answer(batcher, [body("x", "FP32", np.ones((1, 3)))] * 2)
    assert [status for status, _ in got] == [500, 500]
    engine.run_all = real  # type: ignore[method-assign]
    assert answer(make(engine), [body("x", "FP32", np.ones((1, 3)))])[0][0] == 200


def test_past_the_bound_requests_are_refused_at_once(tmp_path: Path) -> None:
    engine = Counted(Engine.load(publish_affine(tmp_path) / "model.onnx"))
    got = answer(make(engine, max_waiting=3), [body("x", "FP32", np.ones((1, 3)))] * 5)
    assert sorted(status for status, _ in got) == [200, 200, 200, 503, 503]


def test_what_arrives_while_a_long_run_goes_is_the_next_batch(tmp_path: Path) -> None:
    entered, go = threading.Event(), threading.Event()

    def wait(_: dict[str, Any]) -> None:
        if threading.current_thread() is not threading.main_thread():
            entered.set()
            assert go.wait(20)

    engine = Counted(Engine.load(publish_affine(tmp_path) / "model.onnx"), wait)
    batcher = make(engine)
    engine.expected_seconds = lambda values: 1.0  # a model that is known to be slow goes to a thread

    async def main() -> None:
        answers = Answers()
        one = body("x", "FP32", np.ones((1, 3)))
        batcher.submit(one, answers.exchange(0, 6))
        await asyncio.to_thread(entered.wait, 20)
        for number in range(1, 6):
            batcher.submit(one, answers.exchange(number, 6))
            await asyncio.sleep(0.01)
        assert answers.got == {}
        go.set()
        await asyncio.wait_for(answers.done.wait(), 20)
        assert {status for status, _ in answers.got.values()} == {200}

    asyncio.run(main())
    assert engine.runs == [1, 5]
