"""The cost fuzz: some of its mutants here, all of them by `python -m benchmarks.load cost`."""

from __future__ import annotations

import sys

import pytest
from benchmarks.load import cost
from benchmarks.load.process import settled, watched

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process costs is read from /proc")
COUNT = 2000


def test_what_a_request_costs_an_application_in_a_host_follows_its_bytes() -> None:
    with watched("tiny", beside=cost.BESIDE, asgi=True) as server:
        descriptors = server.descriptors
        tried, dear, _ = cost.over(server, 2_000_000, COUNT // 4)
        assert (tried, dear) == (COUNT // 4, [])
        assert settled(server, descriptors) <= descriptors


def test_what_a_request_costs_follows_its_bytes() -> None:
    with watched("tiny", "--plain-rows", beside=cost.BESIDE) as server:
        descriptors = server.descriptors
        tried, dear, _ = cost.over(server, 1_000_000, COUNT)
        assert (tried, dear) == (COUNT, [])
        assert server.alive
        assert settled(server, descriptors) <= descriptors

        # A request that costs more than it may is found among those that do not.
        def one_is_dear(number: int) -> tuple[bytes, int]:
            if number != 37:
                return b"GET /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n", 40
            body = b'{"instances":[%b]}' % b",".join([b'{"x":[1]}'] * 400_000)
            head = b"POST /v1/models/open:predict HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % len(body)
            return head + body, 40

        meter = cost.Meter(server.process.pid, server.port)
        (found,) = cost.too_dear(meter, range(64), one_is_dear)
        assert found["mutant"] == 37
        assert found["seconds"] > cost.SLACK
