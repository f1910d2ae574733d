"""A derived version's golden samples: its own answers here, with floors of its own precision.

One floor of an output is the root mean square of what its precision costs, over the held-out rows. Another processor's
kernels round elsewhere by some tenths of that; a wrong file or a saturating product is many floors off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.golden import Golden

_ROWS = 16
_MOST_BYTES = 512 * 1024
_DRAWS, _MOVED = 4, 1e-3
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


def floors(rms: Mapping[str, float], parent: Mapping[str, float], answers: Mapping[str, Array]) -> dict[str, float]:
    """Output → one floor in its own units, of the floats among them. Never less than its dtype or parent can tell."""
    found = {}
    for name, value in answers.items():
        if value.dtype.kind in "fV":
            wide = np.asarray(value, np.float64)
            scale = float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))
            found[name] = max(rms.get(name, 0.0), parent.get(name, 0.0), float(np.finfo(np.float32).eps) * scale)
    return found


def goldens(run: Run, rows: Mapping[str, Array], own: Mapping[str, float], *, together: bool) -> list[Golden]:
    """Some rows in one batch and the first alone, or each alone where rows look at each other."""
    count = len(next(iter(rows.values())))
    size = sum(value[:1].nbytes for value in rows.values()) or 1
    most = int(min(_ROWS, count, max(1, _MOST_BYTES // size)))
    some = [slice(0, most), slice(0, 1)] if together else [slice(row, row + 1) for row in range(most)]
    cases = []
    for part in some:
        feeds = {name: value[part] for name, value in rows.items()}
        answers = run(feeds)
        cases.append(Golden(feeds, answers, _each(run, feeds, answers, own)))
    return cases


def _each(
    run: Run, feeds: Mapping[str, Array], answers: Mapping[str, Array], own: Mapping[str, float]
) -> dict[str, Array]:
    """The floors of one case; of what is no float, 1 marks what changes when the inputs move by a thousandth."""
    found: dict[str, Array] = {}
    moved = _moved(run, feeds) if any(name not in own for name in answers) else []
    for name, value in answers.items():
        if name in own:
            found[name] = np.full(value.shape, own[name])
        else:
            unsteady = np.zeros(value.shape, bool)
            for other in moved:
                unsteady |= np.asarray(other[name] != value)
            found[name] = unsteady.astype(np.float64)
    return found


def _moved(run: Run, feeds: Mapping[str, Array]) -> Sequence[Mapping[str, Array]]:
    draw = np.random.default_rng(0)
    answers = []
    for _ in range(_DRAWS):
        other = dict(feeds)
        for name, value in feeds.items():
            if value.dtype.kind == "f":
                other[name] = (value * (1 + _MOVED * draw.standard_normal(value.shape))).astype(value.dtype)
        answers.append(run(other))
    return answers
