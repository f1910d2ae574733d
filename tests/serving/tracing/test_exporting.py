"""What is sent to a collector never blocks, grows or stays: which requests are traced, and what becomes of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence

import pytest
from tests.serving.harness import WAIT, wait_until

from onnxpress.core.errors import MissingExtra, UsageError
from onnxpress.serving.timing import parsed, trace_of
from onnxpress.serving.tracing.exporting import Exporting
from onnxpress.serving.tracing.sampling import Sampler, sampler_of
from onnxpress.serving.tracing.starting import endpoint_of, tracing
from onnxpress.serving.tracing.tracer import Traced, Tracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced() -> Traced:
    return Traced(TRACE, SPAN, "", (b"POST", b"/"))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", (TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-00", (TRACE, SPAN, 0)),
        (f"00-{TRACE}-{SPAN}-03", (TRACE, SPAN, 3)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", (TRACE, SPAN, 1)),
        (f"cc-{TRACE}-{SPAN}-01", (TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE[:-1]}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_w3c_has_it(header: str, found: tuple[str, str, int] | None) -> None:
    assert parsed(header.encode()) == found
    kept = trace_of(header.encode())
    assert (None if kept is None else kept.id) == (TRACE if found is not None and found[2] & 1 else None)


def test_too_many_are_dropped_and_counted_while_the_collector_takes_its_time() -> None:
    go_on, begun, got = threading.Event(), threading.Event(), list[int]()

    def send(requests: Sequence[Traced]) -> None:
        begun.set()
        assert go_on.wait(WAIT)
        got.append(len(requests))

    exporting = Exporting(send, most=4, delay=0.01)
    exporting.put(traced())
    assert begun.wait(WAIT)
    for _ in range(10):
        exporting.put(traced())
    assert exporting.dropped == 6
    go_on.set()
    exporting.close(WAIT)
    assert (sum(got), exporting.sent, exporting.dropped) == (5, 5, 6)


def test_one_that_hangs_does_not_hold_up_the_end() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def send(requests: Sequence[Traced]) -> None:
        begun.set()
        assert go_on.wait(WAIT)

    exporting = Exporting(send, most=4, delay=0.01)
    exporting.put(traced())
    assert begun.wait(WAIT)
    exporting.close(0.01)
    assert exporting.sent == 0
    go_on.set()


def test_what_goes_wrong_is_said_once_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    broken = [True]

    def send(requests: Sequence[Traced]) -> None:
        if broken[0]:
            raise RuntimeError("nobody is there")

    exporting = Exporting(send, most=4, delay=0.01)
    for count in (1, 2):
        exporting.put(traced())
        wait_until(lambda count=count: exporting.dropped == count)
    broken[0] = False
    exporting.put(traced())
    wait_until(lambda: exporting.sent == 1)
    exporting.close(WAIT)
    said = capsys.readouterr().err
    assert said.count("traces cannot be sent, and are lost: nobody is there") == 1
    assert "traces are sent again; 2 traced requests were lost so far" in said


def test_what_is_open_is_forgotten_with_its_answer() -> None:
    done: list[Traced] = []
    tracer = Tracer(Sampler(), done.append)
    assert tracer.begin(b"", b"", b"GET", b"/") is None
    assert tracer.begin(f"00-{TRACE}-{SPAN}-00".encode(), b"", b"GET", b"/") is None
    found = tracer.begin(f"00-{TRACE}-{SPAN}-01".encode(), b"", b"GET", b"/")
    assert found is not None
    assert tracer.trace_of(found.traceparent) is found.trace
    tracer.end(found, 200)
    assert (tracer.trace_of(found.traceparent), done, found.answered) == (None, [found], 200)
    tracer.end(found, 500)  # what is watched is answered again: one span must not be told twice
    assert (done, found.answered) == ([found], 200)


def test_samplers_are_those_of_opentelemetry() -> None:
    low, high = "0" * 31 + "1", "f" * 32
    for name, argument, asked, taken in [
        ("", "", (None, True, False), (False, True, False)),
        ("always_on", "", (None, True, False), (True, True, True)),
        ("always_off", "", (None, True, False), (False, False, False)),
        ("parentbased_always_on", "", (None, True, False), (True, True, False)),
        ("parentbased_always_off", "", (None, True, False), (False, True, False)),
        ("parentbased_traceidratio", "0", (None, True, False), (False, True, False)),
    ]:
        sampler = sampler_of(
            {"OTEL_TRACES_SAMPLER": name, **({"OTEL_TRACES_SAMPLER_ARG": argument} if argument else {})}
        )
        assert tuple(sampler.takes(TRACE, one) for one in asked) == taken, name
    half = sampler_of({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"})
    assert (half.takes(low, None), half.takes(high, None), half.takes(high, True)) == (True, False, False)
    for name, argument in [("jaeger_remote", "1"), ("traceidratio", "2"), ("traceidratio", "much")]:
        with pytest.raises(UsageError):
            sampler_of({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument})


def test_an_address_is_one_of_http() -> None:
    assert endpoint_of("http://127.0.0.1:4318/") == "http://127.0.0.1:4318/v1/traces"
    assert endpoint_of("https://a/own/path") == "https://a/own/path"
    for url in ("127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", ""):
        with pytest.raises(UsageError, match="no address of a collector"):
            endpoint_of(url)


def test_without_the_extra_it_is_named_and_the_environment_alone_stops_no_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match=r"--trace needs the package opentelemetry"):
        tracing("http://127.0.0.1:1", {})
    assert tracing(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "there are no traces: --trace needs the package opentelemetry" in capsys.readouterr().err


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_the_environment_does_not_ask_for_is_not_done(environment: dict[str, str]) -> None:
    assert tracing(None, environment) is None
