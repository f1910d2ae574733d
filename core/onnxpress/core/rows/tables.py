"""The operators of ai.onnx.ml: a table of (rows, columns), each row for itself."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.core.rows.call import ML, Call, rule
from onnxpress.core.rows.sizes import Size
from onnxpress.core.rows.values import FREE, Value


def _table(call: Call, number: int = 0) -> Value:
    """An input of two axes, the rows at the first."""
    value = call.data(number)
    if value.rows is not None:
        if call.rank(value) != 2:
            raise call.refused("its input is no table of rows and columns")
        call.only_axis(value, 0)
    return value


def _with(value: Value, *sizes: Size) -> Value:
    if value.rows is None or value.shape is None:
        return FREE
    return Value((value.shape[0], *sizes), value.rows)


def _count(call: Call, *names: str) -> int:
    return next((found.count() for name in names if (found := call.attribute(name)) is not None), 0)


@rule("Scaler", "Imputer", domain=ML)
def _columns(call: Call) -> Value:
    """A number for each column, or one for all; of a list of values the columns are the rows themselves."""
    value = call.data(0)
    if value.rows is None:
        return Value(value.shape)
    names = ("offset", "scale", "imputed_value_floats", "imputed_value_int64s")
    if max(_count(call, name) for name in names) > 1:
        return _with(_table(call), *call.shape(value)[1:])
    return Value(value.shape, value.rows)


@rule("Binarizer", "CategoryMapper", domain=ML)
def _each(call: Call) -> Value:
    value = call.data(0)
    return Value(value.shape, value.rows)


@rule("Normalizer", domain=ML)
def _normalized(call: Call) -> Value:
    value = _table(call)
    return Value(value.shape, value.rows)


@rule("OneHotEncoder", domain=ML)
def _one_hot(call: Call) -> Value:
    """A new last axis of as many places as there are categories."""
    value = call.data(0)
    return Value((*call.shape(value), _count(call, "cats_int64s", "cats_strings")), value.rows)


@rule("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier", domain=ML)
def _classified(call: Call) -> Sequence[Value]:
    """A label and a score for each class. Of two classes some models give one score, so its size is left open."""
    value = _table(call)
    return [_with(value), _with(value, call.fresh())]


@rule("TreeEnsembleRegressor", "TreeEnsemble", "SVMRegressor", "LinearRegressor", domain=ML)
def _regressed(call: Call) -> Value:
    value = _table(call)
    count = call.integer("n_targets", call.integer("targets", 1))
    return _with(value, 1 if call.node.operator == "SVMRegressor" else count)


@rule("FeatureVectorizer", domain=ML)
def _joined(call: Call) -> Value:
    values = [_table(call, number) for number in range(len(call.inputs))]
    first = values[0]
    if any(value.rows != first.rows for value in values):
        raise call.refused("its inputs have other rows than each other")
    return _with(first, call.fresh())


@rule("ZipMap", domain=ML)
def _zipped(call: Call) -> Value:
    """A list with a map for each row."""
    return _with(_table(call))
