"""The forms in which scrapers take metrics: Prometheus' text, OpenMetrics, and its protobuf with native histograms.

Exemplars stand in the last two. Native histograms are told in protobuf alone, to scrapers that ask for it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator

import msgspec

from onnxpress.serving.batching.latencies import LEAST, STEPS
from onnxpress.serving.metrics.family import Exemplar, Family
from onnxpress.serving.protocol.protobuf import field, varint


class Format(msgspec.Struct, frozen=True):
    """One form: its Content-Type, and how it is written."""

    content_type: bytes
    write: Callable[[Iterable[Family]], bytes]


def text(families: Iterable[Family]) -> bytes:
    """Prometheus' text format, version 0.0.4."""
    lines = []
    for family in _told(families):
        lines.append(f"# HELP {family.name} {family.meaning}\n# TYPE {family.name} {family.kind}\n")
        lines += [f"{name} {value:.17g}\n" for name, value in family.samples.items()]
    return "".join(lines).encode()


_WHOLE_BOUND = re.compile(r'\ble="(\d+)"')


def open_metrics(families: Iterable[Family]) -> bytes:
    """OpenMetrics 1.0: a counter's family is named without `_total`, and bounds are floats."""
    lines = []
    for family in _told(families):
        name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
        lines.append(f"# HELP {name} {family.meaning}\n# TYPE {name} {family.kind}\n")
        for sample, value in family.samples.items():
            exemplar = family.exemplars.get(sample)
            if family.kind == "histogram":
                sample = _WHOLE_BOUND.sub(r'le="\1.0"', sample)
            lines.append(f"{sample} {value:.17g}{'' if exemplar is None else _told_of(exemplar)}\n")
    return "".join([*lines, "# EOF\n"]).encode()


def _told(families: Iterable[Family]) -> list[Family]:
    return [family for family in families if family.samples and family.scraped]


def _told_of(exemplar: Exemplar) -> str:
    return f' # {{trace_id="{exemplar.trace}"}} {exemplar.value:.9g} {exemplar.when:.3f}'


# --- protobuf: io.prometheus.client.MetricFamily, each with its length before it

_KINDS = {"counter": 0, "gauge": 1, "histogram": 4}
_SAMPLE = re.compile(r"([^{]*)(?:\{(.*)\})?", re.DOTALL)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_BOUND = re.compile(r',?\ble="([^"]*)"')
_SCHEMA = 2
"""of the native histograms: 2 ** 2 buckets for each power of two, which is STEPS"""
_FIRST = -17 * STEPS
"""in that schema, the bucket that ends where place 0 does, at LEAST"""


def protobuf(families: Iterable[Family]) -> bytes:
    """The delimited protobuf format."""
    found = []
    for family in _told(families):
        head = field(1, family.name.encode()) + field(2, family.meaning.encode()) + _number(3, _KINDS[family.kind])
        metrics = _histograms(family) if family.kind == "histogram" else _values(family)
        message = head + b"".join([field(4, metric) for metric in metrics])
        found.append(varint(len(message)) + message)
    return b"".join(found)


def _values(family: Family) -> Iterator[bytes]:
    place = 3 if family.kind == "counter" else 2
    for sample, value in family.samples.items():
        yield _labels(_parts(sample)[1]) + field(place, _double(1, value))


def _histograms(family: Family) -> Iterator[bytes]:
    """Samples that have all labels alike but the bound are one histogram."""
    counts, sums, buckets = dict[str, float](), dict[str, float](), dict[str, list[bytes]]()
    for sample, value in family.samples.items():
        name, labels = _parts(sample)
        if name.endswith("_count"):
            counts[labels] = value
        elif name.endswith("_sum"):
            sums[labels] = value
        else:
            bound = _BOUND.search(labels)
            assert bound is not None
            bucket = _number(1, int(value)) + _double(2, float(bound[1]))
            if sample in family.exemplars:
                bucket += field(3, _exemplar(family.exemplars[sample]))
            buckets.setdefault(_BOUND.sub("", labels), []).append(bucket)
    for labels, count in counts.items():
        message = _number(1, int(count)) + _double(2, sums.get(labels, 0.0))
        message += b"".join([field(3, bucket) for bucket in buckets.get(labels, [])])
        if labels in family.fine:
            message += _native(family.fine[labels])
        yield _labels(labels) + field(7, message)


def _native(counts: dict[int, int]) -> bytes:
    """The native buckets: one span from the first that is not empty to the last, each count as what it adds."""
    message = _number(5, _zigzag(_SCHEMA)) + _double(6, LEAST) + _number(7, counts.get(0, 0))
    places = sorted(place for place, count in counts.items() if place and count)
    if not places:
        # A span of nothing tells a native histogram without observations from a classic one.
        return message + field(12, _number(1, 0) + _number(2, 0))
    span = _number(1, _zigzag(_FIRST + places[0])) + _number(2, places[-1] - places[0] + 1)
    deltas, before = [], 0
    for place in range(places[0], places[-1] + 1):
        count = counts.get(place, 0)
        deltas.append(varint(_zigzag(count - before)))
        before = count
    return message + field(12, span) + field(13, b"".join(deltas))


def _exemplar(exemplar: Exemplar) -> bytes:
    seconds, part = divmod(exemplar.when, 1)
    when = _number(1, int(seconds)) + _number(2, int(part * 1e9))
    return field(1, _label("trace_id", exemplar.trace)) + _double(2, exemplar.value) + field(3, when)


def _parts(sample: str) -> tuple[str, str]:
    match = _SAMPLE.fullmatch(sample)
    assert match is not None
    return match[1], match[2] or ""


def _labels(written: str) -> bytes:
    pairs = [_label(name, _ESCAPE.sub(_meant, value)) for name, value in _LABEL.findall(written)]
    return b"".join([field(1, pair) for pair in pairs])


def _meant(escape: re.Match[str]) -> str:
    return "\n" if escape[1] == "n" else escape[1]


def _label(name: str, value: str) -> bytes:
    return field(1, name.encode()) + field(2, value.encode())


def _number(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def _double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


# --- which one is meant

TEXT = Format(b"text/plain; version=0.0.4; charset=utf-8", text)
OPEN_METRICS = Format(b"application/openmetrics-text; version=1.0.0; charset=utf-8", open_metrics)
PROTOBUF = Format(
    b"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", protobuf
)


def chosen(accept: bytes) -> Format:
    """The form that an Accept header wants most; Prometheus' text where it says nothing of them.

    >>> chosen(b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3") is OPEN_METRICS
    True
    """
    best, found = 0.0, TEXT
    for one in accept.lower().split(b","):
        kind, *parameters = [part.strip() for part in one.split(b";")]
        form = {b"application/openmetrics-text": OPEN_METRICS, b"text/plain": TEXT, b"*/*": TEXT}.get(kind)
        if kind == b"application/vnd.google.protobuf" and b"encoding=delimited" in parameters:
            form = PROTOBUF
        quality = _quality(parameters)
        if form is not None and quality > best:
            best, found = quality, form
    return found


def _quality(parameters: list[bytes]) -> float:
    for one in parameters:
        name, _, value = one.partition(b"=")
        if name.strip() == b"q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
