"""A constant computed from parameters is told from one that was damaged."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.export.equivalence.layerwise.folded import explained

GENERATOR = np.random.default_rng(3)
WEIGHT = GENERATOR.standard_normal((6, 6)).astype(np.float32)
MASK = (GENERATOR.random((6, 6)) > 0.4).astype(np.float32)
PARAMETERS = {"weight": WEIGHT, "mask": MASK}


@pytest.mark.parametrize(
    "constant",
    [
        WEIGHT * MASK,
        (WEIGHT * MASK).T,
        np.tril(WEIGHT),
        np.triu(WEIGHT) + np.triu(WEIGHT, 1).T,
        (WEIGHT + WEIGHT.T) / 2,
        WEIGHT[1:4],
        WEIGHT[:, :2],
    ],
)
def test_an_expression_of_the_parameters_is_found(constant: np.ndarray) -> None:
    assert explained(WEIGHT, constant.astype(np.float32), PARAMETERS)


def test_damage_is_no_expression() -> None:
    for damaged in (WEIGHT * MASK, np.tril(WEIGHT), (WEIGHT + WEIGHT.T) / 2, WEIGHT[1:4]):
        held = damaged.astype(np.float32).copy()
        place = tuple(np.argwhere(held != 0)[2])
        for changed in (0.0, held[place] * 1.001, -held[place]):
            wrong = held.copy()
            wrong[place] = changed
            assert not explained(WEIGHT, wrong, PARAMETERS)


def test_zeros_that_no_mask_explains_are_damage() -> None:
    held = WEIGHT.copy()
    held[2, 3] = held[4, 1] = 0
    assert not explained(WEIGHT, held, PARAMETERS)


@pytest.mark.parametrize("lengths", [(6, 1), (1, 6), (1,)])
def test_directions_times_their_own_lengths(lengths: tuple[int, ...]) -> None:
    """Weight norm at its beginning: most values of the constant are the directions', bit by bit."""
    axes = tuple(axis for axis in range(2) if len(lengths) == 1 or lengths[axis] == 1)
    norms = np.linalg.norm(WEIGHT, axis=axes if len(axes) > 1 else axes[0], keepdims=True).astype(np.float32)
    held = WEIGHT * (norms / np.sqrt((WEIGHT**2).sum(axes, keepdims=True)))
    known = {"directions": WEIGHT, "lengths": norms.reshape(lengths)}
    assert explained(WEIGHT, held, known)
    held[2, 3] *= np.float32(1.00001)
    assert not explained(WEIGHT, held, known)
