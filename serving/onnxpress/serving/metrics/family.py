"""A metric as Prometheus knows it: written as text, and summed over processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Family(msgspec.Struct):
    """A metric with all its samples; `over` says how samples of several processes become one."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    over: Literal["sum", "min", "max"] = "sum"
    samples: dict[str, float] = {}
    """name and labels as they are written → value"""

    def put(self, labels: Mapping[str, str], value: float, suffix: str = "") -> None:
        """Add one sample."""
        self.samples[_sample(self.name + suffix, labels)] = float(value)

    def get(self, labels: Mapping[str, str]) -> float:
        """One sample; 0 where there is none."""
        return self.samples.get(_sample(self.name, labels), 0.0)


def _sample(name: str, labels: Mapping[str, str]) -> str:
    """Name and labels as they are written."""
    escaped = [
        '{}="{}"'.format(key, text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for key, text in labels.items()
    ]
    return f"{name}{{{','.join(escaped)}}}" if escaped else name


def text(families: Iterable[Family]) -> bytes:
    """The families in Prometheus's text format."""
    lines = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.meaning}\n# TYPE {family.name} {family.kind}\n")
        lines += [f"{name} {value:.17g}\n" for name, value in family.samples.items()]
    return "".join(lines).encode()


def merged(processes: Sequence[Sequence[Family]]) -> list[Family]:
    """One set of families for several processes, each sample by its family's rule."""
    found: dict[str, Family] = {}
    for families in processes:
        for family in families:
            whole = found.setdefault(family.name, msgspec.structs.replace(family, samples={}))
            for name, value in family.samples.items():
                known = whole.samples.get(name)
                if known is None:
                    whole.samples[name] = value
                elif family.over == "sum":
                    whole.samples[name] = known + value
                else:
                    whole.samples[name] = min(known, value) if family.over == "min" else max(known, value)
    return list(found.values())
