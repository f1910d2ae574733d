"""Steps of the fourth rung stay so small that no model's losses run away."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.export.port.proof.descent import rate_of


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_no_value_moves_far_and_all_together_do_not_either(scale: float) -> None:
    drawn = np.random.default_rng(0).standard_normal((300, 400)) * scale
    rate = rate_of([drawn, np.zeros(0), -drawn[0]])
    assert rate * np.abs(drawn).max() <= 0.01 * (1 + 1e-12)
    assert rate * np.linalg.norm(drawn) <= 0.1
    assert rate_of([np.array([1e-3])]) == 0.01  # a small gradient is not blown up
