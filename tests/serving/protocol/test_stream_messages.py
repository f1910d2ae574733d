"""What is said of a request of a stream that went wrong."""

from __future__ import annotations

import gzip
import zlib

import pytest

from onnxpress.serving.protocol.protobuf import field
from onnxpress.serving.protocol.stream_messages import error_of

NAMED = field(1, b"model") + field(3, b"name")
SAID = field(1, b"why")
WITH_NAME = SAID + field(2, field(3, b"name"))


@pytest.mark.parametrize(
    ("request_", "packed", "answer"),
    [
        (NAMED, b"", WITH_NAME),
        (NAMED + field(7, bytes(1 << 20)), b"", WITH_NAME),
        (gzip.compress(NAMED + field(7, bytes(1 << 20))), b"gzip", WITH_NAME),
        (zlib.compress(NAMED), b"deflate", WITH_NAME),
        (NAMED + b"\xff", b"", WITH_NAME),
        (field(3, b"\xff"), b"", SAID),
        (b"no gzip", b"gzip", SAID),
        # What stands behind so much is not looked for: the loop has others to serve.
        (b"\x08\x01" * 2000 + NAMED, b"", SAID),
        (gzip.compress(field(7, bytes(1 << 20)) + NAMED), b"gzip", SAID),
    ],
)
def test_the_id_is_told_where_it_stands_near_the_beginning(request_: bytes, packed: bytes, answer: bytes) -> None:
    assert error_of(request_, packed, "why") == answer
