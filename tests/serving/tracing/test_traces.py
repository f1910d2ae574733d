"""Traces as a collector gets them from a running server: whose, with which spans, and how they hang together."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import Client, ask, infer_body, request, started, wait_until
from tests.serving.onnx_models import publish_affine

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="needs the extra otel")

TARGET = "/v2/models/affine/infer"
ROW = infer_body([[1, 2, 3]])
CALLER = "b7ad6b7169203331"
SAMPLED, NOT_SAMPLED = "01", "00"


def traceparent(number: int, flags: str = SAMPLED) -> str:
    return f"00-{number:032x}-{CALLER}-{flags}"


class Collector:
    """Takes traces on loopback; `status` is what it answers."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces" and outer.status == 200:
                    for of_resource in service.ExportTraceServiceRequest.FromString(body).resource_spans:
                        outer.resources.append(values(of_resource.resource.attributes))
                        for scope in of_resource.scope_spans:
                            outer.spans.extend(scope.spans)
                outer.asked += 1
                self.send_response(outer.status if self.path == "/v1/traces" else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    found = Collector()
    try:
        yield found
    finally:
        found.close()


def test_a_traced_request_is_five_spans_and_its_run_one_that_is_linked_with_it(
    tmp_path: Path, collector: Collector
) -> None:
    publish_affine(tmp_path)
    with started(tmp_path, "--trace", collector.url, "--access-log", "--log-format", "json") as server:
        plain = ask(server.port, "POST", TARGET, ROW)
        unsampled = ask(server.port, "POST", TARGET, ROW, [f"traceparent: {traceparent(1, NOT_SAMPLED)}"])
        wrong = ask(server.port, "POST", TARGET, ROW, ["traceparent: 00-nonsense"])
        asked = [f"traceparent: {traceparent(2)}", "tracestate: vendor=x"]
        traced = ask(server.port, "POST", TARGET, ROW, asked)
        refused = ask(server.port, "POST", TARGET, b"{", [f"traceparent: {traceparent(3)}"])
        pipelined = request("POST", TARGET, ROW, [f"traceparent: {traceparent(4)}"])
        with Client(server.port) as client:
            client.send(pipelined * 8 + request("POST", TARGET, ROW))
            assert [client.reply().status for _ in range(9)] == [200] * 9
        _, errors = server.leave()
    assert (traced.status, refused.status) == (200, 400)
    assert [reply.headers.get("traceparent") for reply in (plain, unsampled, wrong)] == [None] * 3
    spans = {span.name: span for span in collector.spans if span.trace_id.hex() == f"{2:032x}"}
    assert set(spans) == {f"POST {TARGET}", "receive", "wait", "run", "send"}
    top = spans[f"POST {TARGET}"]
    assert (top.parent_span_id.hex(), top.trace_state) == (CALLER, "vendor=x")
    assert traced.headers["traceparent"] == f"00-{2:032x}-{top.span_id.hex()}-01"
    told = values(top.attributes)
    assert (told["http.request.method"], told["url.path"], told["http.response.status_code"]) == ("POST", TARGET, 200)
    assert (told["onnxpress.model"], told["onnxpress.version"]) == ("affine", 1)
    inner = [spans[name] for name in ("receive", "wait", "run", "send")]
    assert {span.parent_span_id for span in inner} == {top.span_id}
    times = [time for span in inner for time in (span.start_time_unix_nano, span.end_time_unix_nano)]
    assert times == sorted(times)
    assert top.start_time_unix_nano <= times[0]
    assert times[-1] == top.end_time_unix_nano
    # One request alone, and eight of nine that shared a run or several.
    batches = collector.named("batch")
    linked = {link.span_id: values(batch.attributes) for batch in batches for link in batch.links}
    runs = collector.named("run")
    assert len(runs) == 9
    assert {span.span_id for span in runs} == set(linked)
    assert linked[spans["run"].span_id]["batch.size"] == 1
    by_id = {batch.span_id: batch for batch in batches}
    for span in runs:
        (link,) = span.links
        size = values(by_id[link.span_id].attributes)["batch.size"]
        assert values(span.attributes)["batch.size"] == size
    assert max(values(batch.attributes)["batch.size"] for batch in batches) > 1
    # What was refused is one span; nobody else is there.
    (span,) = [span for span in collector.spans if span.trace_id.hex() == f"{3:032x}"]
    assert (span.name, values(span.attributes)["http.response.status_code"]) == ("POST", 400)
    requested = [span for span in collector.spans if span.parent_span_id.hex() == CALLER]
    assert {int(span.trace_id.hex(), 16) for span in requested} == {2, 3, 4}
    assert {one["service.name"] for one in collector.resources} == {"onnxpress"}
    lines = [line for line in map(json.loads, errors.splitlines()) if "path" in line]
    assert "trace_id" not in lines[0]
    assert (lines[1]["trace_id"], lines[3]["trace_id"]) == (f"{1:032x}", f"{2:032x}")
    assert lines[3]["span_id"] == top.span_id.hex()


def test_grpc_gets_it_as_metadata(tmp_path: Path, collector: Collector) -> None:
    grpc = pytest.importorskip("grpc", reason="needs grpcio")
    publish_affine(tmp_path)
    path = "/inference.GRPCInferenceService/ServerLive"
    with started(tmp_path, "--trace", collector.url) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            _, call = channel.unary_unary(path).with_call(
                b"", metadata=[("traceparent", traceparent(5))], timeout=60, wait_for_ready=True
            )
            given = dict(call.initial_metadata())["traceparent"]
        server.leave()
    (span,) = collector.spans
    assert (span.name, span.trace_id.hex()) == (path[1:], f"{5:032x}")
    assert given == f"00-{5:032x}-{span.span_id.hex()}-01"
    assert values(span.attributes)["rpc.system"] == "grpc"


def test_the_environment_of_opentelemetry_is_enough_and_workers_send_too(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_affine(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "flowers")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    with started(tmp_path, "--workers", "2") as server:
        begun = ask(server.port, "POST", TARGET, ROW)
        declined = ask(server.port, "POST", TARGET, ROW, [f"traceparent: {traceparent(1, NOT_SAMPLED)}"])
        server.leave()
    assert "traceparent" not in declined.headers
    (top,) = [span for span in collector.spans if span.name.startswith("POST")]
    assert not top.parent_span_id
    assert begun.headers["traceparent"].split("-")[1:3] == [top.trace_id.hex(), top.span_id.hex()]
    assert {one["service.name"] for one in collector.resources} == {"flowers"}


def test_a_collector_that_takes_nothing_harms_nobody_and_is_counted(tmp_path: Path, collector: Collector) -> None:
    publish_affine(tmp_path)
    collector.status = 400
    with started(tmp_path, "--trace", collector.url) as server:

        def lost() -> float:
            lines = ask(server.port, "GET", "/metrics").body.decode().splitlines()
            return float(
                next(line for line in lines if line.startswith("onnxpress_traced_requests_lost_total")).split()[1]
            )

        for number in range(1, 6):
            assert ask(server.port, "POST", TARGET, ROW, [f"traceparent: {traceparent(number)}"]).status == 200
        wait_until(lambda: lost() == 5)
        code, errors = server.leave()
    assert code == 0
    assert errors.count("traces cannot be sent") == 1
