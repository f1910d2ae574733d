"""ONNX forms of torch's operators on small square matrices: inverse, solve, Cholesky, triangular solve.

ONNX has no such operators. Matrices of up to 8 rows are eliminated row by row, each pivot chosen as LAPACK chooses it;
larger ones would become thousands of nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch.overrides import TorchFunctionMode

from onnxpress.export.networks.pytorch.opset import ints, op

MOST = 8
"""rows of a matrix"""


class TooLarge(Exception):
    """A matrix has more rows than are written, or a number of them that varies. The text says which.

    `operator` is torch's name of what was asked for.
    """

    def __init__(self, operator: str, what: str) -> None:
        super().__init__(what)
        self.operator = operator


class Unchecked(TorchFunctionMode):
    """While active, functions that raise an error for a matrix without an answer give what is computed for it.

    The check of all rows has no ONNX form. A graph answers NaN or infinity for such a matrix alone.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        unchecked = _UNCHECKED.get(function)
        if unchecked is None:
            return function(*args, **(kwargs or {}))
        return unchecked(*args, **(kwargs or {}))[0]


_UNCHECKED: dict[Any, Any] = {
    torch.linalg.inv: torch.linalg.inv_ex,
    torch.inverse: torch.linalg.inv_ex,
    torch.Tensor.inverse: torch.linalg.inv_ex,
    torch.linalg.solve: torch.linalg.solve_ex,
    torch.linalg.cholesky: torch.linalg.cholesky_ex,
    torch.cholesky: torch.linalg.cholesky_ex,
    torch.Tensor.cholesky: torch.linalg.cholesky_ex,
}


def inverse(A: Any, *, check_errors: bool = False) -> Any:
    """The inverse, and 0 for each matrix: what cannot be inverted torch refuses."""
    count = _rows(A, "linalg_inv_ex", "torch.linalg.inv")
    one = op.CastLike(op.Constant(value=ir.tensor(np.eye(count, dtype=np.float32))), A)
    batch = op.Slice(op.Shape(A), ints(0), ints(-1))
    right = op.Expand(one, op.Concat(batch, ints(count), axis=0))
    return _eliminated(A, right, count), _nothing(A)


def solve(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """X of A X = B, or of X A = B; and the factors, which nothing reads behind `torch.linalg.solve`."""
    count = _rows(A, "linalg_solve_ex", "torch.linalg.solve")
    vector = len(B.shape) == 1 or list(B.shape) == list(A.shape)[:-1]
    right = op.Unsqueeze(B, ints(-1)) if vector else B
    rank = max(len(A.shape), len(B.shape) + int(vector))
    matrix = A if left else _turned(A, len(A.shape))
    if not left and not vector:
        right = _turned(right, len(B.shape))
    matrix, right = _of_one_batch(matrix, right)
    found = _eliminated(matrix, right, count)
    if not left and not vector:
        found = _turned(found, rank)
    return (op.Squeeze(found, ints(-1)) if vector else found), op.Identity(A), _nothing(A), _nothing(A)


def cholesky(self: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """The triangle whose square is the matrix, of which one triangle alone is read; and 0 for each matrix."""
    count, rank = _rows(self, "linalg_cholesky_ex", "torch.linalg.cholesky"), len(self.shape)
    rest = _turned(self, rank) if upper else self
    columns = []
    for place in range(count):
        column = op.Slice(rest, ints(place), ints(place + 1), ints(-1))
        pivot = op.Slice(column, ints(place), ints(place + 1), ints(-2))
        below = op.CastLike(op.Constant(value=ir.tensor(np.arange(count)[:, None] >= place)), self)
        column = op.Mul(op.Div(column, op.Sqrt(pivot)), below)
        columns.append(column)
        rest = op.Sub(rest, op.MatMul(column, _turned(column, rank)))
    lower = op.Concat(*columns, axis=-1)
    return (_turned(lower, rank) if upper else lower), _nothing(self)


def solve_triangular(
    self: Any,
    B: Any,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Any:
    """X of A X = B, or of X A = B, for a triangular A of which the other triangle is not read."""
    count, ranks = (
        _rows(self, "linalg_solve_triangular", "torch.linalg.solve_triangular"),
        (len(self.shape), len(B.shape)),
    )
    if left:
        return _substituted(self, B, count, upper=upper, ones=unitriangular)
    turned = _turned(self, ranks[0]), _turned(B, ranks[1])
    return _turned(_substituted(*turned, count, upper=not upper, ones=unitriangular), max(ranks))


def cholesky_solve(self: Any, input2: Any, upper: bool = False) -> Any:
    """X of A X = B for an A of which the Cholesky triangle is given."""
    count, rank = _rows(input2, "cholesky_solve", "torch.cholesky_solve"), len(input2.shape)
    lower, other = (_turned(input2, rank), input2) if upper else (input2, _turned(input2, rank))
    forth = _substituted(lower, self, count, upper=False)
    return _substituted(other, forth, count, upper=True)


def _rows(matrix: Any, operator: str, name: str) -> int:
    count = matrix.shape[-1]
    if not isinstance(count, int):
        raise TooLarge(operator, f"{name} of matrices whose size varies")
    if count > MOST:
        raise TooLarge(operator, f"{name} of matrices with {count} rows")
    return count


def _eliminated(matrix: Any, right: Any, count: int) -> Any:
    """Gauss and Jordan's, over the matrix with the right side beside it; the largest of each column is its pivot."""
    both = op.Concat(matrix, right, axis=-1)
    shape = op.Shape(both)
    numbers = op.Constant(value_ints=list(range(count)))
    for place in range(count):
        column = op.Slice(both, ints(place), ints(place + 1), ints(-1))
        size = op.Squeeze(op.Abs(op.Slice(column, ints(place), ints(count), ints(-2))), ints(-1))
        best = op.Add(op.ArgMax(size, axis=-1, keepdims=1), ints(place))
        here = op.Equal(numbers, ints(place))
        order = op.Where(here, best, op.Where(op.Equal(numbers, best), ints(place), numbers))
        both = op.GatherElements(both, op.Expand(op.Unsqueeze(order, ints(-1)), shape), axis=-2)
        row = op.Slice(both, ints(place), ints(place + 1), ints(-2))
        row = op.Div(row, op.Slice(row, ints(place), ints(place + 1), ints(-1)))
        column = op.Slice(both, ints(place), ints(place + 1), ints(-1))
        others = op.Sub(both, op.Mul(column, row))
        both = op.Where(op.Unsqueeze(here, ints(-1)), row, others)
    return op.Slice(both, ints(count), ints(2**31 - 1), ints(-1))


def _substituted(matrix: Any, right: Any, count: int, *, upper: bool, ones: bool = False) -> Any:
    """Row by row, from the one that stands alone; `ones`: the diagonal is taken for ones."""
    rows: dict[int, Any] = {}
    for place in reversed(range(count)) if upper else range(count):
        row = op.Slice(right, ints(place), ints(place + 1), ints(-2))
        column = op.Slice(matrix, ints(place), ints(place + 1), ints(-1))
        if not ones:
            row = op.Div(row, op.Slice(column, ints(place), ints(place + 1), ints(-2)))
        rows[place] = row
        right = op.Sub(right, op.MatMul(column, row))
    return op.Concat(*(rows[place] for place in range(count)), axis=-2)


def _of_one_batch(matrix: Any, right: Any) -> tuple[Any, Any]:
    """Both with the sizes before the last two that they have together."""
    corners = [op.Slice(one, ints(0, 0), ints(1, 1), ints(-2, -1)) for one in (matrix, right)]
    batch = op.Slice(op.Shape(op.Add(*corners)), ints(0), ints(-2))
    own = [op.Slice(op.Shape(one), ints(-2), ints(2**31 - 1)) for one in (matrix, right)]
    matrix, right = (
        op.Expand(one, op.Concat(batch, size, axis=0)) for one, size in zip((matrix, right), own, strict=True)
    )
    return matrix, right


def _turned(matrix: Any, rank: int) -> Any:
    return op.Transpose(matrix, perm=[*range(rank - 2), rank - 1, rank - 2])


def _nothing(matrix: Any) -> Any:
    """0 for each matrix, as int32."""
    sizes = op.Slice(op.Shape(matrix), ints(0), ints(-2))
    return op.Expand(op.Cast(op.Constant(value_int=0), to=int(ir.DataType.INT32)), sizes)
