"""A linear discriminant analysis before other steps hands on its projections, where skl2onnx 1.20 hands on its answers.

Among the steps of a pipeline, and the members of unions of columns, scikit-learn calls its `transform`. In a vote it is
the classifier that it is at the end of a pipeline too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from onnxpress.export.networks.sklearn.nodes import Nodes, columns
from onnxpress.export.networks.sklearn.parts import parts

_NAME = "OwnDiscriminants"


class _Projections:
    """Stands for the projections where skl2onnx knows estimators by their class."""


def parsers(estimator: Any) -> dict[type, Any]:
    """For `convert_sklearn(custom_parsers=...)`: class → parser, where an analysis comes before other steps."""
    from skl2onnx import update_registered_converter
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    inner = [part for part in _transforming(estimator) if isinstance(part, LinearDiscriminantAnalysis)]
    if not inner:
        return {}
    shapes = columns(lambda model, _: _projection(model).shape[1])
    update_registered_converter(_Projections, _NAME, shapes, _projected, overwrite=True)
    kinds = {id(part) for part in inner}
    return {type(part): partial(_parsed, kinds) for part in inner}


def _transforming(estimator: Any) -> Iterator[Any]:
    """The parts whose `transform` is called by what they stand in."""
    for part in parts(estimator):
        members = [step for _, step in getattr(part, "steps", [])[:-1]]
        for attribute in ("transformer_list", "transformers_"):
            members += [member[1] for member in getattr(part, attribute, [])]
        for member in members:
            while getattr(member, "steps", None):  # of a pipeline that transforms, the last step does so
                member = member.steps[-1][1]
            yield member


def _parsed(inner: set[int], scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    from skl2onnx._parse import _parse_sklearn_classifier
    from skl2onnx.common.data_types import guess_tensor_type

    if id(model) not in inner:
        answered: list[Any] = _parse_sklearn_classifier(scope, model, inputs)
        return answered
    operator = scope.declare_local_operator(_NAME, model)
    operator.inputs = inputs
    operator.outputs.append(scope.declare_local_variable("projections", guess_tensor_type(inputs[0].type)))
    return list(operator.outputs)


def _projection(model: Any) -> Any:
    """The directions that it keeps, (features, directions)."""
    return np.asarray(model.scalings_, np.float64)[:, : model._max_components]


def _projected(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    nodes = Nodes(scope, operator, container)
    rows = nodes("Sub", nodes.rows, np.asarray(model.xbar_, np.float64)[None]) if model.solver == "svd" else nodes.rows
    nodes.answer(nodes("MatMul", rows, _projection(model)))
