"""Labels as a source has them, turned into those that the recipe wants."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from onnxpress.core.errors import BadData


class Relabelling(msgspec.Struct, frozen=True, kw_only=True):
    """What a source may do with its labels. `positive: [Seizure, Aura]` is short for two classes."""

    positive: list[str] = []
    """labels that are looked for: they all become the first of them, and every other one becomes `rest`"""
    labels: dict[str, list[str]] = {}
    """new label → the labels that become it; one that is in no list becomes `rest`"""
    rest: str | None = None
    """the label of all others: `other` where `positive` is given; where `labels` is and this is not, their rows are
    left out"""

    def __post_init__(self) -> None:
        if self.positive and self.labels:
            raise ValueError("give either positive or labels")
        named = [name for old in self.labels.values() for name in old]
        twice = sorted(name for name, count in Counter(named).items() if count > 1)
        if twice:
            raise ValueError(f"the label {twice[0]!r} is in two lists of labels")
        if self.rest is not None and not (self.positive or self.labels):
            raise ValueError("rest belongs to positive or labels")
        if self.positive and self.rest == self.positive[0]:
            raise ValueError("rest is the positive label")


class Relabelled:
    """A mapping at work: it counts what it met."""

    def __init__(self, chosen: Relabelling) -> None:
        self._rest, self._all = chosen.rest, not (chosen.positive or chosen.labels)
        self._new = {old: new for new, several in chosen.labels.items() for old in several}
        if chosen.positive:
            self._new = dict.fromkeys(chosen.positive, chosen.positive[0])
            self._rest = chosen.rest or "other"
        self._met: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def of(self, label: str) -> str | None:
        """The new label; None where rows of it are left out."""
        new = label if self._all else self._new.get(label, self._rest)
        (self._met if new is not None else self._left_out)[label] += 1
        return new

    def report(self) -> dict[str, Any]:
        """What the labels were, and which of the named ones never came. Raises BadData where none of them did."""
        if self._all:
            return {}
        never = sorted(set(self._new) - set(self._met))
        if len(never) == len(self._new):
            came = ", ".join(sorted(set(self._met) | set(self._left_out))[:10])
            raise BadData(f"no row is labelled {', '.join(never)}", where="data", hint=f"the labels are: {came}")
        left_out = {"labels_left_out": dict(self._left_out)} if self._left_out else {}
        return {"labels_before": dict(self._met), **({"labels_never_met": never} if never else {}), **left_out}
