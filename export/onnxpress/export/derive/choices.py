"""The words that can be chosen: precisions, and kinds of outputs. Whoever asks for help alone imports no more."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["classes", "values", "threshold", "embedding", "regression", "boxes"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PRECISIONS = ("int8", "float16", "bfloat16", "w8", "w4", "same")
