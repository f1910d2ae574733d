"""A clustering before other steps hands on its distances alone, where skl2onnx 1.20 hands on its labels too."""

from __future__ import annotations

from functools import partial
from typing import Any

from onnxpress.export.networks.sklearn.parts import last_step, parts


def parsers(estimator: Any) -> dict[type, Any]:
    """For `convert_sklearn(custom_parsers=...)`: class → parser, of clusterings that are not the last step."""
    from sklearn.base import is_clusterer

    last = last_step(estimator)
    inner = [
        part
        for part in parts(estimator)
        if is_clusterer(part) and hasattr(part, "transform") and part is not last and not hasattr(part, "steps")
    ]
    kinds = {id(part) for part in inner}
    return {type(part): partial(_distances, kinds) for part in inner}


def _distances(inner: set[int], scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    from skl2onnx._supported_operators import _get_sklearn_operator_name
    from skl2onnx.common.data_types import Int64TensorType, guess_tensor_type

    operator = scope.declare_local_operator(_get_sklearn_operator_name(type(model)), model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("scores", guess_tensor_type(inputs[0].type)))
    return list(operator.outputs[1:] if id(model) in inner else operator.outputs)
