"""Copies of windows: of the chosen classes, with noise in milli-g, turned by so much, mixed between groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.training.data.table import Table
from onnxpress.training.families import Cnn14
from onnxpress.training.settings import Training

pytest.importorskip("sklearn")
ROWS, TIME = 240, 40
Y = np.array(["quiet", "seizure", "quiet"] * (ROWS // 3))
GROUPS = np.array([f"{kind} {row % 9 if row > ROWS // 2 else 9}" for row, kind in enumerate(Y)])
"""those of the first half of the rows are large"""


def table(windows: Array, *, groups: Array | None = None) -> Table:
    return Table({"windows": windows.astype(np.float32)}, Y, groups)


def copies(
    windows: Array, *, groups: Array | None = None, unit: str | None = None, **chosen: Any
) -> tuple[Array, Array]:
    """The training windows, and what was added to them, both as the network sees them; with their classes."""
    plain, changed = (
        Cnn14(filters=(4,), positive="seizure", unit=unit, augmentation=augmentation)  # type: ignore[arg-type]
        .prepare(table(windows, groups=groups), Training())
        .train
        for augmentation in (None, _augmentation(**chosen))
    )
    count = len(plain.y)
    assert np.array_equal(changed.x[next(iter(changed.x))][:count], plain.x[next(iter(plain.x))])
    return changed.x[next(iter(changed.x))][count:], changed.y[count:]


def _augmentation(**chosen: Any) -> Any:
    from onnxpress.training.families.augmentation import Augmentation

    return Augmentation(**chosen)


def test_noise_is_in_milli_g_whatever_the_unit() -> None:
    still = np.zeros((ROWS, TIME, 3))
    for unit in ("g", "mg", "m/s2"):
        found, _ = copies(still, unit=unit, noise_mg=5, phase=False)
        assert found.std() == pytest.approx(0.005, rel=0.05), unit  # the network sees g


def test_only_windows_of_the_chosen_classes_are_copied() -> None:
    found, y = copies(np.random.default_rng(0).normal(size=(ROWS, TIME, 1)), copies=2, classes=["seizure"])
    assert len(found) == len(y) > 0
    assert set(y.tolist()) == {1}


def test_a_copy_is_turned_by_no_more_than_the_shift() -> None:
    ramp = np.tile(np.arange(TIME, dtype=float)[None, :, None], (ROWS, 1, 1))
    found, _ = copies(ramp, noise=0, shift=3)
    begins = found[:, 0, 0]
    assert set(begins.tolist()) == {0, 1, 2, 3, TIME - 1, TIME - 2, TIME - 3}
    far, _ = copies(ramp, noise=0)
    assert len(set(far[:, 0, 0].tolist())) > 20, "without it anywhere"


def test_windows_of_other_groups_are_mixed_in_and_of_no_other_class() -> None:
    level = np.where(Y == "seizure", 100.0, 0.0) + np.unique(GROUPS, return_inverse=True)[1]
    windows = np.repeat(np.repeat(level[:, None, None], TIME, axis=1), 1, axis=2)
    found, y = copies(windows, groups=GROUPS, noise=0, phase=False, mix=0.4)
    values = found[:, 0, 0]
    assert ((values >= 100) == (y == 1)).all()
    assert (values % 1 != 0).mean() > 0.8, "nearly every copy lies between two groups"


def test_every_group_comes_equally_often() -> None:
    number = np.unique(GROUPS, return_inverse=True)[1].astype(float)
    windows = np.repeat(number[:, None, None], TIME, axis=1)
    found, y = copies(windows, groups=GROUPS, noise=0, phase=False, even_groups=True)
    for kind in (0, 1):
        counts = np.unique(found[y == kind][:, 0, 0], return_counts=True)[1]
        assert counts.max() - counts.min() <= 1


def test_what_the_windows_do_not_allow_is_refused() -> None:
    windows = np.zeros((ROWS, TIME, 1))
    with pytest.raises(UsageError, match="in what unit"):
        copies(windows, noise_mg=5)
    with pytest.raises(UsageError, match="no groups"):
        copies(windows, mix=0.2)
    with pytest.raises(BadData, match="no label 'fit'"):
        copies(windows, classes=["fit"])
