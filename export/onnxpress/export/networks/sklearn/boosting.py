"""XGBoost, LightGBM and CatBoost: their estimators told to skl2onnx, which knows none of them by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.core.errors import BadModel
from onnxpress.core.optional import require
from onnxpress.export.networks.sklearn.parts import parts

if TYPE_CHECKING:
    import onnx

_PACKAGES = ("xgboost", "lightgbm", "catboost")
_CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False], "raw_scores": [True, False]}


def package_of(estimator: Any) -> str | None:
    """The boosting package whose class it is; None for any other estimator."""
    for ancestor in type(estimator).__mro__:
        package = ancestor.__module__.partition(".")[0]
        if package in _PACKAGES:
            return package
    return None


def register(estimator: Any, where: str) -> None:
    """Tell skl2onnx of the boosted estimators inside it. Raises MissingExtra where their converters are absent."""
    for part in parts(estimator):
        package = package_of(part)
        if package is None:
            continue
        if package == "catboost":
            _refuse_categories(part, bool(part.get_cat_feature_indices()), where)
            _register_catboost(part)
            continue
        require("onnxmltools", needed_by=f"converting {type(part).__name__}")
        if package == "xgboost":
            _refuse_categories(part, "c" in (part.get_booster().feature_types or []), where)
            _register_xgboost(part)
        else:
            _refuse_categories(part, bool(part.booster_.dump_model().get("pandas_categorical")), where)
            _register_lightgbm(part)


def _refuse_categories(part: Any, has: bool, where: str) -> None:
    if has:
        raise BadModel(
            f"{type(part).__name__} with categorical features has no ONNX form that answers as it does",
            where=where,
            hint="encode the categories before it (OneHotEncoder, OrdinalEncoder), and train it on numbers",
        )


def _register_xgboost(part: Any) -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

    _register(part, convert_xgboost, {})


def _register_lightgbm(part: Any) -> None:
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    def convert(scope: Any, operator: Any, container: Any) -> None:
        convert_lightgbm(scope, operator, _InDouble(container))

    _register(part, convert, {"split": None})


class _InDouble:
    """A container whose trees keep their thresholds and leaves in float64, as LightGBM compares and adds them up.

    onnxmltools 1.16 reads them in float64, and writes attributes of float32: hundreds of rounded leaves add up to more
    than rounding explains.
    """

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        from onnx.numpy_helper import from_array

        for name in ("nodes_values", "class_weights", "target_weights"):
            if name in attributes and op_type.startswith("TreeEnsemble"):
                values = np.asarray(attributes.pop(name), np.float64)
                attributes[f"{name}_as_tensor"] = from_array(values, name)
        self._container.add_node(op_type, inputs, outputs, **attributes)


def _register(part: Any, converter: Any, regressor_options: dict[str, Any]) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    decides = hasattr(part, "predict_proba")

    def shapes(operator: Any) -> None:
        """What trees answer is float32, from rows in float64 too."""
        told = calculate_linear_classifier_output_shapes if decides else calculate_linear_regressor_output_shapes
        told(operator)
        operator.outputs[-1].type = FloatTensorType(operator.outputs[-1].type.shape)

    update_registered_converter(
        type(part),
        f"Boosted{type(part).__name__}",
        shapes,
        converter,
        parser=_parsed if decides else None,
        options=_CLASSIFIER_OPTIONS if decides else regressor_options,
    )


def _parsed(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Label and probabilities: skl2onnx would look for scikit-learn's own base class, which not all of them have."""
    from skl2onnx._supported_operators import _get_sklearn_operator_name
    from skl2onnx.common.data_types import Int64TensorType, guess_tensor_type

    operator = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", guess_tensor_type(inputs[0].type)))
    return list(operator.outputs)


def _register_catboost(part: Any) -> None:
    _register(part, _convert_catboost, {})


def _convert_catboost(scope: Any, operator: Any, container: Any) -> None:
    """What CatBoost writes by itself, its nodes put into skl2onnx's graph."""
    import onnx
    from catboost.utils import convert_to_onnx_object

    graph: onnx.GraphProto = convert_to_onnx_object(operator.raw_operator).graph
    node = next(node for node in graph.node if node.op_type.startswith("TreeEnsemble"))
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    name, made = scope.get_unique_operator_name(node.op_type), [value.full_name for value in operator.outputs]
    rows = _in_float32(scope, operator, container)
    container.add_node(node.op_type, [rows], made, op_domain="ai.onnx.ml", name=name, **_plain(attributes))


def _in_float32(scope: Any, operator: Any, container: Any) -> str:
    """CatBoost compares in float32, whatever it is given."""
    from skl2onnx.common._apply_operation import apply_cast
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.proto import onnx_proto

    given: str = operator.inputs[0].full_name
    if isinstance(operator.inputs[0].type, FloatTensorType):
        return given
    rows: str = scope.get_unique_variable_name("rows")
    apply_cast(scope, given, rows, container, to=onnx_proto.TensorProto.FLOAT)
    return rows


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    def text(value: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value

    return {
        name: [text(item) for item in value] if isinstance(value, list | tuple) else text(value)
        for name, value in attributes.items()
        if not isinstance(value, np.ndarray)
    }
