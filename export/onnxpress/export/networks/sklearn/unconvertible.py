"""Estimators that no ONNX operators compute, refused before anything is converted, with what to do instead."""

from __future__ import annotations

import re
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.category_trees import by_categories
from onnxpress.export.networks.sklearn.parts import parts

_BEFORE = "do this step before the model is asked, and export what comes after it"
_TEXTS = f"analyse words by a token_pattern, without accents to strip and without functions of your own; or {_BEFORE}"
_ITERATING = "solves anew for every row, in as many rounds as it needs"

_NONE: dict[str, tuple[str, str]] = {
    "NMF": (_ITERATING, f"take PCA or TruncatedSVD; or {_BEFORE}"),
    "MiniBatchNMF": (_ITERATING, f"take PCA or TruncatedSVD; or {_BEFORE}"),
    "LatentDirichletAllocation": (_ITERATING, f"take TruncatedSVD; or {_BEFORE}"),
    "DictionaryLearning": (_ITERATING, f"take PCA or TruncatedSVD; or {_BEFORE}"),
    "IterativeImputer": ("asks its estimators in turn, round after round", "take SimpleImputer or KNNImputer"),
    "HashingVectorizer": ("hashes words, for which ONNX has no operator", f"take TfidfVectorizer; or {_BEFORE}"),
    "GaussianProcessClassifier": (
        "integrates by the error function in float64, which ONNX Runtime lacks",
        "take an SVC(probability=True), or a GaussianProcessRegressor on 0 and 1",
    ),
}
"""class → why there is no form of it, and what to do instead"""


def refuse(estimator: Any, where: str) -> None:
    """Raises BadModel where a part of the estimator has no form in ONNX."""
    for part in parts(estimator):
        kind = type(part).__name__
        if kind in _NONE and type(part).__module__.startswith("sklearn."):
            why, instead = _NONE[kind]
            raise BadModel(f"{kind} has no ONNX form: it {why}", where=where, hint=instead)
        if kind in ("CountVectorizer", "TfidfVectorizer") and (setting := _of_texts(part)):
            raise BadModel(f"{kind}({setting}) has no form in ONNX's operators for texts", where=where, hint=_TEXTS)
        if by_categories(part) and _names_categories(part):
            raise BadModel(
                f"{kind} over categories that are words has no ONNX form",
                where=where,
                hint="put an OrdinalEncoder before it in a pipeline, and name the encoded columns as "
                "categorical_features",
            )


def _of_texts(part: Any) -> str | None:
    """The setting that the operators for texts lack."""
    if part.analyzer != "word":
        return f"analyzer={part.analyzer!r}" if isinstance(part.analyzer, str) else "analyzer=a function"
    if part.strip_accents is not None:
        return f"strip_accents={part.strip_accents!r}"
    for setting in ("tokenizer", "preprocessor"):
        if getattr(part, setting) is not None:
            return f"{setting}=a function"
    if re.search(r"\(\?[=!<]", part.token_pattern or ""):
        return f"token_pattern={part.token_pattern!r}"
    return None


def _names_categories(part: Any) -> bool:
    front = getattr(part, "_preprocessor", None)
    known = [] if front is None else front.named_transformers_["encoder"].categories_
    return any(values.dtype.kind not in "fiub" for values in known)
