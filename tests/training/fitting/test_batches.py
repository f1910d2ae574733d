"""Every row comes once an epoch, in an order that the seed decides; balanced batches hold every class alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.training.fitting import batches, schedule
from onnxpress.training.settings import OneCycle, Training, UpHoldDown


@given(rows=st.integers(1, 300), size=st.integers(1, 64), seed=st.integers(0, 99), epoch=st.integers(0, 99))
def test_every_row_comes_once(rows: int, size: int, seed: int, epoch: int) -> None:
    found = batches.of_epoch(rows, size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(found)) == list(range(rows))
    assert all(len(batch) == size for batch in found[:-1])
    assert len(found[-1]) <= size + 1
    assert len(found) == 1 or size == 1 or len(found[-1]) > 1, "no batch of a single row"
    again = batches.of_epoch(rows, size, seed=seed, epoch=epoch)
    assert all(map(np.array_equal, found, again))


def test_epochs_differ() -> None:
    first, second = (batches.of_epoch(50, 50, seed=0, epoch=epoch)[0].tolist() for epoch in (0, 1))
    assert first != second


@given(small=st.integers(1, 20), large=st.integers(20, 90))
def test_balanced_batches_hold_every_class_alike(small: int, large: int) -> None:
    classes = np.array([0] * large + [1] * small)
    found = batches.of_epoch(len(classes), 10, seed=0, epoch=0, balance=classes)
    for batch in found[:-1]:
        assert classes[batch].sum() == 5
    counts = np.bincount(np.concatenate(found), minlength=len(classes))
    assert (counts[:large] == 1).all()
    assert counts[large:].max() - counts[large:].min() <= 1


@given(up=st.integers(0, 4), down=st.integers(0, 4), epochs=st.integers(8, 12), per_epoch=st.integers(1, 7))
def test_the_rate_rises_stays_and_falls(up: int, down: int, epochs: int, per_epoch: int) -> None:
    training = Training(epochs=epochs, learning_rate=0.1, warm_up=up, cool_down=down)
    found = [rate for epoch in range(epochs) for rate in schedule.rates(training, epoch=epoch, batches=per_epoch)]
    assert len(found) == epochs * per_epoch
    assert all(0 < rate <= 0.1 for rate in found)
    rising, falling = found[: up * per_epoch], found[len(found) - down * per_epoch :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert found[up * per_epoch : len(found) - down * per_epoch] == pytest.approx(
        [0.1] * ((epochs - up - down) * per_epoch)
    )


@pytest.mark.torch
@pytest.mark.parametrize(("epochs", "per_epoch", "up"), [(10, 7, 0.3), (3, 1, 0.5), (40, 3, 0.05)])
def test_one_cycle_is_torchs_own(epochs: int, per_epoch: int, up: float) -> None:
    torch = pytest.importorskip("torch")
    training = Training(epochs=epochs, learning_rate=1.0, schedule=OneCycle(peak=0.02, up=up))
    found = [rate for epoch in range(epochs) for rate in schedule.rates(training, epoch=epoch, batches=per_epoch)]
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    course = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.02, total_steps=epochs * per_epoch, pct_start=up, final_div_factor=1e4
    )
    expected = []
    for _ in range(epochs * per_epoch):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        course.step()
    assert found == pytest.approx(expected)


def test_three_phases_rise_hold_and_fall() -> None:
    training = Training(
        epochs=10, learning_rate=0.001, schedule=UpHoldDown(peak=0.01, final=0.0002, up=2, hold=3, down=4)
    )
    found = [rate for epoch in range(10) for rate in schedule.rates(training, epoch=epoch, batches=5)]
    assert found[4] == pytest.approx((0.001 + 0.01) / 2), "half way up"
    assert found[:10] == sorted(found[:10])
    assert found[9:25] == pytest.approx([0.01] * 16)
    assert found[34] == pytest.approx((0.01 + 0.0002) / 2), "half way down"
    assert found[25:45] == sorted(found[25:45], reverse=True)
    assert found[44:] == pytest.approx([0.0002] * 6)
    whole = Training(epochs=4, learning_rate=0.01, schedule=UpHoldDown(peak=0.01, up=0))
    assert schedule.rates(whole, epoch=3, batches=5)[-1] == pytest.approx(0)


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed 3 epochs"):
        Training(epochs=3, warm_up=2, cool_down=2)
    with pytest.raises(ValueError, match="leave out warm_up"):
        Training(warm_up=2, schedule=OneCycle())
    with pytest.raises(ValueError, match="take 11 epochs, there are 10"):
        Training(epochs=10, schedule=UpHoldDown(peak=0.1, up=5, hold=5))
    with pytest.raises(ValueError, match="set optimizer to adamw"):
        Training(weight_decay=0.1)
    with pytest.raises(ValueError, match="fold 2 is not one of 2"):
        Training(folds=2, fold=2)
