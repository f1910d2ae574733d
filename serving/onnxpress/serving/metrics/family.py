"""A metric as Prometheus knows it, with its samples; and those of several processes put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


class Exemplar(msgspec.Struct, frozen=True):
    """One request that a bucket counts: its trace's id, its value, and when it was, in Unix time."""

    trace: str
    value: float
    when: float


class Family(msgspec.Struct):
    """A metric with all its samples; `over` says how samples of several processes become one.

    `scraped` is False for what is asked for in another way alone.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    over: Literal["sum", "min", "max"] = "sum"
    samples: dict[str, float] = {}
    """name and labels as they are written → value"""
    fine: dict[str, dict[int, int]] = {}
    """of a histogram that is kept in fine buckets: labels as they are written → place of a bucket → count"""
    exemplars: dict[str, Exemplar] = {}
    """name and labels of a bucket → the last request that is told of it"""
    scraped: bool = True

    def put(self, labels: Mapping[str, str], value: float, suffix: str = "") -> None:
        """Add one sample."""
        self.samples[sample(self.name + suffix, labels)] = float(value)

    def get(self, labels: Mapping[str, str], suffix: str = "") -> float:
        """One sample; 0 where there is none."""
        return self.samples.get(sample(self.name + suffix, labels), 0.0)


def sample(name: str, labels: Mapping[str, str]) -> str:
    """Name and labels as they are written."""
    return f"{name}{{{written(labels)}}}" if labels else name


def written(labels: Mapping[str, str]) -> str:
    """Labels as they are written.

    >>> written({"model": 'a "b"', "version": "1"})
    'model="a \\\\"b\\\\"",version="1"'
    """
    return ",".join([f'{key}="{_escaped(text)}"' for key, text in labels.items()])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def merged(processes: Sequence[Sequence[Family]]) -> list[Family]:
    """One set of families for several processes, each sample by its family's rule."""
    found: dict[str, Family] = {}
    for families in processes:
        for family in families:
            whole = found.get(family.name)
            if whole is None:
                whole = found[family.name] = msgspec.structs.replace(family, samples={}, fine={}, exemplars={})
            _add(whole, family)
    return list(found.values())


def _add(whole: Family, family: Family) -> None:
    for name, value in family.samples.items():
        known = whole.samples.get(name)
        if known is None:
            whole.samples[name] = value
        elif family.over == "sum":
            whole.samples[name] = known + value
        else:
            whole.samples[name] = min(known, value) if family.over == "min" else max(known, value)
    for labels, counts in family.fine.items():
        together = whole.fine.setdefault(labels, {})
        for place, count in counts.items():
            together[place] = together.get(place, 0) + count
    for name, exemplar in family.exemplars.items():
        if name not in whole.exemplars or whole.exemplars[name].when < exemplar.when:
            whole.exemplars[name] = exemplar
