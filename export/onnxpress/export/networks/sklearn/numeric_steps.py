"""Numeric steps that skl2onnx 1.20 lacks or writes inexactly: power, numpy functions, indicators, other targets."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.parts import parts


def converters(estimator: Any) -> tuple[dict[type, Any], dict[type, Any]]:
    """For `convert_sklearn`: class → converter, class → shape calculator; none for what skl2onnx writes itself."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import FunctionTransformer, PowerTransformer

    own: dict[type, tuple[Any, Any]] = {
        PowerTransformer: (_power, _same_shape),
        FunctionTransformer: (_function, _same_shape),
        SimpleImputer: (_imputer, _with_indicators),
        MissingIndicator: (_indicator, _indicators),
        TransformedTargetRegressor: (_other_target, _one_column),
        HistGradientBoostingRegressor: (exponent_of_boosting, _one_column),
    }
    wanted = {type(part) for part in parts(estimator) if _is_ours(part)} & set(own)
    return {kind: own[kind][0] for kind in wanted}, {kind: own[kind][1] for kind in wanted}


def _is_ours(part: Any) -> bool:
    kind = type(part).__name__
    if kind == "SimpleImputer":
        return bool(part.add_indicator)
    if kind == "FunctionTransformer":
        return part.func is not None
    return kind != "HistGradientBoostingRegressor" or part.loss in ("poisson", "gamma")


# What an operator of skl2onnx is given and makes.


def _rows(operator: Any, opset: int) -> Any:
    """Its inputs beside each other."""
    from skl2onnx.algebra.onnx_ops import OnnxConcat

    inputs = list(operator.inputs)
    return inputs[0] if len(inputs) == 1 else OnnxConcat(*inputs, axis=1, op_version=opset)


def _width(operator: Any) -> int:
    return sum(int(given.type.shape[1]) for given in operator.inputs)


def _dtype(operator: Any) -> Any:
    from skl2onnx.common.data_types import guess_numpy_type

    return np.float64 if guess_numpy_type(operator.inputs[0].type) == np.float64 else np.float32


def _number(operator: Any) -> int:
    """ONNX's number of the operator's type of floats."""
    from skl2onnx.proto import onnx_proto

    return int(onnx_proto.TensorProto.DOUBLE if _dtype(operator) is np.float64 else onnx_proto.TensorProto.FLOAT)


def _shaped(operator: Any, width: int) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = DoubleTensorType if _dtype(operator) is np.float64 else FloatTensorType
    operator.outputs[0].type = kind([None, width])


def _same_shape(operator: Any) -> None:
    _shaped(operator, _width(operator))


def _one_column(operator: Any) -> None:
    regressor = operator.raw_operator
    targets = getattr(getattr(regressor, "regressor_", regressor), "coef_", None)
    _shaped(operator, len(targets) if targets is not None and np.ndim(targets) == 2 else 1)


def _with_indicators(operator: Any) -> None:
    imputer = operator.raw_operator
    kept = _kept(imputer)
    added = len(imputer.indicator_.features_) if imputer.add_indicator else 0
    if added:
        _shaped(operator, int(np.count_nonzero(kept)) + added)
        return
    from skl2onnx.shape_calculators.imputer import calculate_sklearn_imputer_output_shapes

    calculate_sklearn_imputer_output_shapes(operator)


def _indicators(operator: Any) -> None:
    _shaped(operator, len(operator.raw_operator.features_))


def _kept(imputer: Any) -> Any:
    """Which columns stay: one of which nothing was seen is dropped, unless it is filled with a constant."""
    statistics = np.asarray(imputer.statistics_, np.float64)
    return ~np.isnan(statistics) | bool(imputer.keep_empty_features)


# The converters.


def _power(scope: Any, operator: Any, container: Any) -> None:
    """In float64 inside: powers of numbers near 1, from which 1 is taken away."""
    from skl2onnx.algebra import onnx_ops as ox
    from skl2onnx.proto import onnx_proto

    power, opset = operator.raw_operator, container.target_opset
    at: dict[str, Any] = {"op_version": opset}
    wide = onnx_proto.TensorProto.DOUBLE
    x = ox.OnnxCast(_rows(operator, container.target_opset), to=wide, **at)
    one, zero = np.ones(1), np.zeros(1)

    def raised(base: Any, exponents: Any) -> Any:
        """(base^e - 1) / e, log(base) where e is 0."""
        safe = np.where(exponents == 0, 1.0, exponents)
        usual = ox.OnnxDiv(ox.OnnxSub(ox.OnnxPow(base, safe, **at), one, **at), safe, **at)
        if not (exponents == 0).any():
            return usual
        return ox.OnnxWhere(exponents == 0, ox.OnnxLog(base, **at), usual, **at)

    if power.method == "box-cox":
        y = raised(x, power.lambdas_)
    else:
        above = raised(ox.OnnxAdd(ox.OnnxMax(x, zero, **at), one, **at), power.lambdas_)
        below = raised(ox.OnnxSub(one, ox.OnnxMin(x, zero, **at), **at), 2 - power.lambdas_)
        y = ox.OnnxWhere(ox.OnnxLess(x, zero, **at), ox.OnnxNeg(below, **at), above, **at)
    if power.standardize:
        y = ox.OnnxDiv(ox.OnnxSub(y, power._scaler.mean_, **at), power._scaler.scale_, **at)
    ox.OnnxCast(y, to=_number(operator), output_names=operator.outputs[:1], **at).add_to(scope, container)


def _function_of(function: Any) -> Callable[[Any, dict[str, Any], Any], Any] | None:
    """A numpy function as (value, settings, dtype) → value; None for any other."""
    from skl2onnx.algebra import onnx_ops as ox

    one: dict[Any, Callable[[Any, dict[str, Any], Any], Any]] = {
        np.exp: lambda x, at, _: ox.OnnxExp(x, **at),
        np.expm1: lambda x, at, kind: ox.OnnxSub(ox.OnnxExp(x, **at), np.ones(1, kind), **at),
        np.log: lambda x, at, _: ox.OnnxLog(x, **at),
        np.log1p: lambda x, at, kind: ox.OnnxLog(ox.OnnxAdd(x, np.ones(1, kind), **at), **at),
        np.log2: lambda x, at, kind: ox.OnnxDiv(ox.OnnxLog(x, **at), np.log(np.full(1, 2, kind)), **at),
        np.log10: lambda x, at, kind: ox.OnnxDiv(ox.OnnxLog(x, **at), np.log(np.full(1, 10, kind)), **at),
        np.sqrt: lambda x, at, _: ox.OnnxSqrt(x, **at),
        np.square: lambda x, at, _: ox.OnnxMul(x, x, **at),
        np.abs: lambda x, at, _: ox.OnnxAbs(x, **at),
        np.negative: lambda x, at, _: ox.OnnxNeg(x, **at),
        np.reciprocal: lambda x, at, kind: ox.OnnxDiv(np.ones(1, kind), x, **at),
        np.sin: lambda x, at, _: ox.OnnxSin(x, **at),
        np.cos: lambda x, at, _: ox.OnnxCos(x, **at),
        np.tanh: lambda x, at, _: ox.OnnxTanh(x, **at),
    }
    return one.get(function)


def _function(scope: Any, operator: Any, container: Any) -> None:
    """A numpy function of one argument, in float64 inside."""
    from skl2onnx.algebra import onnx_ops as ox
    from skl2onnx.proto import onnx_proto

    transformer = operator.raw_operator
    written = _function_of(transformer.func)
    if transformer.kw_args or (transformer.func is not None and written is None):
        called = getattr(transformer.func, "__name__", str(transformer.func))
        raise BadModel(
            f"FunctionTransformer calls {called}, which has no ONNX form",
            hint="use one of numpy's exp, expm1, log, log1p, log2, log10, sqrt, square, abs, negative, reciprocal, "
            "sin, cos, tanh, without arguments; or call the function before the model is asked, and export what comes "
            "after it",
        )
    at: dict[str, Any] = {"op_version": container.target_opset}
    x = ox.OnnxCast(_rows(operator, container.target_opset), to=onnx_proto.TensorProto.DOUBLE, **at)
    y = x if written is None else written(x, at, np.float64)
    ox.OnnxCast(y, to=_number(operator), output_names=operator.outputs[:1], **at).add_to(scope, container)


def _missing(rows: Any, word: Any, features: Any, at: dict[str, Any], number: int) -> Any:
    """1 where a value of these features is missing, else 0."""
    from skl2onnx.algebra import onnx_ops as ox

    chosen = ox.OnnxGather(rows, np.asarray(features, np.int64), axis=1, **at)
    nan = isinstance(word, float) and np.isnan(word)
    kind = np.float64 if number == 11 else np.float32
    found = ox.OnnxIsNaN(chosen, **at) if nan else ox.OnnxEqual(chosen, np.asarray([word], kind), **at)
    return ox.OnnxCast(found, to=number, **at)


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """The filled columns, and an indicator for each that was fitted with gaps."""
    from skl2onnx.algebra import onnx_ops as ox

    imputer = operator.raw_operator
    added = imputer.indicator_.features_ if imputer.add_indicator else ()
    if not len(added):
        from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

        convert_sklearn_imputer(scope, operator, container)
        return
    at: dict[str, Any] = {"op_version": container.target_opset}
    number, kind = _number(operator), _dtype(operator)
    rows = ox.OnnxCast(_rows(operator, container.target_opset), to=number, **at)
    kept = np.flatnonzero(_kept(imputer))
    shown = ox.OnnxGather(rows, kept, axis=1, **at)
    word = imputer.missing_values
    nan = isinstance(word, float) and np.isnan(word)
    gaps = ox.OnnxIsNaN(shown, **at) if nan else ox.OnnxEqual(shown, np.asarray([word], kind), **at)
    filled = ox.OnnxWhere(
        gaps, np.nan_to_num(np.asarray(imputer.statistics_, np.float64))[kept].astype(kind), shown, **at
    )
    told = _missing(rows, word, added, at, number)
    ox.OnnxConcat(filled, told, axis=1, output_names=operator.outputs[:1], **at).add_to(scope, container)


def _indicator(scope: Any, operator: Any, container: Any) -> None:
    from skl2onnx.algebra import onnx_ops as ox

    at: dict[str, Any] = {"op_version": container.target_opset}
    number, indicator = _number(operator), operator.raw_operator
    rows = ox.OnnxCast(_rows(operator, container.target_opset), to=number, **at)
    told = _missing(rows, indicator.missing_values, indicator.features_, at, number)
    ox.OnnxIdentity(told, output_names=operator.outputs[:1], **at).add_to(scope, container)


def _other_target(scope: Any, operator: Any, container: Any) -> None:
    """The regressor's answer taken back to the author's target."""
    from skl2onnx.algebra import onnx_ops as ox
    from skl2onnx.algebra.onnx_operator import OnnxSubEstimator
    from skl2onnx.proto import onnx_proto

    outer, at = operator.raw_operator, {"op_version": container.target_opset}
    inner = OnnxSubEstimator(outer.regressor_, _rows(operator, container.target_opset), **at)
    y = ox.OnnxCast(inner, to=onnx_proto.TensorProto.DOUBLE, **at)
    back = outer.transformer_
    if getattr(back, "inverse_func", None) is not None and (written := _function_of(back.inverse_func)) is not None:
        y = written(y, at, np.float64)
    elif type(back).__name__ == "StandardScaler":
        if back.scale_ is not None:
            y = ox.OnnxMul(y, back.scale_, **at)
        if back.mean_ is not None:
            y = ox.OnnxAdd(y, back.mean_, **at)
    elif type(back).__name__ == "MinMaxScaler":
        y = ox.OnnxDiv(ox.OnnxSub(y, back.min_, **at), back.scale_, **at)
    elif type(back).__name__ != "FunctionTransformer" or back.inverse_func is not None:
        raise BadModel(
            "TransformedTargetRegressor: the way back from its target has no ONNX form",
            hint="take numpy's functions (func=np.log1p, inverse_func=np.expm1), a StandardScaler or a MinMaxScaler; "
            "or export its regressor_, and take the answer back yourself",
        )
    ox.OnnxCast(y, to=_number(operator), output_names=operator.outputs[:1], **at).add_to(scope, container)


def exponent_of_boosting(scope: Any, operator: Any, container: Any) -> None:
    """HistGradientBoostingRegressor for counts answers e to what its trees say, which skl2onnx leaves out."""
    from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_regressor_converter as stock

    if operator.raw_operator.loss not in ("poisson", "gamma"):
        stock(scope, operator, container)
        return
    made = operator.outputs[0]
    raw = scope.declare_local_variable("logarithm", made.type)
    inner = SimpleNamespace(
        raw_operator=operator.raw_operator,
        inputs=operator.inputs,
        input_full_names=operator.input_full_names,
        outputs=[raw],
        output_full_names=[raw.full_name],
        type=operator.type,
        full_name=operator.full_name,
        target_opset=operator.target_opset,
    )
    stock(scope, inner, container)
    container.add_node("Exp", [raw.full_name], [made.full_name], name=scope.get_unique_operator_name("Exp"))
