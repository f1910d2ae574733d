"""What float64 answers otherwise than float32, and what float32 only cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.export.network import TruthUnavailable
from onnxpress.export.networks.truth import refuse_other_truth


def test_what_float32_cannot_hold_is_no_other_answer() -> None:
    refuse_other_truth({"p": np.zeros((1, 1), np.float32)}, {"p": np.full((1, 1), 1.6e-40)})


@pytest.mark.parametrize("other", [1e-30, 0.06, np.inf])
def test_what_it_could_hold_is_another_answer(other: float) -> None:
    with pytest.raises(TruthUnavailable):
        refuse_other_truth({"p": np.zeros((1, 1), np.float32)}, {"p": np.full((1, 1), other)})
