"""What a buffer of a source holds, as a formula: places in a row, triangles, sinusoids; so that none is zeros at first.

The weights' file holds every value. The formula is for who builds the model without it, to train it from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.code import literal

_NEAR = 1e-5


@dataclass(frozen=True)
class Formula:
    """`kind`: full, arange, lower, upper, frequencies or sinusoids, and the numbers in it."""

    kind: str
    numbers: tuple[float | int, ...]


def formula_of(array: Array) -> Formula | None:
    """The formula of the array's values, without its axes of 1; None where it has none that is known here."""
    if not array.size or array.dtype.kind not in "fiub":
        return None
    plain = np.asarray(array, np.float64).squeeze()
    if not np.isfinite(plain).all() or (plain == plain.flat[0]).all():
        return Formula("full", (array.flat[0].item(),)) if (array == array.flat[0]).all() else None
    if plain.ndim == 1:
        return _of_row(plain)
    if plain.ndim == 2 and plain.shape[0] == plain.shape[1] and array.dtype.kind != "f":
        for kind, like in (("lower", np.tril), ("upper", np.triu)):
            shifts = (0, 1) if kind == "upper" else (0,)
            for shift in shifts:
                if np.array_equal(plain, like(np.ones_like(plain), shift)):
                    return Formula(kind, (len(plain), shift))
    if plain.ndim == 2 and array.dtype.kind == "f" and np.allclose(plain, _sinusoids(*plain.shape), atol=_NEAR):
        return Formula("sinusoids", plain.shape)
    return None


def _of_row(row: Array) -> Formula | None:
    step = row[1] - row[0]
    if row[0] == int(row[0]) and step == int(step) and np.array_equal(row, row[0] + step * np.arange(len(row))):
        return Formula("arange", (int(row[0]), int(row[0] + step * len(row)), int(step)))
    if row[0] == 1 and 0 < row[-1] < 1:
        base = round(float(row[1] ** -len(row)))
        if base > 1 and np.allclose(row, base ** (-np.arange(len(row)) / len(row)), rtol=_NEAR, atol=0):
            return Formula("frequencies", (base, len(row)))
    return None


def _sinusoids(length: int, size: int) -> Array:
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
    found: Array = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)[:, :size]
    return found


def in_torch(formula: Formula, shape: tuple[int, ...], dtype: str) -> str:
    """The expression that makes a tensor of this shape; `dtype` as `torch.int64`."""
    kind, numbers = formula.kind, formula.numbers
    made_shape: tuple[float | int, ...] = numbers
    if kind == "arange":
        start, stop, step = numbers
        said = [stop] if (start, step) == (0, 1) else [start, stop] if step == 1 else [start, stop, step]
        kept = "" if dtype == "torch.int64" else f", dtype={dtype}"
        made, made_shape = f"torch.arange({', '.join(map(str, said))}{kept})", (max(shape),)
    elif kind in ("lower", "upper"):
        side, shift = numbers
        name = "tril" if kind == "lower" else "triu"
        made, made_shape = f"torch.ones({side}, {side}, dtype={dtype}).{name}({shift or ''})", (side, side)
    elif kind == "frequencies":
        base, count = numbers
        made, made_shape = f"{base} ** (-torch.arange({count}) / {count})", (count,)
        if shape != made_shape:
            made = f"({made})"
    else:
        made = f"sinusoids({numbers[0]}, {numbers[1]})"
    return made if shape == made_shape else f"{made}.reshape({', '.join(map(str, shape))})"


def in_keras(formula: Formula) -> str:
    """The initialiser that makes it, in the weight's own shape and dtype."""
    kind, numbers = formula.kind, formula.numbers
    if kind == "full":
        made = literal(numbers[0])
    elif kind == "arange":
        start, stop, step = numbers
        said = [stop] if (start, step) == (0, 1) else [start, stop] if step == 1 else [start, stop, step]
        made = f"ops.arange({', '.join(map(str, said))})"
    elif kind in ("lower", "upper"):
        side, shift = numbers
        name = "tril" if kind == "lower" else "triu"
        made = f'ops.{name}(ops.ones(({side}, {side}), "int32"){f", {shift}" if shift else ""})'
    elif kind == "frequencies":
        base, count = numbers
        made = f'{float(base)} ** (-ops.arange({count}, dtype="float32") / {count})'
    else:
        made = f"sinusoids({numbers[0]}, {numbers[1]})"
    return f"keras.initializers.Constant({made})"


SINUSOIDS_IN_TORCH = '''def sinusoids(length, size):
    """The sine and cosine of every place in a row: (length, size)."""
    angles = torch.arange(length)[:, None] * 10000 ** (-torch.arange(0, size, 2) / size)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :size]'''
SINUSOIDS_IN_KERAS = '''def sinusoids(length, size):
    """The sine and cosine of every place in a row: (length, size)."""
    frequencies = 10000.0 ** (-ops.arange(0, size, 2, dtype="float32") / size)
    angles = ops.arange(length, dtype="float32")[:, None] * frequencies
    pairs = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
    return ops.reshape(pairs, (length, -1))[:, :size]'''
