"""Sizes that several networks share: of dense layers, and of the vectors that categories become."""

from __future__ import annotations

from itertools import pairwise


def dense_parameters(*widths: int) -> int:
    """Weights and biases of dense layers from each width to the next: the sum of (inputs + 1) × outputs.

    >>> dense_parameters(4, 3, 2)
    23
    """
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def embedding_width(ids: int) -> int:
    """Of the vector for each of so many ids: half of them, at least 2, at most 50.

    >>> [embedding_width(ids) for ids in (2, 9, 300)]
    [2, 5, 50]
    """
    return max(2, min(50, (ids + 1) // 2))
