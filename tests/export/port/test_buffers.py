"""Buffers are made by a formula where they have one, so that a model that is trained from the start has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onnxpress.export.port.buffers import SINUSOIDS_IN_TORCH, Formula, formula_of, in_torch

pytestmark = pytest.mark.torch
PLACES = np.arange(7)[:, None] * 10000.0 ** (-np.arange(0, 6, 2) / 6)
SINUSOIDS = np.stack([np.sin(PLACES), np.cos(PLACES)], axis=-1).reshape(1, 7, 6).astype(np.float32)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.arange(5)[None], "arange"),
        (np.arange(3, 11, 2, dtype=np.float32), "arange"),
        (np.tril(np.ones((1, 1, 4, 4), bool)), "lower"),
        (np.triu(np.ones((4, 4), np.int64), 1), "upper"),
        ((10000.0 ** (-np.arange(4) / 4)).astype(np.float32), "frequencies"),
        (SINUSOIDS, "sinusoids"),
    ],
)
def test_the_formula_makes_the_same_values(array: np.ndarray, kind: str) -> None:
    formula = formula_of(array)
    assert formula is not None
    assert formula.kind == kind
    names: dict[str, object] = {"torch": torch}
    exec(SINUSOIDS_IN_TORCH, names)
    held = torch.from_numpy(array)
    made = eval(in_torch(formula, array.shape, str(held.dtype)), names)
    assert made.dtype == held.dtype
    assert made.shape == held.shape
    assert torch.allclose(made.double(), held.double(), atol=1e-5)


def test_values_that_follow_no_formula_have_none() -> None:
    noise = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
    nearly = np.arange(5, dtype=np.float32) + np.float32([0, 0, 0, 1, 0])
    assert [formula_of(array) for array in (noise, nearly, SINUSOIDS[:, ::-1].copy(), noise[0])] == [None] * 4
    assert formula_of(np.full((2, 3), 7)) == Formula("full", (7,))
