"""Cuts as long as a size that varies, of what is not: the places of a table that a row has."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor

from onnxpress.export.port.from_keras.stand_ins import is_stand_in
from onnxpress.export.port.refusal import NoCorrespondence


class Cut(keras.Operation):
    """The first of an array, as many as a size says."""

    def compute_output_spec(self, x: KerasTensor, key: tuple[Any, ...]) -> KerasTensor:
        """As if the array were that long."""
        cuts = [item for item in key if item is not None and item is not Ellipsis]
        before = key.index(Ellipsis) if Ellipsis in key else len(key)
        places = [*range(sum(item is not None for item in key[:before]))]
        places += range(len(x.shape) - (len(cuts) - len(places)), len(x.shape))
        long = list(x.shape)
        for place, item in zip(places, cuts, strict=True):
            if isinstance(item, slice) and is_stand_in(item.stop):
                long[place] = item.stop
        whole = tuple(slice(None) if isinstance(item, slice) and is_stand_in(item.stop) else item for item in key)
        return KerasTensor(long, x.dtype)[whole]


def varies(*values: Any) -> bool:
    """Whether one of these numbers, or of those in a tuple, stands for a size that varies."""
    return any(varies(*v) if isinstance(v, tuple | list) else is_stand_in(v) for v in values)


def is_cut(key: Any) -> bool:
    """Whether an index goes as far as a size that varies."""
    return any(isinstance(one, slice) and is_stand_in(one.stop) for one in (key if isinstance(key, tuple) else (key,)))


def cut(x: KerasTensor, key: Any) -> Any:
    """x[key] of such an index."""
    key = key if isinstance(key, tuple) else (key,)
    if any(
        isinstance(one, slice) and is_stand_in(one.stop) and (one.start or one.step not in (None, 1)) for one in key
    ):
        raise NoCorrespondence(
            "a cut as long as a size that varies has no correspondence but from the start",
            hint="cut off what comes first in another step",
        )
    return Cut().symbolic_call(x, key)
