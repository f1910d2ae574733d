"""What a layer is called: as its author called it, or as Keras would in a session that made nothing before."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import keras

from onnxpress.export.port.code import snake


def counted(layers: Iterable[Any], *, nested: bool) -> dict[int, str]:
    """The id of each layer whose name Keras counted on from other models of the session → its name counted anew.

    Two models that are made alike have the same names so. A name that its author may have given stays: one that counts
    from 0, or in a whole model from 1.
    """
    by_kind: dict[str, dict[int, Any]] = defaultdict(dict)
    for layer in layers:
        if isinstance(layer, keras.Layer) and (number := number_of(layer)) is not None:
            by_kind[_kind(layer)][number] = layer
    found: dict[int, str] = {}
    for kind, numbered in by_kind.items():
        numbers = sorted(numbered)
        is_own = any(layer.name == f"{kind}_0" for layer in numbered.values())
        if is_own or numbers == list(range(len(numbers))) or (not nested and numbers[0] == 1):
            continue
        for place, number in enumerate(numbers):
            found[id(numbered[number])] = f"{kind}_{place}" if place else kind
    return found


def number_of(layer: Any) -> int | None:
    """The number that Keras put behind a name that it gave itself; 0 where there is none, None of an author's name."""
    match = re.fullmatch(rf"{re.escape(_kind(layer))}(?:_(\d+))?", str(layer.name))
    return None if match is None else int(match[1] or 0)


def alone(layer: Any) -> str:
    """The name of a layer that is the only one of its kind where it stands."""
    return _kind(layer) if number_of(layer) is not None else str(layer.name)


def _kind(layer: Any) -> str:
    return snake(re.sub(r"\W+", "", type(layer).__name__))
