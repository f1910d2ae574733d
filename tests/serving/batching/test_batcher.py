"""One turn of the loop, one batch; and nobody harms a neighbour in it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.onnx_models import busy, model, node
from tests.serving.publishing import MODELS

from onnxpress.serving.batching.batch_run import Waiting
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Down, Engine
from onnxpress.serving.engine.rows_apart import RowsApart
from onnxpress.serving.exchange import Headers
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.timing import Trace
from onnxpress.serving.traffic import Traffic


class Asked:
    """An exchange that keeps its answer."""

    def __init__(self) -> None:
        self.status = 0
        self.body: Any = None
        self.gone = False

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        assert not self.status, "answered twice"
        self.status, self.body = status, msgspec.json.decode(body) if body else None


class Counted:
    """An engine whose runs are counted; `fails` makes those of several rows fail."""

    def __init__(
        self,
        name: str,
        *,
        content: bytes | None = None,
        batch_safe: bool = True,
        seconds: float = 0.0,
        fails: bool = False,
    ) -> None:
        self._engine = Engine.load(content or (MODELS / f"{name}.onnx").read_bytes())
        self.inputs, self.outputs, self.name = self._engine.inputs, self._engine.outputs, name
        self.optional = self._engine.optional
        self.manifest = type("Measured", (), {"no_rows": False, "labels": {}})()
        self.rows = RowsApart(batch_safe, "said so")
        self.fatal_when_empty: tuple[str, ...] = ()
        self.runs: list[int] = []
        self.run_limit, self.end_long_run = 60.0, self._engine.end_long_run
        self._seconds, self._fails = seconds, fails

    def run_all(self, feeds: dict[str, Any], values: int, shapes: Any = None, **more: Any) -> list[Any]:
        rows = len(next(iter(feeds.values())))
        self.runs.append(rows)
        if self._fails and rows > 1:
            raise RuntimeError("no batches today")
        return self._engine.run_all(feeds, values, shapes, **more)

    def expected_seconds(self, values: int, shapes: Any = None) -> float:
        return self._seconds


def relu(width: int) -> bytes:
    return model([node("Relu", ["x"], ["y"])], [f"x:float32[batch,{width}]"], [f"y:float32[batch,{width}]"])


def batcher(
    engine: Counted, *, max_rows: int = 64, max_waiting: int = 100, instances: int = 1, traffic: Traffic | None = None
) -> Batcher:
    return Batcher(
        engine,  # type: ignore[arg-type]
        traffic or Traffic(),
        name="m",
        version=1,
        max_rows=max_rows,
        max_waiting=max_waiting,
        instances=instances,
    )


def ask(own: Batcher, bodies: list[bytes], turns: int = 1) -> list[Asked]:
    """Submit all in one turn of a loop, and wait for every answer."""

    async def main() -> list[Asked]:
        asked = [Asked() for _ in bodies]
        for body, exchange in zip(bodies, asked, strict=True):
            own.submit(body, exchange)
        for _ in range(2000):
            if all(exchange.status for exchange in asked):
                break
            await asyncio.sleep(0.001)
        return asked

    return asyncio.run(main())


def row(number: int) -> bytes:
    return rows([number])


def rows(numbers: list[int]) -> bytes:
    tensor = {"name": "row", "shape": [len(numbers)], "datatype": "INT64", "data": numbers}
    return json.dumps({"inputs": [tensor]}).encode()


def features(seed: int, count: int = 1) -> bytes:
    data = np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32)
    tensor = {"name": "x", "shape": [count, 32], "datatype": "FP32", "data": data.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def data(asked: Asked) -> Any:
    assert asked.status == 200, asked.body
    return asked.body["outputs"][0]["data"]


def test_one_turn_is_one_run_and_answers_as_alone() -> None:
    engine = Counted("tiny")
    bodies = [features(seed, count) for seed, count in enumerate([1, 3, 1, 2, 1])]
    together = ask(batcher(engine), bodies)
    assert engine.runs == [8]
    for body, answer in zip(bodies, together, strict=True):
        (alone,) = ask(batcher(engine), [body])
        assert alone.body["outputs"][0]["shape"] == answer.body["outputs"][0]["shape"]
        np.testing.assert_allclose(data(answer), data(alone), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", [Counted("table", batch_safe=False), Counted("table", seconds=1, batch_safe=False)])
def test_without_the_manifests_word_every_request_runs_alone(engine: Counted) -> None:
    assert [data(asked) for asked in ask(batcher(engine), [row(n) for n in range(3)])] == [[0], [10], [20]]
    assert engine.runs == [1, 1, 1]


@pytest.mark.parametrize(("connections", "counts", "turns"), [(1, [4, 4, 5, 2, 3], [2, 1, 1, 2, 1]),
                                                              (4, [4, 2, 2], [1, 2, 2]),
                                                              (2, [4, 4], [2, 2])])  # fmt: skip
def test_a_turn_is_waited_for_more_where_more_may_come(connections: int, counts: list[int], turns: list[int]) -> None:
    engine = Counted("table")
    traffic = Traffic()
    traffic.connections = connections
    own = batcher(engine, traffic=traffic)

    async def taken(count: int) -> int:
        asked = [Asked() for _ in range(count)]
        for exchange in asked:
            own.submit(row(1), exchange)
        found = 0
        while not asked[-1].status:
            await asyncio.sleep(0)
            found += 1
        return found

    async def main() -> list[int]:
        return [await taken(count) for count in counts]

    assert asyncio.run(main()) == turns
    assert engine.runs == counts


def test_rows_are_capped_and_order_is_kept() -> None:
    engine = Counted("table")
    bodies = [rows([0, 1]), row(2), rows([0] * 9), row(3), row(4)]
    answers = ask(batcher(engine, max_rows=4), bodies)
    assert [data(asked) for asked in answers] == [[0, 10], [20], [0] * 9, [30], [40]]
    assert engine.runs == [4, 9, 1]


@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["on the loop", "in the thread"])
def test_only_the_guilty_request_of_a_batch_fails(seconds: float) -> None:
    engine = Counted("table", seconds=seconds)
    answers = ask(batcher(engine), [row(1), row(99), b"junk", row(2)])
    assert [asked.status for asked in answers] == [200, 400, 400, 200]
    assert [data(answers[0]), data(answers[3])] == [[10], [20]]
    assert "the model cannot answer this" in answers[1].body["error"]
    assert "/onnxruntime" not in answers[1].body["error"]


def test_a_model_that_cannot_run_batches_still_answers() -> None:
    engine = Counted("table", fails=True)
    assert [data(asked) for asked in ask(batcher(engine), [row(1), row(2)])] == [[10], [20]]


def test_a_value_beyond_the_dtype_harms_its_own_request_only() -> None:
    engine = Counted("tiny")
    bad = json.loads(features(0))
    bad["inputs"][0]["data"][5] = 1e39
    answers = ask(batcher(engine), [features(1), json.dumps(bad).encode(), features(2)])
    assert [asked.status for asked in answers] == [200, 400, 200]
    assert "do not fit FP32" in answers[1].body["error"]


def test_answers_that_cannot_be_written_are_500_and_the_queue_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Counted("table")
    own = batcher(engine)
    whole: Callable[..., Any] = engine.run_all
    monkeypatch.setattr(engine, "run_all", lambda *_, **__: [object()])
    assert [asked.status for asked in ask(own, [row(1), row(2)])] == [500, 500]
    assert "cannot be written" in capsys.readouterr().err
    monkeypatch.setattr(engine, "run_all", whole)
    assert data(ask(own, [row(1)])[0]) == [10]


def test_a_run_is_whole_without_those_that_it_did_not_answer() -> None:
    """The span of a shared run is sent once all that have a part in it are known."""

    class Once:
        def __init__(self) -> None:
            self.count = 0

        def write(self, *_: Any) -> tuple[bytes, Headers]:
            self.count += 1
            if self.count == 2:
                raise MemoryError
            return b"{}", ()

    form, traces = Once(), [Trace(f"{number:032x}") for number in range(4)]

    def read(reader: Reader, body: bytes) -> Inputs:
        inputs = reader.read(body)
        inputs.form = form
        return inputs

    async def main() -> list[Asked]:
        own, asked = batcher(Counted("table")), [Asked() for _ in traces]
        for exchange, trace in zip(asked, traces, strict=True):
            own.submit(row(1), exchange, read=read, trace=trace)
        while not all(exchange.status for exchange in asked):
            await asyncio.sleep(0)
        return asked

    assert [asked.status for asked in asyncio.run(main())] == [200] * 4
    runs = [trace.run for trace in traces]
    assert [(run.requests, run.traced) for run in runs if run is not None] == [(4, 1), (1, 1), (1, 1), (1, 1)]


@pytest.mark.parametrize(("slow", "length", "beside"), [(True, 16 << 10, True), (True, (16 << 10) - 1, False),
                                                        (False, 16 << 10, False)])  # fmt: skip
def test_what_takes_long_to_read_is_read_beside_the_loop(slow: bool, length: int, beside: bool) -> None:
    threads = []

    def read(reader: Reader, body: bytes) -> Inputs:
        threads.append(threading.current_thread())
        return reader.read(body)

    class Holding(Asked):
        def hold(self, size: int) -> bool:
            return True

    async def main() -> int:
        exchange = Holding()
        batcher(Counted("table")).submit(row(1).ljust(length), exchange, read=read, slow=slow)
        while not exchange.status:
            await asyncio.sleep(0.001)
        return exchange.status

    assert asyncio.run(main()) == 200
    assert (threads[0] is not threading.main_thread()) is beside


@pytest.mark.parametrize("count", [1, 3])
def test_a_model_that_is_down_is_503(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    def down(*_: Any, **__: Any) -> list[Any]:
        raise Down("the model's process was ended; try again")

    engine = Counted("table")
    monkeypatch.setattr(engine, "run_all", down)
    answers = ask(batcher(engine), [row(1)] * count)
    assert [(asked.status, asked.body) for asked in answers] == [
        (503, {"error": "the model's process was ended; try again"})
    ] * count


def test_a_full_queue_refuses_at_once() -> None:
    answers = ask(batcher(Counted("table"), max_waiting=2), [row(1)] * 4)
    assert [asked.status for asked in answers] == [200, 200, 503, 503]


def test_what_arrives_during_a_long_run_is_the_next_batch() -> None:
    engine = Counted("table", seconds=1.0)
    own = batcher(engine)

    async def main() -> list[Asked]:
        asked = [Asked() for _ in range(5)]
        own.submit(row(0), asked[0])
        await asyncio.sleep(0)  # the first run is handed to the thread
        for number, exchange in enumerate(asked[1:], 1):
            own.submit(row(number), exchange)
        while not all(exchange.status for exchange in asked):
            await asyncio.sleep(0.001)
        return asked

    answers = asyncio.run(asyncio.wait_for(main(), 10))
    own.close()
    assert [data(asked) for asked in answers] == [[0], [10], [20], [30], [40]]
    assert engine.runs == [1, 4]


def test_two_instances_share_what_waits_and_run_at_the_same_time() -> None:
    engine = Counted("table", seconds=1.0)
    both = threading.Barrier(2, timeout=30)
    whole = engine.run_all

    def run_all(*given: Any, **more: Any) -> list[Any]:
        both.wait()  # until the other one runs, too
        return whole(*given, **more)

    engine.run_all = run_all  # type: ignore[method-assign]
    own = batcher(engine, instances=2)
    answers = ask(own, [row(number % 5) for number in range(9)])
    own.close()
    assert [data(asked) for asked in answers] == [[number % 5 * 10] for number in range(9)]
    assert sorted(engine.runs) == [4, 5]
    assert own.counts.batches == {4: 1, 5: 1}
    assert not own.busy


def test_a_third_batch_waits_until_one_of_two_instances_is_free() -> None:
    engine = Counted("table", seconds=1.0)
    go = threading.Event()
    whole = engine.run_all

    def run_all(feeds: dict[str, Any], *given: Any, **more: Any) -> list[Any]:
        if len(next(iter(feeds.values()))) == 1:
            assert go.wait(30)
        return whole(feeds, *given, **more)

    engine.run_all = run_all  # type: ignore[method-assign]
    own = batcher(engine, instances=2)

    async def main() -> list[Asked]:
        asked = [Asked() for _ in range(6)]
        for number in (0, 1):
            own.submit(row(number), asked[number])
            await asyncio.sleep(0)
        for number in (2, 3, 4):
            own.submit(row(number), asked[number])
        await asyncio.sleep(0.05)
        assert not any(exchange.status for exchange in asked)
        go.set()
        while not all(exchange.status for exchange in asked[:5]):
            await asyncio.sleep(0.001)
        own.submit(row(0), asked[5])  # the queue goes on
        while not asked[5].status:
            await asyncio.sleep(0.001)
        return asked

    answers = asyncio.run(asyncio.wait_for(main(), 30))
    own.close()
    assert [data(asked) for asked in answers] == [[0], [10], [20], [30], [40], [0]]
    assert sum(engine.runs) == 6
    assert not own.busy


@pytest.mark.parametrize("instances", [1, 2])
def test_where_no_thread_can_be_had_callers_are_told_and_the_next_are_served(
    instances: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Counted("table", seconds=1.0)
    own = batcher(engine, instances=instances)

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.ThreadPoolExecutor.submit", refuse)
        assert [asked.status for asked in ask(own, [row(1), row(2), row(3)])] == [503] * 3
    assert [data(asked) for asked in ask(own, [row(1), row(2)])] == [[10], [20]]
    own.close()


def test_ending_a_run_whose_callers_have_gone_leaves_the_other_instance_alone() -> None:
    engine = Engine.load(busy())
    engine.run_limit = 60.0
    ended: list[Exception] = []
    answered: list[Any] = []
    identities: dict[str, int] = {}

    def run(name: str, steps: int) -> None:
        identities[name] = threading.get_ident()
        try:
            answered.append(engine.run_all({"n": np.array([steps], np.int64)}, 0, limited=True))
        except Exception as error:
            ended.append(error)

    long = threading.Thread(target=run, args=("long", 3000))
    long.start()
    short = threading.Thread(target=run, args=("short", 20))
    short.start()
    short.join(60)
    assert (len(answered), ended) == (1, [])
    engine.end_long_run(0.0, thread=identities["short"])
    assert long.is_alive()
    while long.is_alive():  # it may not have begun yet
        engine.end_long_run(0.0, thread=identities["long"])
        long.join(0.05)
    assert [type(error) for error in ended] == [Down]


def test_alone_is_answered_before_submit_returns() -> None:
    async def main() -> int:
        asked = Asked()
        batcher(Counted("table")).submit(row(1), asked, True)
        return asked.status

    assert asyncio.run(main()) == 200


def with_timeout(body: bytes, microseconds: object) -> bytes:
    return json.dumps({**json.loads(body), "parameters": {"timeout": microseconds}}).encode()


def test_who_has_gone_when_the_thread_comes_to_it_counts_as_cancelled_not_as_answered() -> None:
    own = batcher(Counted("table"))
    gone, there = Asked(), Asked()
    gone.gone = True
    for asked in (gone, there):
        own.counts.ran(1)
        waiting = Waiting(own._reader.read(row(1)), asked, None)
        for exchange, status, body, headers in own._run.answers([waiting], True):
            exchange.respond(status, body, headers)
    assert (gone.status, there.status) == (499, 200)
    assert (own.counts.answered, own.counts.cancelled, own.counts.failed) == (1, 1, 0)
    own.close()


def test_who_has_gone_and_what_is_too_late_is_not_run() -> None:
    engine = Counted("table", seconds=1.0)
    own = batcher(engine)

    async def main() -> list[Asked]:
        asked = [Asked() for _ in range(5)]
        own.submit(row(0), asked[0])
        await asyncio.sleep(0)  # the first run is handed to the thread
        own.submit(row(1), asked[1])
        own.submit(with_timeout(row(2), 1), asked[2])
        own.submit(with_timeout(row(3), 60_000_000), asked[3])
        own.submit(row(4), asked[4])
        asked[4].gone = True
        while not all(exchange.status for exchange in asked):
            await asyncio.sleep(0.001)
        return asked

    answers = asyncio.run(asyncio.wait_for(main(), 10))
    own.close()
    assert [asked.status for asked in answers] == [200, 200, 504, 200, 499]
    assert engine.runs == [1, 2]
    assert (own.counts.expired, own.counts.cancelled) == (1, 1)


def test_the_shorter_of_two_timeouts_counts() -> None:
    engine = Counted("table", seconds=1.0)
    own = batcher(engine)

    async def main() -> list[int]:
        asked = [Asked() for _ in range(4)]
        own.submit(row(0), asked[0])
        await asyncio.sleep(0)
        own.submit(row(1), asked[1], seconds=1e-6)
        own.submit(with_timeout(row(2), 1), asked[2], seconds=60)
        own.submit(with_timeout(row(3), 60_000_000), asked[3], seconds=60)
        while not all(exchange.status for exchange in asked):
            await asyncio.sleep(0.001)
        return [exchange.status for exchange in asked]

    assert asyncio.run(asyncio.wait_for(main(), 10)) == [200, 504, 504, 200]
    own.close()


def test_a_timeout_of_nothing_is_none() -> None:
    assert data(ask(batcher(Counted("table")), [with_timeout(row(1), 0)])[0]) == [10]


@pytest.mark.parametrize("timeout", [-1, 1.5, True, "1", 1 << 64])
def test_a_timeout_that_is_none_is_refused(timeout: object) -> None:
    (answer,) = ask(batcher(Counted("table")), [with_timeout(row(1), timeout)])
    assert answer.status == 400
    assert "timeout" in answer.body["error"]


def test_a_long_queue_lets_other_models_have_their_turn() -> None:
    long, short = Counted("table", batch_safe=False, seconds=0.001), Counted("table")
    done: list[str] = []

    class Named(Asked):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
            done.append(self.name)

    async def main() -> None:
        first, second = batcher(long), batcher(short)
        for _ in range(50):
            first.submit(row(1), Named("long"))
        second.submit(row(1), Named("short"))
        while len(done) < 51:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert done.index("short") < 10


def test_what_makes_no_array_does_not_keep_the_rest_from_sharing_a_run() -> None:
    engine = Counted("tiny")
    own = batcher(engine)
    good = features(1)
    ask(own, [good])  # now what stands around the numbers is known
    start, stop = good.index(b"[", good.index(b"data")) + 1, good.rindex(b"]", 0, good.rindex(b"]"))
    numbers = good[start:stop].split(b",")
    bad = good[:start] + b",".join([b" x", *numbers[1:]]) + good[stop:]
    unknown = good[:start] + b",".join([b"null", *numbers[1:]]) + good[stop:]
    engine.runs.clear()
    answers = ask(own, [good, bad, features(2), unknown, good])
    assert [asked.status for asked in answers] == [200, 400, 200, 200, 200]
    assert engine.runs == [4]
    assert data(answers[3]) == [None] * 8
    assert data(answers[4]) == data(answers[0])


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_fault_of_our_own_costs_its_batch_and_not_the_model(seconds: float) -> None:
    class Fault(BaseException):
        """Nothing that anybody expects."""

    def fail(*_: Any, **__: Any) -> Any:
        raise Fault

    engine = Counted("table", seconds=seconds)
    own = batcher(engine)
    run_all, engine.run_all = engine.run_all, fail  # type: ignore[method-assign]

    async def main() -> list[Asked]:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        asked = [Asked(), Asked(), Asked()]
        own.submit(row(1), asked[0])
        own.submit(row(2), asked[1])
        await asyncio.sleep(0.1)
        engine.run_all = run_all  # type: ignore[method-assign]
        own.submit(row(3), asked[2])
        await asyncio.sleep(0.1)
        return asked

    asked = asyncio.run(main())
    assert asked[2].status == 200
    assert not own.busy
    if seconds:  # in the thread
        assert [exchange.status for exchange in asked[:2]] == [500, 500]


@pytest.mark.parametrize(
    "text", [b"", b" ", b"[]", b"null null", b"[1.5]", b"1.5]", b'"1.5"', b"1e999", b"\xff", b"{}"]
)
def test_whatever_stands_for_the_one_number_the_others_are_answered(text: bytes) -> None:
    """A model of one value a row: blanks have as many commas as one number has."""
    engine = Counted("relu", content=relu(1))
    own = batcher(engine)

    def question(number: bytes) -> bytes:
        return b'{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[%b]}]}' % number

    ask(own, [question(b"1.5")])
    (lone,) = ask(batcher(engine), [question(text)])
    for bodies in ([b"2.5", text, b"3.5"], [text, b"2.5"], [text, text], [text]):
        answers = ask(own, [question(number) for number in bodies])
        for number, answer in zip(bodies, answers, strict=True):
            if number == text:
                assert answer.status == lone.status, (bodies, answer.body)
            else:
                assert (answer.status, data(answer)) == (200, [float(number)])
    assert not own.busy


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(st.text('0123456789.,-eE[] "{}:nul\\', max_size=16).map(str.encode), min_size=1, max_size=4))
def test_what_is_answered_together_is_what_would_be_answered_alone(texts: list[bytes]) -> None:
    engine = Counted("relu", content=relu(2))

    def question(text: bytes) -> bytes:
        return b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[%b]}]}' % text

    bodies = [question(text) for text in texts]
    own = batcher(engine)
    usual = question(b"1,2")
    ask(own, [usual])  # now the frame is known
    *together, last = ask(own, [*bodies, usual])
    assert (last.status, data(last)) == (200, [1, 2])
    for body, answer in zip(bodies, together, strict=True):
        (alone,) = ask(batcher(engine), [body])
        assert answer.status == alone.status, (body, answer.body, alone.body)
        assert answer.status != 200 or data(answer) == data(alone)
    assert not own.busy


def test_no_rows_are_refused_where_they_were_not_measured() -> None:
    """ONNX Runtime ends the process on a recurrent layer's batch of 0: no caller may do that to a server."""
    engine = Counted("tiny")
    own = batcher(engine)
    (answer,) = ask(own, [features(0, 0)])
    assert (answer.status, engine.runs, own.counts.refused) == (400, [], 1)
    assert "no rows" in answer.body["error"]


def test_a_run_is_trusted_by_its_shape_and_not_by_the_number_of_values() -> None:
    content = model([node("MatMul", ["x", "x"], ["y"])], ["x:float32[n,n]"], ["y:float32[n,n]"])
    engine = Engine.load(content)
    small, large = ((2, 2),), ((9, 9),)
    engine.run_all({"x": np.ones((2, 2), np.float32)}, 4, small)
    assert engine.expected_seconds(4, small) < 1
    assert engine.expected_seconds(81, large) == float("inf")


def test_a_run_whose_time_follows_values_is_never_trusted() -> None:
    engine = Engine.load(MODELS / "slow.onnx")
    for _ in range(3):
        engine.run_all({"steps": np.array(1, np.int64)}, 1, ((),))
    assert engine.expected_seconds(1, ((),)) == float("inf")


def test_a_run_that_takes_too_long_is_ended_and_the_next_answered() -> None:
    engine = Engine.load(MODELS / "slow.onnx")
    engine.run_limit = 0.2
    own = batcher(engine)  # type: ignore[arg-type]

    def steps(number: int) -> bytes:
        tensor = {"name": "steps", "shape": [], "datatype": "INT64", "data": [number]}
        return json.dumps({"inputs": [tensor]}).encode()

    async def main() -> list[Asked]:
        asked = [Asked(), Asked(), Asked()]
        own.submit(steps(10**12), asked[0])
        own.submit(steps(2), asked[1])
        while not asked[1].status:
            await asyncio.sleep(0.01)
        # Nobody waits for it any more.
        engine.run_limit = 1e9
        own.submit(steps(10**12), asked[2])
        asked[2].gone = True
        engine.run_limit = 0.2  # how often it is looked at
        while own.busy:
            await asyncio.sleep(0.01)
        return asked

    asked = asyncio.run(asyncio.wait_for(main(), 60))
    assert asked[0].status == 503
    assert "was ended" in asked[0].body["error"]
    assert asked[1].status == 200
    own.close()


@pytest.mark.parametrize("error", [MemoryError, OverflowError, RecursionError])
def test_whatever_is_raised_around_a_batch_is_answered_500(error: type[Exception], monkeypatch: Any) -> None:
    engine = Counted("table")
    own = batcher(engine)

    def fail(*_: Any, **__: Any) -> Any:
        raise error("no")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "expected_seconds", fail)
        assert [asked.status for asked in ask(own, [row(1), row(2)])] == [500, 500]
        assert [asked.status for asked in ask(own, [row(1)])] == [500]
    assert [asked.status for asked in ask(own, [row(1), row(2)])] == [200, 200]
    if error is MemoryError:
        with monkeypatch.context() as patch:
            patch.setattr(engine, "run_all", fail)
            assert [asked.status for asked in ask(own, [row(1), row(2)])] == [500, 500]
