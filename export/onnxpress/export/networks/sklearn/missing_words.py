"""Words that are missing: the empty string in a request and in the graph, None or NaN in scikit-learn.

ONNX has no missing string. So the empty one stands for it, in every column that the estimator was fitted on with None
or NaN in it, or whose words a SimpleImputer fills in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.parts import parts, with_columns

EMPTY = ""


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN or pandas' own NA."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def missing_of(estimator: Any, names: list[str]) -> dict[str, Any]:
    """Column → what the estimator knows a missing word of it as; columns of words without one are not told."""
    found: dict[str, Any] = {}
    for inner, read in with_columns(estimator, names):
        for name, word in _missing_in(inner, read):
            found.setdefault(name, word)
    return found


def missing_in_rows(estimator: Any) -> Any:
    """The same of an estimator that takes one matrix of words; EMPTY where it knows no missing one."""
    for part in parts(estimator):
        for _, word in _missing_in(part, ["", *map(str, range(len(getattr(part, "categories_", []))))]):
            return word
    return EMPTY


def _missing_in(part: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    if fills_words(part):
        for name in names:
            yield name, part.missing_values
    for name, known in zip(names, getattr(part, "categories_", []), strict=False):
        for word in np.asarray(known, object).tolist():
            if is_missing(word) and np.asarray(known).dtype.kind == "O":
                yield name, word


def with_missing(words: Array, word: Any) -> Array:
    """The words with `word`, as the estimator knows a missing one, in place of the empty string."""
    if isinstance(word, str) or words.dtype.kind != "O":
        return words
    made = words.copy()
    made[np.asarray([one == EMPTY for one in words.ravel().tolist()], bool).reshape(words.shape)] = word
    return made


def fills_words(part: Any) -> bool:
    """Whether it is a SimpleImputer that fills in words where None or NaN stands."""
    filled = getattr(part, "statistics_", None)
    words = filled is not None and np.asarray(filled).dtype.kind in "OUS"
    return words and hasattr(part, "missing_values") and is_missing(part.missing_values)


@contextlib.contextmanager
def spelled_as_empty(estimator: Any) -> Iterator[None]:
    """While open, the estimator's missing words are the empty string, which the converter can write."""
    before: list[tuple[Any, str, Any]] = []
    try:
        for part in parts(estimator):
            if fills_words(part):
                before.append((part, "missing_values", part.missing_values))
                part.missing_values = EMPTY
            known = getattr(part, "categories_", None)
            if known is not None and any(_holds_missing(words) for words in known):
                before.append((part, "categories_", known))
                part.categories_ = [_spelled(words) if _holds_missing(words) else words for words in known]
        yield
    finally:
        for part, attribute, value in before:
            setattr(part, attribute, value)


def _holds_missing(words: Any) -> bool:
    words = np.asarray(words)
    return words.dtype.kind == "O" and any(is_missing(word) for word in words.tolist())


def _spelled(words: Array) -> Array:
    return np.array([EMPTY if is_missing(word) else word for word in words.tolist()], object)
