"""What is known of an integer tensor that divides: that no value of it is -1, whatever the callers send.

Known of constants, of sizes, of what cannot be negative, and of a choice between values that asked for -1 before:
`Where(b == -1, 1, b)`. Everything else may be -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from onnxpress.core.onnx_graph import Node, Tensor

_MOST = 1 << 16
"""constants of more values are not looked through"""
_SAME_VALUES = frozenset({
    "Identity", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Transpose", "Flatten", "Slice", "Gather", "GatherND",
    "GatherElements", "Tile", "Split",
})  # fmt: skip
"""operators whose outputs hold values of their first input and no others"""
_BOOL, _INT32, _INT64 = 9, 6, 7
_NEVER_NEGATIVE = frozenset({2, 4, _BOOL})
"""uint8, uint16 and bool: as a wider integer they are what they were"""
_COMPARED = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_MIRRORED = {"Greater": "Less", "GreaterOrEqual": "LessOrEqual", "Less": "Greater", "LessOrEqual": "GreaterOrEqual"}


class Asked(msgspec.Struct, frozen=True):
    """A condition about one tensor: whether where it holds, and where it does not, the tensor's value is not -1."""

    tensor: int
    where_true: bool
    where_false: bool


class Value(msgspec.Struct, frozen=True):
    """One tensor of a graph, as far as it was followed."""

    free: bool
    """whether it is the same for all values of inputs of the same shapes"""
    type: int = 0
    """onnx.TensorProto.DataType, 0 where it was not followed"""
    constant: Tensor | None = None
    listed: tuple[int, ...] | None = None
    """of a constant that a node lists"""
    never: bool = False
    """whether no value of it is -1"""
    asked: Asked | None = None
    key: int = 0
    """tells it from every other tensor; 0 is no one's"""


def constant_never(tensor: Tensor | None) -> bool:
    """Whether all values are known, and none is -1."""
    values = None if tensor is None else tensor.values(_MOST)
    return values is not None and -1 not in values


def known(value: Value) -> tuple[float | int | bool | str, ...] | None:
    """The values of a constant; None for everything else, and where they are too many or not in the file."""
    if value.listed is not None:
        return value.listed
    return None if value.constant is None else value.constant.values(_MOST)


def never(node: Node, inputs: Sequence[Value]) -> bool:
    """Whether no value of the node's outputs is -1, by what is known of its inputs."""
    operator = node.operator
    if operator in _SAME_VALUES:
        return bool(inputs) and inputs[0].never
    if operator == "Concat":
        return bool(inputs) and all(value.never for value in inputs)
    if operator == "Abs":  # of the smallest integer it is that itself
        return True
    if operator == "Relu":
        return True
    if operator == "Cast" and inputs:
        to = node.attributes.get("to")
        wide = to is not None and to.integer() in (_INT32, _INT64)
        same = to is not None and (to.integer() == inputs[0].type or (inputs[0].type, to.integer()) == (_INT32, _INT64))
        return (wide and inputs[0].type in _NEVER_NEGATIVE) or (same and inputs[0].never)
    if operator == "Clip":
        return (len(inputs) > 1 and _at_least(inputs[1], 0)) or (len(inputs) > 2 and _at_most(inputs[2], -2))
    if operator == "Max":
        return any(_at_least(value, 0) for value in inputs) or _all_never(inputs)
    if operator == "Min":
        return any(_at_most(value, -2) for value in inputs) or _all_never(inputs)
    if operator == "Mod" and len(inputs) == 2:
        fmod = node.attributes.get("fmod")
        # The sign is the divisor's.
        return not (fmod is not None and fmod.integer()) and _at_least(inputs[1], 1)
    if operator == "Where" and len(inputs) == 3:
        asked, first, second = inputs[0].asked, inputs[1], inputs[2]
        parts = (
            first.never or (asked is not None and asked.tensor == first.key and asked.where_true),
            second.never or (asked is not None and asked.tensor == second.key and asked.where_false),
        )
        return all(parts)
    return False


def asked(node: Node, inputs: Sequence[Value]) -> Asked | None:
    """What the node says of the tensor that it compares with a constant; None where it is no such condition."""
    operator = node.operator
    if operator == "Not" and inputs and inputs[0].asked is not None:
        one = inputs[0].asked
        return Asked(one.tensor, one.where_false, one.where_true)
    if operator not in _COMPARED or len(inputs) != 2:
        return None
    left, right = inputs
    if right.constant is None and right.listed is None:
        left, right, operator = right, left, _MIRRORED.get(operator, operator)
    values = known(right)
    if not values or left.key == 0 or any(not isinstance(value, int) for value in values):
        return None
    held = [_holds(operator, int(value)) for value in values]
    # Where the condition is true the tensor is not -1, if -1 makes it false, for each of the constant's values.
    return Asked(left.key, not any(held), all(held))


def _holds(operator: str, value: int) -> bool:
    """Whether -1 fulfils the comparison with `value`."""
    return {
        "Equal": value == -1,
        "Greater": value < -1,
        "GreaterOrEqual": value <= -1,
        "Less": value > -1,
        "LessOrEqual": value >= -1,
    }[operator]


def _all_never(inputs: Sequence[Value]) -> bool:
    return bool(inputs) and all(value.never for value in inputs)


def _at_least(value: Value, bound: int) -> bool:
    values = known(value)
    return bool(values) and all(isinstance(one, int) and one >= bound for one in values or ())


def _at_most(value: Value, bound: int) -> bool:
    values = known(value)
    return bool(values) and all(isinstance(one, int) and one <= bound for one in values or ())
