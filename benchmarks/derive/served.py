"""`python -m benchmarks.derive.served`: versions in 8 bits served beside their parents, to 32 callers.

Every answer is held against the same row's answer alone, by its own version: bit by bit, and in the version's noise
floors. Start, memory and answers a second are of servers of one version each, in turns, and told as ratios to the
parent. The record is `records/<date>-derive-served.json`. Exits with 1 where an answer was another one than alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from tests.serving.harness import Client

from benchmarks import machine
from benchmarks.derive.wishes import wish_for
from benchmarks.gpu.serving import binary, running
from benchmarks.processes import resident
from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.indented_json import indented
from onnxpress.serving.client.http import Answer
from onnxpress.serving.client.tensors import read

RECORDS = Path(__file__).parents[1] / "records"
SUBJECTS = "wide_mlp,cnn14"
CALLERS, _ROWS = 32, 128
PARENT, DERIVED = 1, 2
_NAMES = {PARENT: "parent", DERIVED: "int8"}
_STARTS = 5
_Answer = dict[str, Array]


def main() -> None:
    """Measure, write the record, and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=SUBJECTS)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    given = parser.parse_args()
    found = {}
    for name in given.only.split(","):
        found[name] = measured(name, given.seconds)
        print(indented(found[name]).decode(), file=sys.stderr, flush=True)
    now = datetime.now(UTC)
    record = {
        "date": now.isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load_average": os.getloadavg()[0],
        "callers": CALLERS,
        "models": found,
    }
    if given.only == SUBJECTS:
        (RECORDS / f"{now:%Y-%m-%d}-derive-served.json").write_bytes(indented(record))
    print(indented(found).decode())
    if wrong := [name for name, figures in found.items() if not figures.get("as_alone", True)]:
        raise SystemExit(f"not answered as alone: {', '.join(wrong)}")


def measured(name: str, seconds: float) -> dict[str, Any]:
    """Publish both, and serve them."""
    from benchmarks.derive.subjects import SUBJECTS as MODELS
    from onnxpress.export.api import export
    from onnxpress.export.derive.stage import derive

    print(name, file=sys.stderr, flush=True)
    subject = MODELS[name]()
    with tempfile.TemporaryDirectory() as temporary:
        published = export(subject.model, name=name, repository=Path(temporary), example=subject.example)
        wish = wish_for(subject, published.manifest, "int8", seconds=0.3, search_seconds=30.0)
        outcome = derive(published.folder, wish)
        if outcome.published is None:
            return {"refused": [one.refused or [one.failed] for one in outcome.tried]}
        assert wish.held_out is not None
        rows = {key: value[:_ROWS] for key, value in wish.held_out.items()}
        folder = published.folder.parent
        return {
            "method": outcome.published.tried.method,
            "smaller": outcome.published.tried.smaller,
            "batched": outcome.published.manifest.rows,
            **_beside(folder, rows, seconds),
            **_each(folder, rows, seconds),
        }


@dataclass
class Heard:
    """What callers heard."""

    answers: int = 0
    identical: int = 0
    farthest: float = 0.0
    """from the answer alone, in noise floors"""
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, answer: _Answer, alone: _Answer, floors: Mapping[str, float]) -> None:
        """One answer, beside the same row's alone."""
        with self.lock:
            self.answers += 1
            if status != 200 or answer.keys() != alone.keys():
                self.failed += 1
                return
            same = all(np.array_equal(answer[name], alone[name], equal_nan=True) for name in alone)
            self.identical += same
            if not same:
                self.farthest = max(
                    self.farthest,
                    *(_distance(answer[name], alone[name], floors.get(name, 0.0)) for name in alone),
                )


def _distance(answer: Array, alone: Array, floor: float) -> float:
    case = golden.Golden({}, {"": alone}, {"": np.full(alone.shape, floor)})
    return golden.worst_multiple(case, {"": answer})[""]


def _beside(folder: Path, rows: Mapping[str, Array], seconds: float) -> dict[str, Any]:
    """Both versions in one server, every caller asking both in turn."""
    with running(folder, "cpu", "--versions", "all") as (port, _, _):
        questions = [(version, row) for version in (PARENT, DERIVED) for row in range(_ROWS)]
        asked = {one: _question(folder.name, one[0], rows, one[1]) for one in questions}
        with Client(port) as client:
            alone = {one: _answer(client, asked[one])[1] for one in questions}
        floors = {version: _floors(folder / str(version)) for version in (PARENT, DERIVED)}
        heard = Heard()

        def call(number: int, client: Client) -> None:
            row = (number // 2) % _ROWS
            version = PARENT if number % 2 else DERIVED
            status, answer = _answer(client, asked[version, row])
            heard.add(status, answer, alone[version, row], floors[version])

        _load(port, call, seconds)
        runs = _rows_in_a_run(port)
    return {
        "answers": heard.answers,
        "identical": heard.identical,
        "farthest_floors": round(heard.farthest, 3),
        "failed": heard.failed,
        "as_alone": not heard.failed and heard.farthest <= golden.LIMIT,
        "requests_in_a_run": runs,
    }


def _each(folder: Path, rows: Mapping[str, Array], seconds: float) -> dict[str, Any]:
    """Servers of one version each, in turns."""
    starts: dict[int, list[float]] = {PARENT: [], DERIVED: []}
    memory: dict[int, list[float]] = {PARENT: [], DERIVED: []}
    rates: dict[int, list[float]] = {PARENT: [], DERIVED: []}
    for turn in range(_STARTS):
        for version in (PARENT, DERIVED):
            asked = [_question(folder.name, version, rows, row) for row in range(_ROWS)]
            with running(folder, "cpu", "--versions", str(version)) as (port, process, _):
                with Client(port) as client:
                    _answer(client, asked[0])
                    starts[version].append(time.perf_counter() - process.began)
                memory[version].append(resident(process.pid))
                if turn < 2:

                    def call(number: int, client: Client, asked: Sequence[bytes] = asked) -> None:
                        _answer(client, asked[number % _ROWS])

                    rates[version].append(_load(port, call, seconds) / seconds)
    told: dict[str, Any] = {}
    megabytes = {version: [value / 1e6 for value in values] for version, values in memory.items()}
    for what, figures in (("start_s", starts), ("resident_mb", megabytes), ("answers_a_second", rates)):
        middle = {version: statistics.median(values) for version, values in figures.items()}
        told[what] = {_NAMES[version]: round(value, 3) for version, value in middle.items()}
        told[what]["ratio"] = round(middle[DERIVED] / middle[PARENT], 3)
    return told


def _load(port: int, call: Callable[[int, Client], None], seconds: float) -> int:
    """All callers at once, each asking one after the other; how many answers came. What goes wrong in one is raised."""
    ends, counts, failed = time.perf_counter() + seconds, [0] * CALLERS, list[BaseException]()

    def caller(number: int) -> None:
        try:
            with Client(port) as client:
                while time.perf_counter() < ends:
                    call(number + counts[number] * (CALLERS + 1), client)
                    counts[number] += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return sum(counts)


def _question(name: str, version: int, rows: Mapping[str, Array], row: int) -> bytes:
    return binary(f"{name}/versions/{version}", {key: value[row : row + 1] for key, value in rows.items()})


def _answer(client: Client, question: bytes) -> tuple[int, _Answer]:
    """The status, and output → values."""
    client.send(question)
    reply = client.reply()
    if reply.status != 200:
        return reply.status, {}
    return reply.status, read(Answer(reply.status, reply.headers, bytearray(reply.body)))


def _floors(version: Path) -> dict[str, float]:
    """Output → its largest noise floor on the version's golden samples."""
    found: dict[str, float] = {}
    for case in golden.read(version / golden.FILE_NAME):
        for name, floor in case.floors.items():
            found[name] = max(found.get(name, 0.0), float(floor[np.isfinite(floor)].max(initial=0.0)))
    return found


def _rows_in_a_run(port: int) -> dict[str, float]:
    """Of each version, how many requests shared a run on average, as the server tells it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    found = {}
    for version, name in _NAMES.items():
        sums = {
            kind: sum(
                float(line.rpartition(" ")[2])
                for line in lines
                if line.startswith(f"onnxpress_batch_requests_{kind}{{") and f'version="{version}"' in line
            )
            for kind in ("sum", "count")
        }
        found[name] = round(sums["sum"] / sums["count"], 2) if sums["count"] else 0.0
    return found


if __name__ == "__main__":
    main()
