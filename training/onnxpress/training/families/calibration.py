"""Calibration fitted on validation rows, as steps of the graph: Platt, isotonic, temperature."""

from __future__ import annotations

from typing import Literal

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.optional import require
from onnxpress.core.processing import Isotonic, Platt, Temperature
from onnxpress.training.fitting import losses

_KNOTS = 64


def binary(
    method: Literal["platt", "isotonic"],
    logits: Array,
    truth: Array,
    *,
    input: str,  # noqa: A002 - the step's own field name
    output: str,
) -> Platt | Isotonic:
    """From (rows,) logits to the probability of class 1, fitted to (rows,) truths of 0 and 1.

    Platt 1999 with his own smoothed targets, so that rows without an error do not give an infinite slope; isotonic
    (Zadrozny and Elkan 2002) as the steps' corners, at most 64 of them.
    """
    if method == "isotonic":
        isotonic = require("sklearn.isotonic", needed_by="isotonic calibration").IsotonicRegression(
            y_min=0, y_max=1, out_of_bounds="clip"
        )
        isotonic.fit(logits.astype(np.float64), truth)
        x, y = isotonic.X_thresholds_, isotonic.y_thresholds_
        if len(x) > _KNOTS:
            kept = np.unique(np.linspace(0, len(x) - 1, _KNOTS).astype(int))
            x, y = x[kept], y[kept]
        x32, first = np.unique(x.astype(np.float32), return_index=True)
        if len(x32) == 1:  # one answer for everything
            x32, first = np.array([x32[0], x32[0] + 1]), np.array([0, 0])
        return Isotonic(input=input, output=output, x=_exact(x32), y=_exact(y[first]))
    optimize = require("scipy.optimize", needed_by="Platt calibration")
    positive, negative = float(truth.sum()), float(len(truth) - truth.sum())
    target = np.where(truth > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))[:, None]
    z = logits.astype(np.float64)[:, None]
    fitted = optimize.minimize(
        lambda ab: losses.mean("binary_cross_entropy", ab[0] * z + ab[1], target), np.array([1.0, 0.0])
    )
    slope, intercept = _exact(fitted.x)
    return Platt(input=input, output=output, slope=slope, intercept=intercept)


def temperature(
    logits: Array,
    truth: Array,
    *,
    input: str,  # noqa: A002 - the step's own field name
    output: str,
) -> Temperature:
    """The one number that (rows, classes) logits are divided by, with the least cross-entropy (Guo et al. 2017)."""
    optimize = require("scipy.optimize", needed_by="temperature calibration")
    fitted = optimize.minimize_scalar(
        lambda log: losses.mean("cross_entropy", logits / np.exp(log), truth), bounds=(-3.0, 3.0), method="bounded"
    )
    return Temperature(input=input, output=output, temperature=float(np.float32(np.exp(fitted.x))))


def _exact(values: Array) -> list[float]:
    """Rounded to float32, so that numpy, the graph and the float64 truth use the very same constants."""
    rounded: list[float] = values.astype(np.float32).astype(np.float64).tolist()
    return rounded
