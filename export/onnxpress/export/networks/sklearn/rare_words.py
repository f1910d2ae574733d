"""OneHotEncoder with infrequent categories: skl2onnx 1.20 has it for known words alone, and not in every pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.parts import parts

_RARE = "infrequent_sklearn"


def converters(estimator: Any) -> dict[type, Any]:
    """For `convert_sklearn(custom_conversion_functions=...)`; none where no encoder has infrequent categories."""
    if not any(getattr(part, "_infrequent_enabled", False) for part in parts(estimator)):
        return {}
    from sklearn.preprocessing import OneHotEncoder

    return {OneHotEncoder: _convert}


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Each column's word to its place by LabelEncoder, the place held against 0, 1, 2 and so on."""
    from skl2onnx.common._apply_operation import apply_cast, apply_concat
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from skl2onnx.proto import onnx_proto

    encoder = operator.raw_operator
    wide = isinstance(operator.outputs[0].type, DoubleTensorType)
    kind = onnx_proto.TensorProto.DOUBLE if wide else onnx_proto.TensorProto.FLOAT
    made = []
    for number, (given, column) in enumerate(_columns(operator, len(encoder.categories_))):
        places, width, other = _places(encoder, number)
        if not width:
            continue
        one, name = scope.get_unique_variable_name("column"), given.full_name
        container.add_initializer(f"{one}/at", onnx_proto.TensorProto.INT64, [1], [column])
        container.add_node("Gather", [name, f"{one}/at"], one, axis=1, name=scope.get_unique_operator_name("Gather"))
        if isinstance(given.type, StringTensorType):
            keys: dict[str, Any] = {"keys_strings": [str(word) for word in places]}
        else:
            whole = scope.get_unique_variable_name("whole")
            apply_cast(scope, one, whole, container, to=onnx_proto.TensorProto.INT64)
            one, keys = whole, {"keys_int64s": [int(word) for word in places]}
        place, hot, out = (scope.get_unique_variable_name(what) for what in ("place", "hot", "out"))
        container.add_node(
            "LabelEncoder",
            [one],
            place,
            op_domain="ai.onnx.ml",
            op_version=2,
            name=scope.get_unique_operator_name("LabelEncoder"),
            values_int64s=list(places.values()),
            default_int64=other,
            **keys,
        )
        container.add_initializer(f"{hot}/places", onnx_proto.TensorProto.INT64, [1, width], list(range(width)))
        container.add_node("Equal", [place, f"{hot}/places"], hot, name=scope.get_unique_operator_name("Equal"))
        apply_cast(scope, hot, out, container, to=kind)
        made.append(out)
    apply_concat(scope, made, operator.outputs[0].full_name, container, axis=1)


def _columns(operator: Any, count: int) -> Iterator[tuple[Any, int]]:
    """The input that holds each of the encoder's columns, and its place there."""
    widths = [given.type.shape[1] for given in operator.inputs] if len(operator.inputs) > 1 else [count]
    for given, width in zip(operator.inputs, widths, strict=True):
        for column in range(width):
            yield given, column


def _places(encoder: Any, number: int) -> tuple[dict[Any, int], int, int]:
    """Known word → its column in the answer, how many columns there are, an unknown word's (-1: none)."""
    known: Array = np.asarray(encoder.categories_[number], object)
    kept = list(encoder._compute_transformed_categories(number, remove_dropped=False))
    dropped = None if encoder._drop_idx_after_grouping is None else encoder._drop_idx_after_grouping[number]
    rare = len(kept) - 1 if kept and isinstance(kept[-1], str) and kept[-1] == _RARE else -1
    place = {word: kept.index(word) if word in kept else rare for word in known.tolist()}
    other = rare if encoder.handle_unknown in ("infrequent_if_exist", "warn") else -1
    if dropped is not None:
        moved = {one: one - (one > dropped) if one != dropped else -1 for one in (*place.values(), other)}
        place, other = {word: moved[one] for word, one in place.items()}, moved[other]
    return place, len(kept) - (dropped is not None), other
