"""Steps over raw strings as ONNX nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxpress.core import processing
from onnxpress.core.processing.text import PADDING, UNKNOWN
from onnxpress.export.graph.steps.fragment import ML, Fragment, write

_NOTHING = ""
"""what the tokenizer fills shorter rows with; no character and no word is empty"""


@write.register
def _(step: processing.Characters, fragment: Fragment) -> None:
    characters = _pieces(fragment, _with_empty(fragment, step.input), separators=[""])
    ids = _numbers(fragment, characters, {_NOTHING: PADDING} | step.ids(), UNKNOWN)
    _fit(fragment, ids, step.length, PADDING, step.output)


@write.register
def _(step: processing.Words, fragment: Fragment) -> None:
    texts = _with_empty(fragment, step.input)
    if step.fold_case:
        # The locale C lowers ASCII alone, everywhere; any other one has to be installed where the model is served.
        texts = fragment.then("StringNormalizer", [texts], case_change_action="LOWER", locale="C")
    words = _pieces(fragment, texts, tokenexp=step.word)
    ids = _numbers(fragment, words, {_NOTHING: step.padding} | step.ids(), step.unknown)
    _fit(fragment, ids, step.length, step.padding, step.output)
    if step.mask:
        _fit(fragment, _numbers(fragment, words, {_NOTHING: 0}, 1), step.length, 0, step.mask)


def _with_empty(fragment: Fragment, texts: str) -> str:
    """The texts and an empty one behind them, which `_fit` drops.

    The tokenizer answers a batch of no texts with another rank, the normalizer with an error: they never get one.
    """
    empty = fragment.constant("empty", np.array([""], object))
    return fragment.then("Concat", [texts, empty], axis=0)


def _pieces(fragment: Fragment, texts: str, **cut: str | list[str]) -> str:
    """(texts, pieces of the longest) strings."""
    return fragment.then("Tokenizer", [texts], domain="com.microsoft", mark=0, pad_value=_NOTHING, mincharnum=1, **cut)


def _numbers(fragment: Fragment, pieces: str, ids: Mapping[str, int], default: int) -> str:
    return fragment.then(
        "LabelEncoder",
        [pieces],
        domain=ML,
        keys_strings=list(ids),
        values_int64s=list(ids.values()),
        default_int64=default,
    )


def _fit(fragment: Fragment, ids: str, length: int, padding: int, output: str) -> None:
    """As much padding after every row as it may lack, then cut; the last row goes."""
    name = output.replace("/", "_")
    rows = fragment.then("Shape", [ids], start=0, end=1)
    shape = fragment.then("Concat", [rows, fragment.sizes(f"{name}_length", [length])], axis=0)
    filling = fragment.constant(f"{name}_padding", np.full((1, 1), padding, np.int64))
    filled = fragment.then("Concat", [ids, fragment.then("Expand", [filling, shape])], axis=1)
    start, end = fragment.sizes(f"{name}_start", [0, 0]), fragment.sizes(f"{name}_end", [-1, length])
    fragment.node("Slice", [filled, start, end], output)
