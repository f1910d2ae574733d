"""Whether a module of transformers answers the same by the attention it is given with and by the one that is carried.

Carried is `eager`, as it is written of products and a softmax. Where a position sees nothing at all, as behind a mask
that hides the whole window in which it looks, a fused attention answers zeros and a softmax the mean of everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.network import Network
from onnxpress.export.port.refusal import NoCorrespondence

_NEAR = 1e-3
"""of the largest value: roundings of two kernels are far smaller, a mean of everything is far larger"""


def refuse_other_attention(given: Network, eager: Network, drawn: Sequence[Case], where: str) -> None:
    """Raise NoCorrespondence where they differ, but in padding on the left, of which nothing is asked."""
    for case in drawn:
        wanted, found = given.run(case.feeds, "float32"), eager.run(case.feeds, "float32")
        for name, value in wanted.items():
            asked = _asked(case.feeds, value)
            if value.dtype.kind == "f" and _apart(value[asked], found[name][asked]):
                raise NoCorrespondence(
                    "a position that sees nothing, as behind a mask that hides it, is answered otherwise by this "
                    "module's fused attention, which has no correspondence",
                    where=where,
                    hint='module.set_attn_implementation("eager"): attention as it is written can be carried',
                )


def _asked(feeds: dict[str, Array], value: Array) -> Array:
    """Which places lie not before the first that a mask shows; of answers without places the rows that begin shown."""
    asked = np.ones(len(value), bool)
    for name, mask in feeds.items():
        if "mask" in name and mask.dtype.kind in "ib" and mask.ndim == 2 and len(mask) == len(value):
            shown = np.maximum.accumulate(mask != 0, axis=1)
            asked = shown if value.ndim > 1 and value.shape[1] == mask.shape[1] else shown[:, 0]
    return asked


def _apart(wanted: Array, found: Array) -> bool:
    scale = float(np.abs(np.nan_to_num(wanted)).max(initial=0.0))
    return not np.allclose(wanted, found, rtol=0.0, atol=_NEAR * scale, equal_nan=True)
