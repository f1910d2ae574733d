"""Operators on strings of the numpy evaluation, as the processing steps write them.

onnx 1.23: the reference implementation has no com.microsoft Tokenizer; its StringNormalizer drops empty texts, where
the standard drops stop words alone, and changes the locale of the process. Other uses than those of the steps are
refused, so that the graph is not measured rather than measured wrongly.
"""

from __future__ import annotations

import re
import string

import numpy as np
from onnx.reference.op_run import OpRun

from onnxpress.core.arrays import Array

_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_ONE_CLASS = re.compile(r"\[\^(\\.|[^\\\]])+\]\+", re.DOTALL)
"""what all but some characters are a piece of; RE2, which ONNX Runtime has, and Python read it alike"""


class Tokenizer(OpRun):
    """(texts,) strings → (texts, pieces of the longest): every character, or what a class of characters leaves."""

    op_domain = "com.microsoft"

    def _run(
        self,
        x: Array,
        mark: int | None = None,
        mincharnum: int | None = None,
        pad_value: str | None = None,
        separators: list[str] | None = None,
        tokenexp: str | None = None,
    ) -> tuple[Array]:
        if mark or mincharnum != 1 or x.ndim != 1 or not len(x):
            raise NotImplementedError("marks, short pieces, no texts and texts of another rank than 1")
        if tokenexp is not None and _ONE_CLASS.fullmatch(tokenexp):
            pieces = [re.findall(tokenexp, str(text)) for text in x]
        elif separators == [""]:
            pieces = [list(str(text)) for text in x]
        else:
            raise NotImplementedError(f"separators {separators} and tokens {tokenexp}")
        padded = np.full((len(x), max(map(len, pieces))), pad_value, object)
        for row, cut in zip(padded, pieces, strict=True):
            row[: len(cut)] = cut
        return (padded,)


class StringNormalizer(OpRun):
    """ASCII capitals → small letters, as the locale C has it."""

    def _run(
        self,
        x: Array,
        case_change_action: str | None = None,
        is_case_sensitive: int | None = None,
        locale: str | None = None,
        stopwords: list[str] | None = None,
    ) -> tuple[Array]:
        if case_change_action != "LOWER" or locale != "C" or stopwords:
            raise NotImplementedError("stop words, other changes and other locales")
        return (np.array([str(text).translate(_SMALL) for text in x.ravel()], object).reshape(x.shape),)


OPERATORS = [Tokenizer, StringNormalizer]
