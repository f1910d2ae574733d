"""One worker's metrics of all: whoever asks is answered, whatever goes wrong while they are gathered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from onnxpress.serving.exchange import Headers
from onnxpress.serving.metrics.family import Family
from onnxpress.serving.metrics.over_workers import WorkerMetrics
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service


class Asked:
    gone = False

    def __init__(self) -> None:
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def hold(self, size: int) -> bool:
        return True

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self.answered.set_result(status)


def test_what_nobody_foresaw_is_answered(tmp_path: Path) -> None:
    async def main() -> int:
        def fails(_: list[Family]) -> None:
            raise MemoryError

        asked = Asked()
        WorkerMetrics(tmp_path, Service(Repository(tmp_path))).tell(fails, asked)
        return await asyncio.wait_for(asked.answered, 60)

    assert asyncio.run(main()) == 500


def test_without_a_thread_they_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(asyncio, "to_thread", none)

    async def main() -> list[Family]:
        return await WorkerMetrics(tmp_path, Service(Repository(tmp_path))).families()

    assert "onnxpress_ready" in {family.name for family in asyncio.run(main())}
