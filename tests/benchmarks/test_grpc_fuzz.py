"""The fuzz of frames, header blocks and messages: some of its mutants; all by `python -m benchmarks.grpc grpc-fuzz`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from benchmarks.grpc import fuzz
from benchmarks.load.process import publish_all

from onnxpress.serving.handler import handler_of
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.requests import Reader
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ServerSettings
from onnxpress.serving.transports.http2.hpack import Decoder
from onnxpress.serving.transports.shared import Shared

NUMBERS = range(1_000_000, 1_000_512)


def test_nonsense_is_refused_or_ends_its_connection(tmp_path: Path) -> None:
    publish_all(tmp_path, "tiny", fuzz.BESIDE)
    repository = Repository(tmp_path)
    repository.load()
    settings = ServerSettings()
    shared = Shared(handler_of(Service(repository), settings), settings.limits)
    engine = repository.find("tiny", None).engine
    loop = asyncio.new_event_loop()
    try:
        for one in (
            fuzz.header_blocks,
            fuzz.messages_for(Reader(engine.inputs, engine.outputs)),
            fuzz.frames_for(shared, loop),
        ):
            _, wrong, found = one(NUMBERS)
            assert wrong == []
            assert len(found) > 1  # some are read
        loop.run_until_complete(asyncio.sleep(0.6))  # who watches is looked at a last time
    finally:
        loop.close()
        repository.close()


def test_a_fault_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Decoder, block: bytes) -> None:
        raise KeyError(len(block))

    monkeypatch.setattr(Decoder, "decode", broken)
    assert "KeyError" in fuzz.header_blocks(range(3))[1][0]
