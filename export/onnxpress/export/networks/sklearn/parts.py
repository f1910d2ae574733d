"""What a fitted estimator tells: the estimators inside it, its columns and their words, how exactly it computes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

_FITTED = ("coef_", "intercept_", "coefs_", "intercepts_", "mean_", "components_", "cluster_centers_", "theta_")
_ROUNDING = ("xgboost.", "catboost.")
_DIVIDED = {"OneVsRestClassifier", "CalibratedClassifierCV", "SGDClassifier"}
"""classifiers whose probabilities are one sigmoid for each class, divided by their sum"""
_INSIDE = ("final_estimator_", "regressor_")
_THRESHOLDS = ("TunedThresholdClassifierCV", "FixedThresholdClassifier")
_INVERTED = ("GaussianMixture", "BayesianGaussianMixture", "QuadraticDiscriminantAnalysis")
_FAR = 1e4
"""times its width may a column lie from zero: float32 then still tells a thousandth of that width"""


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every estimator inside it, fitted ones as far as they are kept."""
    yield estimator
    for _, step in getattr(estimator, "steps", []):
        if hasattr(step, "get_params"):
            yield from parts(step)
    united = [member[:2] for member in getattr(estimator, "transformer_list", [])]
    for _, transformer in (*(member[:2] for member in getattr(estimator, "transformers_", [])), *united):
        if hasattr(transformer, "get_params"):
            yield from parts(transformer)
    inner = getattr(estimator, "estimators_", None)
    if isinstance(inner, list | tuple):
        for member in inner:
            if hasattr(member, "get_params"):
                yield from parts(member)
    for member in getattr(estimator, "calibrated_classifiers_", []):
        yield from parts(member.estimator)
    thresholds = type(estimator).__name__ in _THRESHOLDS
    for attribute in (*_INSIDE, *(("estimator_",) if thresholds else ())):
        if hasattr(one := getattr(estimator, attribute, None), "get_params"):
            yield from parts(one)


def width(estimator: Any) -> int | None:
    """The number of columns it was fitted with; None where it is not fitted, or takes something else (texts)."""
    if hasattr(estimator, "X_thresholds_"):  # isotonic regression, which tells its one column nowhere
        return 1
    try:
        # CatBoost forgets the number when it is pickled, and keeps the names.
        return int(estimator.n_features_in_) or len(estimator.feature_names_)
    except (AttributeError, TypeError):
        return None


def fitted_names(estimator: Any) -> list[str]:
    """The names of the columns that it was fitted on; none where it was fitted on a matrix."""
    names = getattr(estimator, "feature_names_in_", None)
    return [] if names is None else [str(name) for name in names]


def columns_of(columns: Any, names: list[str]) -> list[str]:
    """The names of what a ColumnTransformer's step reads: by name, place, slice or mask; all where it is a function.

    Without `names` the places themselves, as text: the columns of a matrix.
    """
    if not names:
        return [str(column) for column in np.atleast_1d(np.asarray(columns))] if not isinstance(columns, slice) else []
    if callable(columns):
        return list(names)
    if isinstance(columns, slice):
        if any(isinstance(end, str) for end in (columns.start, columns.stop)):
            start, stop = (None if end is None else names.index(end) for end in (columns.start, columns.stop))
            return names[start : None if stop is None else stop + 1]
        return list(names[columns])
    listed = np.atleast_1d(np.asarray(columns))
    if not listed.size:  # a step that no column of this table is for
        return []
    if listed.dtype.kind in "OUS":
        return [str(column) for column in listed]
    return [str(name) for name in np.asarray(names, object)[listed]]


def with_columns(estimator: Any, names: list[str]) -> Iterator[tuple[Any, list[str]]]:
    """Every estimator inside a ColumnTransformer, with the columns that its step reads."""
    for part in parts(estimator):
        for _, transformer, columns in getattr(part, "transformers_", []):
            if hasattr(transformer, "get_params"):
                read = columns_of(columns, names)
                yield from ((inner, read) for inner in parts(transformer))


def encoded_columns(estimator: Any, names: list[str]) -> Iterator[tuple[str, Array]]:
    """Column name → the categories that a fitted encoder knows of it."""
    for inner, read in with_columns(estimator, names):
        for column, values in zip(read, getattr(inner, "categories_", []), strict=False):
            yield column, np.asarray(values)
    if not any(hasattr(part, "transformers_") for part in parts(estimator)):
        for part in parts(estimator):
            for column, values in zip(names, getattr(part, "categories_", []), strict=False):
                yield column, np.asarray(values)


def string_columns(estimator: Any, names: list[str]) -> dict[str, list[str]]:
    """Column name → the words that a fitted encoder knows of it, without a missing one."""
    return {
        column: [word for word in values.tolist() if isinstance(word, str)]
        for column, values in encoded_columns(estimator, names)
        if values.dtype.kind in "US" or any(isinstance(word, str) for word in values.tolist())
    }


def used_columns(estimator: Any, names: list[str]) -> list[str]:
    """Those of `names` that a ColumnTransformer at the front reads; the others are dropped there."""
    first = estimator.steps[0][1] if getattr(estimator, "steps", None) else estimator
    chosen = getattr(first, "transformers_", None)
    if not names or chosen is None or not hasattr(first, "remainder"):
        return names
    used: set[str] = set()
    for _, transformer, columns in chosen:
        if not (isinstance(transformer, str) and transformer == "drop"):
            used |= set(columns_of(columns, names))
    return [name for name in names if name in used]


def last_step(estimator: Any) -> Any:
    """Of a pipeline the last step, of any other the estimator itself."""
    return estimator.steps[-1][1] if getattr(estimator, "steps", None) else estimator


def several_labels(estimator: Any) -> bool:
    """Whether it decides several labels, and gives a list of probabilities: no tensor with the rows first."""
    return isinstance(getattr(estimator, "classes_", None), list)


def side_by_side(estimator: Any) -> bool:
    """Whether it decides several labels of one row, and gives one column of probabilities for each."""
    last = last_step(estimator)
    told = getattr(getattr(last, "_label_binarizer", None), "y_type_", "")
    return bool(getattr(last, "multilabel_", False)) or told.startswith("multilabel")


def decides_otherwise(estimator: Any) -> bool:
    """Whether its label is not that of the highest probability, or nearest centre, of those that it tells."""
    last = last_step(estimator)
    return type(last).__name__ in (*_THRESHOLDS, "NearestCentroid", "Birch", "RadiusNeighborsClassifier")


def takes_texts(estimator: Any) -> bool:
    """Whether it begins with a vectoriser of texts, so that one text is a row."""
    first = estimator.steps[0][1] if getattr(estimator, "steps", None) else estimator
    return hasattr(first, "build_analyzer")


def needs_double(estimator: Any) -> bool:
    """Whether float32 loses what it was fitted on: kernels that are inverted, columns far from zero for their width.

    Or what it answers: one sigmoid for each of several classes, divided by their sum, is lost where all are small.
    """
    for part in parts(estimator):
        if type(part).__name__ in _DIVIDED and hasattr(part, "predict_proba") and len(part.classes_) > 2:
            return True
        if type(part).__name__.startswith("GaussianProcess"):
            return True
        for centre, spread in (("mean_", "scale_"), ("center_", "scale_"), ("data_min_", "data_range_")):
            far, wide = getattr(part, centre, None), getattr(part, spread, None)
            if not isinstance(far, np.ndarray) or not isinstance(wide, np.ndarray) or far.shape != wide.shape:
                continue
            if np.any(np.abs(far) > _FAR * np.abs(wide)):
                return True
    return False


def amplifies(estimator: Any) -> bool:
    """Whether rounding inside it grows, whatever its inputs are: covariances that are inverted, steep curves."""
    return any(
        type(part).__name__ in _INVERTED or getattr(part, "method", "") == "isotonic" for part in parts(estimator)
    )


def takes_float32(estimator: Any) -> bool:
    """Whether it answers rows of float32 where it answers the same in float64: KMeans fitted on float64 does not."""
    columns = width(estimator)
    ask = getattr(estimator, "predict", None) or getattr(estimator, "transform", None)
    if columns is None or ask is None:
        return True
    rows = np.zeros((1, columns))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for narrow in (True, False):
            try:
                ask(rows.astype(np.float32) if narrow else rows)
            except (ValueError, TypeError):
                continue
            return narrow
    return True


def whole_categories(estimator: Any, names: list[str]) -> dict[str, list[int]]:
    """Column name → the whole numbers that a fitted encoder knows of it."""
    return {
        column: values.tolist() for column, values in encoded_columns(estimator, names) if values.dtype.kind in "iu"
    }


def rounds_its_inputs(estimator: Any) -> bool:
    """Whether it computes on float32 whatever it is given, as scikit-learn's trees and most boosted ones do."""
    if type(estimator).__module__.startswith(_ROUNDING):
        return True
    inner = getattr(estimator, "estimators_", None)
    members = np.ravel(np.asarray(inner, object)) if inner is not None else [estimator]
    return len(members) > 0 and all(hasattr(member, "tree_") for member in members)


def fitted(name: str, estimator: Any) -> Iterator[tuple[str, Array]]:
    """`step.coef_` → array, for an estimator and those inside it."""
    for step, inner in [*getattr(estimator, "steps", []), *(t[:2] for t in getattr(estimator, "transformers_", []))]:
        yield from fitted(f"{name}{step}.", inner)
    for attribute in _FITTED:
        value = getattr(estimator, attribute, None)
        for place, array in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                yield f"{name}{attribute}{place if isinstance(value, list) else ''}", array
