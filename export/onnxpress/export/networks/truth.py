"""Whether a float64 twin answers the same question as its float32 original."""

from __future__ import annotations

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.network import TruthUnavailable

_SAME_ANSWER = 0.05
"""of the output's scale: more than float16 rounding explains in any network seen, less than a lost state changes"""


def refuse_other_truth(reference: dict[str, Array], truth: dict[str, Array]) -> None:
    """Raise TruthUnavailable where a float64 twin answers another question than its float32 original.

    A state that the twin lacks would otherwise pass for rounding, and raise the noise floor over every fault. What lies
    below the least number that the original's precision holds fully may be zero there.
    """
    for name, expected in reference.items():
        precise = truth[name]
        if expected.dtype.kind != "f":
            continue
        a, b = np.nan_to_num(expected.astype(np.float64)), np.nan_to_num(precise.astype(np.float64))
        least = float(np.finfo(expected.dtype).tiny)
        if a.shape != b.shape or np.abs(a - b).max(initial=0.0) > max(_SAME_ANSWER * np.abs(a).max(initial=0.0), least):
            raise TruthUnavailable(f"in float64 the output {name!r} is another one, not the same more precisely")
