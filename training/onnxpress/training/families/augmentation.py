"""Changed copies of training windows: noise in the device's own unit, turning in time, mixing of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError

_Count = Annotated[int, msgspec.Meta(ge=1, le=65536)]
IN_G = {"g": 1.0, "mg": 1e-3, "m/s2": 1 / 9.80665}
"""unit of raw axes → how many g it is"""


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changed copies of the training windows, drawn once from the training's seed."""

    copies: _Count = 1
    """of every training window"""
    classes: list[str] | None = None
    """labels whose windows are copied; default: all"""
    noise: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """standard deviation of added Gaussian noise, as a share of the training windows' own; default: 0.05 where noise_mg
    is not given, else none"""
    noise_mg: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """the same in milli-g, on each raw axis; `unit` must say what the raw axes are in"""
    phase: bool = True
    """turn each copy in time, its end joined to its begin"""
    shift: _Count | None = None
    """samples that a copy is turned by at most, either way; default: anywhere"""
    mix: Annotated[float, msgspec.Meta(gt=0, le=0.5)] | None = None
    """mix into each copy a window of the same label from another group, by a share of up to this (Zhang et al. 2018);
    groups are events, or people with `data.group: userId`"""
    even_groups: bool = False
    """draw the copies so that every group of a label comes equally often, however many windows it has"""

    def check(self, classes: Sequence[str], groups: Array | None, unit: str | None) -> None:
        """Raises BadData or UsageError for what these windows do not allow."""
        for label in self.classes or []:
            if label not in classes:
                raise BadData(
                    f"there is no label {label!r}", where="model.augmentation.classes", hint=f"it may be: {classes}"
                )
        if self.noise_mg is not None and unit is None:
            raise UsageError(
                "it is not said in what unit the windows are",
                where="model.augmentation.noise_mg",
                hint="set model.unit",
            )
        if groups is None and (self.mix or self.even_groups):
            raise UsageError(
                "these windows have no groups", where="model.augmentation", hint="leave out mix and even_groups"
            )


def raw_copies(
    chosen: Augmentation,
    windows: Array,
    y: Array,
    groups: Array | None,
    *,
    classes: Sequence[str],
    unit: str | None,
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """One copy of the raw windows (rows, time, axes) of the chosen classes, mixed and with noise; and their classes."""
    wanted = [classes.index(label) for label in chosen.classes] if chosen.classes else range(len(classes))
    rows = np.flatnonzero(np.isin(y, list(wanted)))
    if chosen.even_groups:
        assert groups is not None
        rows = _even(rows, y, groups, generator)
    copy = windows[rows]
    if chosen.mix:
        assert groups is not None
        copy = _mixed(chosen.mix, windows, rows, y, groups, generator)
    if chosen.noise_mg is not None:
        assert unit is not None
        copy = copy + chosen.noise_mg * 1e-3 / IN_G[unit] * generator.standard_normal(copy.shape)
    return copy.astype(np.float32), y[rows]


def turned(chosen: Augmentation, x: Array, spread: Array, generator: np.random.Generator) -> Array:
    """The network's inputs (rows, time, channels) with noise by `spread`, and turned in time."""
    share = chosen.noise if chosen.noise is not None else 0.05 if chosen.noise_mg is None else 0.0
    if share:
        x = x + share * spread * generator.standard_normal(x.shape)
    if chosen.phase:
        turns = generator.integers(0, x.shape[1], len(x))
        if chosen.shift is not None:
            turns = generator.integers(-chosen.shift, chosen.shift + 1, len(x))
        places = (np.arange(x.shape[1]) + turns[:, None]) % x.shape[1]
        x = np.take_along_axis(x, places[:, :, None], axis=1)
    return x.astype(np.float32)


def _even(rows: Array, y: Array, groups: Array, generator: np.random.Generator) -> Array:
    """As many rows of each class as there are, of each of its groups in turn."""
    drawn = []
    for kind in np.unique(y[rows]):
        own = rows[y[rows] == kind]
        names = np.unique(groups[own])
        of_copy = names[generator.permutation(np.arange(len(own)) % len(names))]
        drawn += [generator.choice(own[groups[own] == name]) for name in of_copy]
    return np.array(drawn, np.int64)


def _mixed(most: float, windows: Array, rows: Array, y: Array, groups: Array, generator: np.random.Generator) -> Array:
    """Each row's window and a share of another group's of its class; one whose class has no other group stays."""
    copy = windows[rows].astype(np.float64)
    shares = generator.uniform(0, most, len(rows))
    others_of: dict[tuple[object, object], Array] = {}
    for place, row in enumerate(rows):
        key = (y[row], groups[row])
        if key not in others_of:
            others_of[key] = np.flatnonzero((y == y[row]) & (groups != groups[row]))
        others = others_of[key]
        if len(others):
            share = shares[place]
            copy[place] = (1 - share) * copy[place] + share * windows[generator.choice(others)]
    return copy
