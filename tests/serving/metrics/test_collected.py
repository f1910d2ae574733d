"""What /metrics says, read as Prometheus reads it."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.serving.harness import Client, ask, infer_body, request, serving, started
from tests.serving.onnx_models import lookup, plain, publish_affine

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)')


def read(text: str) -> dict[str, float]:
    """Every sample, and that each belongs to a metric that was announced."""
    found, kinds = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            name = re.sub(r"_(bucket|sum|count)$", "", match[1]) if match[1] not in kinds else match[1]
            assert name in kinds, line
            assert line.rpartition(" ")[0] not in found, "a sample twice"
            found[line.rpartition(" ")[0]] = float(match[3])
    return found


def test_what_happened_is_counted(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "lookup", lookup())
    plain(tmp_path, "broken", b"no")
    with serving(tmp_path) as server:
        row = request("POST", "/v2/models/affine/infer", infer_body([[1, 2, 3]]))
        with Client(server.port) as client:
            client.send(row)
            client.reply()
            client.send(row * 8)
            for _ in range(8):
                client.reply()
        ask(server.port, "POST", "/v2/models/affine/infer", b"{")
        bad = b'{"inputs":[{"name":"i","shape":[1],"datatype":"INT64","data":[99]}]}'
        assert ask(server.port, "POST", "/v2/models/lookup/infer", bad).status == 400
        ask(server.port, "GET", "/nothing")
        with Client(server.port) as client:
            client.send(b"nonsense\r\n\r\n")
            client.reply()
        reply = ask(server.port, "GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = read(reply.body.decode())
    affine, table = 'model="affine",version="1"', 'model="lookup",version="1"'
    assert found[f'onnxpress_requests_total{{{affine},outcome="answered"}}'] == 9
    assert found[f'onnxpress_requests_total{{{affine},outcome="refused"}}'] == 1
    assert found[f'onnxpress_requests_total{{{table},outcome="failed"}}'] == 1
    assert found[f'onnxpress_requests_total{{{table},outcome="answered"}}'] == 0
    assert found[f"onnxpress_batch_requests_sum{{{affine}}}"] == 9
    assert (
        found[f'onnxpress_batch_requests_bucket{{{affine},le="+Inf"}}']
        == found[f"onnxpress_batch_requests_count{{{affine}}}"]
    )
    assert found[f"onnxpress_verified{{{affine}}}"] == 1
    assert found[f"onnxpress_verified{{{table}}}"] == 0
    assert found['onnxpress_failed_version{model="broken",version="1"}'] == 1
    assert found['onnxpress_answers_total{code="400"}'] == 3
    assert found['onnxpress_answers_total{code="404"}'] == 1
    assert found["onnxpress_ready"] == 0  # a model could not be loaded
    assert found["process_resident_memory_bytes"] > 1e6


def test_a_server_began_when_it_was_started_and_not_when_it_was_first_asked(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    before = time.time()
    with started(tmp_path) as server:
        answers = time.time()
        while time.time() < answers + 0.1:
            time.sleep(0.01)
        first, again = (ask(server.port, "GET", "/metrics").body.decode() for _ in range(2))
    began = read(first)["process_start_time_seconds"]
    assert before <= began <= answers
    assert read(again)["process_start_time_seconds"] == began
