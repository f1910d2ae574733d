"""Writing nodes for one estimator inside skl2onnx's graph: in float64, as scikit-learn computes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array


class Nodes:
    """The nodes of one operator of skl2onnx; `nodes("Add", x, np.ones(3))` adds one and gives its output's name.

    Arrays become constants.
    """

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope, self.operator, self.container = scope, operator, container

    @cached_property
    def rows(self) -> str:
        """What the estimator is given, its inputs beside each other in float64."""
        wide = [self("Cast", one.full_name, to=11) for one in self.operator.inputs]
        return wide[0] if len(wide) == 1 else self("Concat", *wide, axis=1)

    @property
    def width(self) -> int:
        """How many columns the rows have."""
        return sum(int(one.type.shape[1]) for one in self.operator.inputs)

    def __call__(self, kind: str, *inputs: Any, domain: str = "", **attributes: Any) -> str:
        return self.several(kind, 1, *inputs, domain=domain, **attributes)[0]

    def several(self, kind: str, count: int, *inputs: Any, domain: str = "", **attributes: Any) -> list[str]:
        """One node with `count` outputs; their names."""
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        made = [str(self.scope.get_unique_variable_name(kind.lower())) for _ in range(count)]
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, made, op_domain=domain, name=name, **attributes)
        return made

    def constant(self, values: Any) -> str:
        """An array of float64, float32, int64 or strings as a constant."""
        array = np.asarray(values)
        made: str = self.scope.get_unique_variable_name("constant")
        kind = {"f": 1 if array.dtype == np.float32 else 11, "i": 7, "U": 8, "O": 8}[array.dtype.kind]
        content = [word.encode() for word in array.ravel().tolist()] if kind == 8 else array.ravel().tolist()
        self.container.add_initializer(made, kind, list(array.shape), content)
        return made

    def sum(self, value: str, axis: int, *, keep: bool = False) -> str:
        """The sum along one axis."""
        return self("ReduceSum", value, np.asarray([axis]), keepdims=int(keep))

    def reshaped(self, value: str, *shape: int) -> str:
        """The value in another shape."""
        return self("Reshape", value, np.asarray(shape))

    def numbers(self, value: str) -> str:
        """Truths as 0.0 and 1.0."""
        return self("Cast", value, to=11)

    def squares(self, centres: Array) -> str:
        """[rows, centres]: squared Euclidean distances, computed as scikit-learn does."""
        own = self.sum(self("Mul", self.rows, self.rows), 1, keep=True)
        twice = self("MatMul", self.rows, -2.0 * centres.T)
        whole = self("Add", self("Add", own, twice), (centres * centres).sum(1)[None])
        return self("Max", whole, np.zeros(1))

    def answer(self, value: str, place: int = 0) -> None:
        """Give the value, in the type that skl2onnx expects there, as the operator's output."""
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        made = self.operator.outputs[place]
        if isinstance(made.type, FloatTensorType | DoubleTensorType):
            kind, attributes = "Cast", {"to": 11 if isinstance(made.type, DoubleTensorType) else 1}
        else:
            kind, attributes = "Identity", {}
        self.container.add_node(
            kind, [value], made.full_name, name=self.scope.get_unique_operator_name(kind), **attributes
        )

    def answer_class(self, place: str, classes: Any) -> None:
        """Give the classes at these places as the labels."""
        known = np.asarray(classes)
        known = known.astype(object) if known.dtype.kind in "OUS" else known.astype(np.int64)
        self.answer(self("Gather", known, place, axis=0))

    def rows_as(self, value: str, width: int) -> Any:
        """A value of float64 as what another estimator inside is given."""
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

        wide = isinstance(self.operator.inputs[0].type, DoubleTensorType)
        made = self.scope.declare_local_variable("rows", (DoubleTensorType if wide else FloatTensorType)([None, width]))
        name = self.scope.get_unique_operator_name("Cast")
        self.container.add_node("Cast", [value], made.onnx_name, name=name, to=11 if wide else 1)
        return made

    def asked(self, estimator: Any, inputs: list[Any] | None = None, **options: Any) -> list[str]:
        """The names of what an estimator inside answers: one for a regressor, label and scores of a classifier."""
        from skl2onnx._supported_operators import _get_sklearn_operator_name
        from skl2onnx.common.data_types import Int64TensorType
        from sklearn.base import is_classifier

        inner = self.scope.declare_local_operator(_get_sklearn_operator_name(type(estimator)), estimator)
        inner.inputs = list(self.operator.inputs if inputs is None else inputs)
        known = {name: value for name, value in options.items() if self.container.has_options(estimator, name)}
        if known:
            self.container.add_options(id(estimator), known)
            self.scope.add_options(id(estimator), known)
        number = type(inner.inputs[0].type)
        if is_classifier(estimator):
            inner.outputs.append(self.scope.declare_local_variable("label", Int64TensorType()))
        inner.outputs.append(self.scope.declare_local_variable("answer", number()))
        return [one.onnx_name for one in inner.outputs]


# What the operators make.


def columns(count: Any) -> Any:
    """A shape calculator: one matrix of as many columns as `count(estimator, width)` says."""

    def shapes(operator: Any) -> None:
        width = sum(int(one.type.shape[1] or 0) for one in operator.inputs)
        operator.outputs[0].type = _numbers(operator, count(operator.raw_operator, width))

    return shapes


def labels_and(count: Any) -> Any:
    """A shape calculator: labels, and a matrix of as many columns as `count(estimator)` says."""

    def shapes(operator: Any) -> None:
        from skl2onnx.common.data_types import Int64TensorType, StringTensorType

        classes = getattr(operator.raw_operator, "classes_", None)
        words = not isinstance(classes, list) and classes is not None and np.asarray(classes).dtype.kind in "OUS"
        operator.outputs[0].type = (StringTensorType if words else Int64TensorType)([None])
        operator.outputs[1].type = _numbers(operator, count(operator.raw_operator))

    return shapes


def _numbers(operator: Any, width: int) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    wide = isinstance(operator.inputs[0].type, DoubleTensorType)
    return (DoubleTensorType if wide else FloatTensorType)([None, width])
