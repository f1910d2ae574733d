"""OrdinalEncoder fitted with missing values, whose own code skl2onnx 1.20 gives to no missing word."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.nodes import Nodes


def encoded(scope: Any, operator: Any, container: Any) -> None:
    """Each column's code: the place of its category, a code of its own for a missing one and for an unknown one."""
    encoder = operator.raw_operator
    if not getattr(encoder, "_missing_indices", None):
        from skl2onnx.operator_converters.ordinal_encoder import convert_sklearn_ordinal_encoder as stock

        stock(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container)
    other = -1.0 if encoder.unknown_value is None else float(encoder.unknown_value)
    columns = [(one.full_name, place) for one in operator.inputs for place in range(int(one.type.shape[1] or 1))]
    made = []
    for number, (known, (name, place)) in enumerate(zip(encoder.categories_, columns, strict=True)):
        values = np.asarray(known)
        column = nodes("Gather", name, np.asarray([place]), axis=1)
        codes = _codes(encoder, number, len(values))
        words = values.dtype.kind in "OUS"
        made.append(
            _of_words(nodes, column, values, codes, other)
            if words
            else _of_numbers(nodes, column, values, codes, other)
        )
    answer = made[0] if len(made) == 1 else nodes("Concat", *made, axis=1)
    nodes.answer(answer)


def _codes(encoder: Any, number: int, count: int) -> Array:
    rare = encoder._default_to_infrequent_mappings[number] if encoder._infrequent_enabled else None
    codes = np.arange(count, dtype=np.float64)
    if rare is not None:
        codes[: len(rare)] = rare
    if number in encoder._missing_indices:
        codes[encoder._missing_indices[number]] = encoder.encoded_missing_value
    return codes


def _of_words(nodes: Nodes, column: str, words: Array, codes: Array, other: float) -> str:
    found = nodes(
        "LabelEncoder",
        column,
        domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[str(word) for word in words],
        values_floats=codes.tolist(),
        default_float=other,
    )
    return nodes.numbers(found)


def _of_numbers(nodes: Nodes, column: str, numbers: Array, codes: Array, other: float) -> str:
    """Held against every category in float64; NaN equals none, and is looked for itself."""
    wide, missing = nodes.numbers(column), np.isnan(numbers.astype(np.float64))
    same = nodes.numbers(nodes("Equal", wide, numbers[~missing].astype(np.float64)[None]))
    place = nodes("MatMul", same, codes[~missing][:, None])
    answer = nodes("Where", nodes("Greater", nodes.sum(same, 1, keep=True), np.zeros(1)), place, np.full(1, other))
    if missing.any():
        answer = nodes("Where", nodes("IsNaN", wide), codes[missing][:1], answer)
    return answer
