"""The learning rate of every batch: warm-up, the main part and cool-down, or a course by half cosines."""

from __future__ import annotations

import math

from onnxpress.training.settings import OneCycle, Training, UpHoldDown


def rates(training: Training, *, epoch: int, batches: int, scale: float = 1.0) -> list[float]:
    """The rate of each of the epoch's batches; `epoch` counts from 0, `scale` is what plateaus have made of it.

    Without `training.schedule`: linear from `learning_rate / (warm_up × batches)` up to the full rate, and linear down
    again to as little.
    """
    numbers = range(epoch * batches, (epoch + 1) * batches)
    total = training.epochs * batches
    if isinstance(training.schedule, OneCycle):
        return [_one_cycle(training.schedule, training.learning_rate, batch, total) for batch in numbers]
    if isinstance(training.schedule, UpHoldDown):
        return [_up_hold_down(training.schedule, training, batch, batches) for batch in numbers]
    full = training.learning_rate * scale
    up, down = training.warm_up * batches, training.cool_down * batches
    rates_of_epoch = []
    for batch in numbers:
        share = 1.0
        if batch < up:
            share = (batch + 1) / up
        elif batch >= total - down:
            share = (total - batch) / down
        rates_of_epoch.append(full * share)
    return rates_of_epoch


def _one_cycle(chosen: OneCycle, rate: float, batch: int, total: int) -> float:
    """The first batch has the start, the last one `final`; the peak is where torch's OneCycleLR has it."""
    peak = chosen.peak or rate
    top, last = max(chosen.up * total - 1, 0.0), max(total - 1, 1)
    if batch <= top and top > 0:
        return _half_cosine(chosen.start * peak, peak, batch / top)
    return _half_cosine(peak, chosen.final * peak, (batch - top) / (last - top))


def _up_hold_down(chosen: UpHoldDown, training: Training, batch: int, batches: int) -> float:
    """The last batch of `up` has the peak, the last one of `down` has `final`."""
    down = chosen.down or training.epochs - chosen.up - chosen.hold
    done, rising, held = batch + 1, chosen.up * batches, (chosen.up + chosen.hold) * batches
    if done <= rising:
        return _half_cosine(training.learning_rate, chosen.peak, done / rising)
    if done <= held:
        return chosen.peak
    return _half_cosine(chosen.peak, chosen.final, min(1.0, (done - held) / (down * batches)))


def _half_cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2
