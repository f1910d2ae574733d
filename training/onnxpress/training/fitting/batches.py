"""Which rows make which batch: drawn here by numpy, so that both frameworks learn in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

Rows = np.ndarray[Any, np.dtype[np.int64]]


def of_epoch(rows: int, size: int, *, seed: int, epoch: int, balance: Array | None = None) -> list[Rows]:
    """Row numbers of each batch of epoch `epoch` (from 0), shuffled anew every epoch; the same for the same seed.

    A last batch of a single row joins the one before it, for batch norm can learn nothing from one row. With `balance`
    (rows,) of classes, every class comes equally often: the rows of a smaller one are repeated.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(rows) if balance is None else _balanced(balance, generator)
    cuts = list(range(size, len(order), size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    return np.split(order, cuts)


def _balanced(classes: Array, generator: np.random.Generator) -> Rows:
    """One row of each class in turn, so that any run of consecutive rows is balanced."""
    by_class = [np.flatnonzero(classes == name) for name in np.unique(classes)]
    longest = max(map(len, by_class))
    columns = []
    for members in by_class:
        repeats = [generator.permutation(members) for _ in range(-(-longest // len(members)))]
        columns.append(np.concatenate(repeats)[:longest])
    return generator.permuted(np.stack(columns, axis=1), axis=1).ravel()
