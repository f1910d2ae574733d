"""How long requests took, as a scraper and as Triton's clients read it, in every form and with every kind of run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from tests.serving.harness import Client, Running, ask, busy_request, infer_body, request, running, serving, wait_until
from tests.serving.onnx_models import busy, lookup, plain, publish_affine

from onnxpress.serving.metrics.family import Family
from onnxpress.serving.metrics.formats import OPEN_METRICS, PROTOBUF, TEXT, chosen
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import ConnectionLimits, ModelSettings, ProcessSettings
from onnxpress.serving.transports.http2.request import request_of
from onnxpress.serving.transports.request_head import HeadLines

TARGET = "/v2/models/affine/infer"
ROW = infer_body([[1, 2, 3]])
PHASES = ("queue", "decode", "run", "encode")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"traceparent: 00-{TRACE}-b7ad6b7169203331-01"


def scraped(server: Running) -> dict[str, float]:
    lines = ask(server.port, "GET", "/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def phases(found: dict[str, float], model: str, part: str) -> dict[str, float]:
    name = f"onnxpress_request_phase_seconds_{part}"
    return {phase: found[f'{name}{{model="{model}",version="1",phase="{phase}"}}'] for phase in PHASES}


def whole(found: dict[str, float], model: str, part: str) -> float:
    return found[f'onnxpress_request_seconds_{part}{{model="{model}",version="1"}}']


def test_every_request_that_is_answered_is_in_each_histogram_and_its_phases_are_the_whole(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    plain(tmp_path, "lookup", lookup())
    with serving(tmp_path) as server:
        for _ in range(3):
            assert ask(server.port, "POST", TARGET, ROW).status == 200
        with Client(server.port) as client:
            client.send(request("POST", TARGET, ROW) * 20)
            for _ in range(20):
                assert client.reply().status == 200
        assert ask(server.port, "POST", TARGET, b"{").status == 400
        bad = b'{"inputs":[{"name":"i","shape":[1],"datatype":"INT64","data":[99]}]}'
        assert ask(server.port, "POST", "/v2/models/lookup/infer", bad).status == 400
        found = scraped(server)
        (told,) = ask(server.port, "GET", "/v2/models/affine/stats").json()["model_stats"]
        (other,) = ask(server.port, "GET", "/v2/models/lookup/stats").json()["model_stats"]
    assert whole(found, "affine", "count") == 23
    assert set(phases(found, "affine", "count").values()) == {23}
    parts = phases(found, "affine", "sum")
    assert math.isclose(sum(parts.values()), whole(found, "affine", "sum"), rel_tol=1e-6)
    assert min(parts["run"], parts["decode"], parts["encode"]) > 0
    assert whole(found, "lookup", "count") == 0
    for name in ("affine", "lookup"):
        pattern = re.compile(rf'onnxpress_request_seconds_bucket\{{model="{name}",version="1",le="([^"]+)"\}}')
        buckets = [(float(match[1]), count) for key, count in found.items() if (match := pattern.fullmatch(key))]
        assert [bound for bound, _ in buckets] == [2.0**power for power in range(-17, 4)] + [math.inf]
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1][1] == whole(found, name, "count")
    inference = told["inference_stats"]
    assert {step: inference[step]["count"] for step in inference} == {
        "success": 23, "fail": 1, "queue": 23, "compute_input": 23, "compute_infer": 23, "compute_output": 23,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    assert all(inference[step]["ns"] > 0 for step in inference if not step.startswith(("cache", "queue")))
    assert told["last_inference"] > 1.7e12
    assert sum(size["batch_size"] * size["compute_infer"]["count"] for size in told["batch_stats"]) == 23
    runs = sum(size["compute_infer"]["count"] for size in told["batch_stats"])
    assert runs == told["execution_count"] - 1  # the self-test's warm run is the engine's, and no request's
    assert all(
        size[f"compute_{step}"]["ns"] > 0 for size in told["batch_stats"] for step in ("input", "infer", "output")
    )
    assert (other["last_inference"], other["batch_stats"]) == (0, [])
    assert other["inference_stats"]["fail"]["ns"] > 0


@pytest.mark.parametrize(
    ("models", "processes"),
    [({}, {}), ({"instances": 2}, {}), ({}, {"isolate": True})],
    ids=["a thread", "--instances 2", "--isolate"],
)
def test_runs_that_are_handed_over_are_counted_too(
    tmp_path: Path, models: dict[str, Any], processes: dict[str, Any]
) -> None:
    plain(tmp_path, "busy", busy())
    repository = Repository(tmp_path, ModelSettings(**models), ProcessSettings(**processes))
    with running(Service(repository)) as server:
        with Client(server.port) as client:
            client.send(busy_request(150) * 6)
            for _ in range(6):
                assert client.reply().status == 200
        (served,) = repository.all()
        wait_until(lambda: sum(served.batcher.counts.latencies.request.counts) == 6)
        found = scraped(server)
    assert set(phases(found, "busy", "count").values()) == {6}
    parts = phases(found, "busy", "sum")
    assert min(parts.values()) > 0
    assert sum(parts.values()) <= whole(found, "busy", "sum") * (1 + 1e-6)
    engine = found['onnxpress_run_seconds_total{model="busy",version="1"}']
    assert parts["run"] == pytest.approx(engine, rel=0.5)


def test_a_large_body_that_is_read_beside_the_loop_is_counted(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    with serving(tmp_path) as server:
        assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]] * 150_000)).status == 200
        found = scraped(server)
        (told,) = ask(server.port, "GET", "/v2/models/affine/stats").json()["model_stats"]
    assert whole(found, "affine", "count") == 1
    assert phases(found, "affine", "sum")["decode"] > 0.0005
    assert [size["batch_size"] for size in told["batch_stats"]] == [150_000]


@pytest.mark.parametrize("rows", [1, 100, 5000])
def test_what_is_read_at_once_is_counted_once(tmp_path: Path, rows: int) -> None:
    """A lone request runs from its reading on, however that goes: by its frame, by simdjson, or from bytes."""
    publish_affine(tmp_path)
    content = bytes(12 * rows)
    head = b'{"inputs":[{"name":"x","shape":[%d,3],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}'
    opening = head % (rows, len(content))
    with serving(tmp_path) as server:
        for _ in range(2):
            assert ask(server.port, "POST", TARGET, infer_body([[1, 2, 3]] * rows)).status == 200
        header = f"inference-header-content-length: {len(opening)}"
        assert ask(server.port, "POST", TARGET, opening + content, [header]).status == 200
        found = scraped(server)
    assert whole(found, "affine", "count") == 3
    assert sum(phases(found, "affine", "sum").values()) <= whole(found, "affine", "sum") * (1 + 1e-6)


def test_an_openmetrics_scraper_gets_the_trace_of_an_example(tmp_path: Path) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="needs prometheus-client")
    publish_affine(tmp_path)
    with serving(tmp_path) as server:
        ask(server.port, "POST", TARGET, ROW)
        for header in (PARENT[:-1] + "0", "traceparent: nonsense", PARENT.replace("00-", "ff-")):
            ask(server.port, "POST", TARGET, ROW, [header])
        accept = ["accept: application/openmetrics-text;version=1.0.0;q=0.8, text/plain;q=0.5"]
        before = ask(server.port, "GET", "/metrics", headers=accept).body.decode()
        ask(server.port, "POST", TARGET, ROW, [PARENT])
        reply = ask(server.port, "GET", "/metrics", headers=accept)
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "trace_id" not in before
    families = {family.name: family for family in parser.text_string_to_metric_families(reply.body.decode())}
    for name, many in (("onnxpress_request_seconds", 1), ("onnxpress_request_phase_seconds", 4)):
        shown = [sample for sample in families[name].samples if sample.exemplar is not None]
        assert len(shown) == many
        for sample in shown:
            assert sample.exemplar.labels == {"trace_id": TRACE}
            assert sample.exemplar.value <= float(sample.labels["le"])
            assert float(sample.exemplar.timestamp) > 1.7e9
    counted = families["onnxpress_requests"]
    assert counted.type == "counter"
    assert {sample.labels["outcome"]: sample.value for sample in counted.samples}["answered"] == 5


def metric_family() -> Any:
    """io.prometheus.client.MetricFamily as far as it is used, by Google's protobuf."""
    pool = pytest.importorskip("google.protobuf.descriptor_pool", reason="needs protobuf").DescriptorPool()
    from google.protobuf import descriptor_pb2, message_factory

    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package="m", syntax="proto2")
    messages = {
        "Label": ["name=1 STRING", "value=2 STRING"],
        "Value": ["value=1 DOUBLE"],
        "Time": ["seconds=1 INT64", "nanos=2 INT32"],
        "Exemplar": ["label=1 *Label", "value=2 DOUBLE", "timestamp=3 Time"],
        "Bucket": ["cumulative_count=1 UINT64", "upper_bound=2 DOUBLE", "exemplar=3 Exemplar"],
        "Span": ["offset=1 SINT32", "length=2 UINT32"],
        "Histogram": [
            "sample_count=1 UINT64", "sample_sum=2 DOUBLE", "bucket=3 *Bucket", "schema=5 SINT32",
            "zero_threshold=6 DOUBLE", "zero_count=7 UINT64", "positive_span=12 *Span", "positive_delta=13 *SINT64",
        ],
        "Metric": ["label=1 *Label", "gauge=2 Value", "counter=3 Value", "histogram=7 Histogram"],
        "MetricFamily": ["name=1 STRING", "help=2 STRING", "type=3 INT32", "metric=4 *Metric"],
    }  # fmt: skip
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for text in fields:
            left, kind = text.split()
            field = message.field.add(name=left.partition("=")[0], number=int(left.partition("=")[2]))
            field.label = types.LABEL_REPEATED if kind.startswith("*") else types.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in messages:
                field.type, field.type_name = types.TYPE_MESSAGE, f".m.{kind}"
            else:
                field.type = types.Type.Value(f"TYPE_{kind}")
                if kind == "SINT64":
                    field.options.packed = True
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("m.MetricFamily"))


def test_a_scraper_of_native_histograms_gets_every_fine_bucket(tmp_path: Path) -> None:
    family_type = metric_family()
    publish_affine(tmp_path)
    with serving(tmp_path) as server:
        for _ in range(30):
            ask(server.port, "POST", TARGET, ROW)
        ask(server.port, "POST", TARGET, ROW, [PARENT])
        accept = f"accept: {PROTOBUF.content_type.decode()};q=0.9,text/plain;q=0.5"
        reply = ask(server.port, "GET", "/metrics", headers=[accept])
    assert reply.headers["content-type"] == PROTOBUF.content_type.decode()
    found, data, at = {}, reply.body, 0
    while at < len(data):
        size = shift = 0
        while True:
            size |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                break
        family = family_type.FromString(data[at : at + size])
        found[family.name] = family
        at += size
    assert found["onnxpress_ready"].metric[0].gauge.value == 1
    answered = [one for one in found["onnxpress_requests_total"].metric if one.label[2].value == "answered"]
    assert (found["onnxpress_requests_total"].type, answered[0].counter.value) == (0, 31)
    (metric,) = found["onnxpress_request_seconds"].metric
    assert [(label.name, label.value) for label in metric.label] == [("model", "affine"), ("version", "1")]
    native = metric.histogram
    assert (native.sample_count, native.schema, native.zero_threshold) == (31, 2, 2.0**-17)
    counts, count = [], 0
    for delta in native.positive_delta:
        count += delta
        counts.append(count)
    (span,) = native.positive_span
    assert len(counts) == span.length
    assert native.zero_count + sum(counts) == 31
    lowest = sum(2 ** ((span.offset + place - 1) / 4) * count for place, count in enumerate(counts))
    highest = sum(2 ** ((span.offset + place) / 4) * count for place, count in enumerate(counts))
    assert lowest <= native.sample_sum <= highest + native.zero_count * native.zero_threshold
    (shown,) = [bucket for bucket in native.bucket if bucket.HasField("exemplar")]
    assert shown.exemplar.label[0].value == TRACE
    assert [bucket.upper_bound for bucket in native.bucket][-1] == math.inf
    assert not found["onnxpress_batch_requests"].metric[0].histogram.positive_span  # a classic one alone


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (b"", TEXT),
        (b"*/*", TEXT),
        (b"text/html,application/json;q=0.9", TEXT),
        (b"application/openmetrics-text; version=1.0.0; charset=utf-8", OPEN_METRICS),
        (b"application/openmetrics-text;q=0.3,text/plain;q=0.5", TEXT),
        (b"application/openmetrics-text;q=0,text/plain;q=0.1", TEXT),
        (b"application/openmetrics-text;q=nonsense", TEXT),
        (PROTOBUF.content_type, PROTOBUF),
        (PROTOBUF.content_type + b";q=0.6,application/openmetrics-text;q=0.5,*/*;q=0.2", PROTOBUF),
        (b"application/vnd.google.protobuf", TEXT),  # not each with its length before it
    ],
)
def test_the_form_is_the_one_that_is_wanted_most(accept: bytes, form: object) -> None:
    assert chosen(accept) is form


def test_labels_come_through_every_form_as_they_are() -> None:
    labels = {"path": 'a "quoted" \\ path', "reason": "two\nlines"}
    family = Family("onnxpress_skipped_folder", "gauge", "A gauge.")
    family.put(labels, 1)
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="needs prometheus-client")
    (read,) = parser.text_string_to_metric_families(OPEN_METRICS.write([family]).decode())
    assert read.samples[0].labels == labels
    content = PROTOBUF.write([family])
    message = metric_family().FromString(content[2:] if content[0] >= 0x80 else content[1:])
    assert {label.name: label.value for label in message.metric[0].label} == labels


def test_accept_is_read_of_the_metrics_alone() -> None:
    """Most requests have one, and a request with a header that is read goes a longer way."""
    for path, read in ((b"/metrics", {b"accept": b"a"}), (b"/metrics?x", {b"accept": b"a"}), (b"/v2", None)):
        fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path), (b"accept", b"a")]
        assert request_of(fields, frozenset()).headers == read
        lines = HeadLines(ConnectionLimits(), frozenset(), 0)
        lines.add_target(path)
        lines.add_header(b"Accept", b"a")
        assert lines.headers == read
