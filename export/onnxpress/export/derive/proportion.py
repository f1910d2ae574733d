"""How large a share may be, after so many of so many were seen: Clopper and Pearson's one-sided bound."""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
_MOST_ROWS = 100_000_000
_STEPS = 60


def upper_bound(seen: int, count: int, confidence: float = CONFIDENCE) -> float:
    """The share that `seen` of `count` still allow: the p at which so few are seen with probability 1 - `confidence`.

    Clopper and Pearson, Biometrika 26 (1934). 1.0 where nothing was counted.

    >>> round(upper_bound(0, 300), 4)
    0.0099
    """
    if count <= 0 or seen >= count:
        return 1.0
    if seen == 0:
        return float(1 - (1 - confidence) ** (1 / count))
    ways = np.concatenate([[0.0], np.cumsum(np.log((count - np.arange(seen)) / np.arange(1, seen + 1)))])
    hits = np.arange(seen + 1)
    low, high = seen / count, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        terms = ways + hits * math.log(middle) + (count - hits) * math.log1p(-middle)
        most = terms.max()
        likely = most + math.log(np.exp(terms - most).sum())
        low, high = (middle, high) if likely > math.log(1 - confidence) else (low, middle)
    return high


def rows_needed(seen: int, count: int, limit: float, confidence: float = CONFIDENCE) -> int | None:
    """How many rows would prove a share of at most `limit`, if it stays as it was seen; None where it never could.

    >>> rows_needed(0, 300, 0.001)
    2995
    """
    share = seen / count if count else 0.0
    if limit <= 0 or share >= limit:
        return None

    def proves(rows: int) -> bool:
        return upper_bound(math.ceil(share * rows), rows, confidence) <= limit

    high = 1
    while not proves(high):
        high *= 2
        if high > _MOST_ROWS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high
