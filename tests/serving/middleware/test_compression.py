"""Packed bodies: read within the limit, and refused with a reason."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.harness import ask, infer_body, running, serving
from tests.serving.onnx_models import publish_affine

from onnxpress.serving.middleware.compression import accepts_gzip, unpack
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AnswerSettings

TARGET = "/v2/models/affine/infer"


def bare(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": bare}


@given(body=st.binary(max_size=200), encoding=st.sampled_from(sorted(PACKERS)))
def test_what_was_packed_comes_out(body: bytes, encoding: str) -> None:
    packed = PACKERS[encoding](body)
    assert unpack(encoding.encode(), packed, 200) == body
    if body:
        with pytest.raises(Refusal) as refused:
            unpack(encoding.encode(), packed, len(body) - 1)
        assert refused.value.status == 413
    with pytest.raises(Refusal) as refused:
        unpack(encoding.encode(), packed[:-1], 200)
    assert refused.value.status == 400


def test_gzip_in_several_pieces_has_one_limit() -> None:
    packed = gzip.compress(b"a" * 600) + gzip.compress(b"b" * 600)
    assert unpack(b"gzip", packed, 1200) == b"a" * 600 + b"b" * 600
    with pytest.raises(Refusal):
        unpack(b"gzip", packed, 1199)


@pytest.mark.parametrize(("encoding", "empty"), [(b"gzip", gzip.compress(b"", mtime=0)), (b"deflate", b"\x03\x00")])
def test_many_empty_streams_cost_no_more_than_their_bytes(encoding: bytes, empty: bytes) -> None:
    body = empty * ((16 << 20) // len(empty))
    started = process_time()
    with pytest.raises(Refusal, match="more than 4096 compressed streams"):
        unpack(encoding, body, 1 << 20)
    assert process_time() - started < 2
    assert unpack(encoding, empty * 4096, 0) == b""


def test_blocks_packed_for_themselves_are_read() -> None:
    blocks = [bytes([number]) * (1 << 16) for number in range(40)]
    assert unpack(b"gzip", b"".join(map(gzip.compress, [*blocks, b""])), 40 << 16) == b"".join(blocks)


def test_a_bomb_is_refused_before_it_is_large() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000)
    with pytest.raises(Refusal, match="larger than 1000 bytes once it is unpacked"):
        unpack(b"gzip", bomb, 1000)


@given(st.binary(min_size=1, max_size=60))
def test_nonsense_is_refused(body: bytes) -> None:
    try:
        unpack(b"gzip", body, 1000)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017 - both ends are allowed, no other


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("gzip; q=0.00", False), ("br", False),
     ("", False), ("identity", False)],
)  # fmt: skip
def test_who_accepts_gzip(accepted: str, expected: bool) -> None:
    assert accepts_gzip(accepted.encode()) is expected


def test_over_http(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    row = infer_body([[1, 2, 3]])
    with serving(tmp_path) as server:
        for encoding, pack in PACKERS.items():
            reply = ask(server.port, "POST", TARGET, pack(row), [f"content-encoding: {encoding}"])
            assert reply.json()["outputs"][0]["data"] == [6, 6]
        assert ask(server.port, "POST", TARGET, row, ["content-encoding: br"]).status == 415
        assert ask(server.port, "POST", TARGET, row, ["content-encoding: gzip"]).status == 400
        assert ask(server.port, "POST", TARGET, row, ["content-encoding: gzip, gzip"]).status == 415
        assert "content-encoding" not in ask(server.port, "POST", TARGET, row, ["accept-encoding: gzip"]).headers
    with running(Service(Repository(tmp_path)), answers=AnswerSettings(compress_from=200)) as server:
        many = infer_body([[1, 2, 3]] * 100)
        reply = ask(server.port, "POST", TARGET, many, ["accept-encoding: br, gzip"])
        assert (reply.headers["content-encoding"], reply.headers["vary"]) == ("gzip", "accept-encoding")
        assert json.loads(gzip.decompress(reply.body))["outputs"][0]["data"] == [6] * 200
        assert "content-encoding" not in ask(server.port, "POST", TARGET, row, ["accept-encoding: gzip"]).headers
        assert "content-encoding" not in ask(server.port, "POST", TARGET, many).headers
