"""The learning rate of every batch: warm-up, the main part, cool-down."""

from __future__ import annotations

from onnxpress.training.settings import Training


def rates(training: Training, *, epoch: int, batches: int, scale: float = 1.0) -> list[float]:
    """The rate of each of the epoch's batches; `epoch` counts from 0, `scale` is what plateaus have made of it.

    Linear from `learning_rate / (warm_up × batches)` up to the full rate, and linear down again to as little.
    """
    full = training.learning_rate * scale
    up, down = training.warm_up * batches, training.cool_down * batches
    total = training.epochs * batches
    rates_of_epoch = []
    for batch in range(epoch * batches, (epoch + 1) * batches):
        share = 1.0
        if batch < up:
            share = (batch + 1) / up
        elif batch >= total - down:
            share = (total - batch) / down
        rates_of_epoch.append(full * share)
    return rates_of_epoch
