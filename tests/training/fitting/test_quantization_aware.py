"""Learning with rounded products in PyTorch: where weights end, what is refused, and that a resumed fit is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.training.conftest import RECIPE

from onnxpress.core.errors import UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.fitting.loop import Examples, Fit
from onnxpress.training.pipeline import stage
from onnxpress.training.settings import Training

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
AWARE = Training(epochs=4, batch_size=16, learning_rate=0.01, quantization_aware=True)


def job(training: Training = AWARE) -> Fit:
    draw = np.random.default_rng(0)
    rows = Examples({"x": draw.normal(size=(64, 6)).astype(np.float32)}, draw.integers(0, 3, 64))
    return Fit(train=rows, validation=rows, training=training, loss="cross_entropy", on_epoch=lambda *_: None)


def network() -> torch.nn.Module:
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def test_the_weights_that_are_kept_have_steps_of_8_bits_and_those_that_learn_have_not() -> None:
    from onnxpress.training.pytorch import fit

    learning = network()
    learner = fit.learner(learning, job())
    learner.learn([np.arange(64)], [0.01], epoch=0)
    for name in ("0.weight", "4.weight"):
        kept, raw = learner.weights()[name], learner.state()[f"network/{name}"]
        steps = kept / (np.abs(kept).max(1, keepdims=True) / 64)
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        assert np.abs(raw - kept).max() > 1e-5
        np.testing.assert_array_equal(raw, learning.state_dict()[name])


def test_what_was_kept_is_kept_once_more_as_it_is() -> None:
    from onnxpress.training.pytorch.quantization_aware import rounded_weight

    for axis, shape in ((0, (5, 7)), (0, (4, 3, 3, 3)), (1, (3, 4, 2))):
        once = rounded_weight(torch.randn(shape, generator=torch.Generator().manual_seed(1)), axis)
        assert torch.equal(rounded_weight(once, axis), once)


def test_activations_are_rounded_to_255_steps_of_their_own_range_and_learn_as_if_they_were_not() -> None:
    from onnxpress.training.pytorch.quantization_aware import rounded_activation

    x = torch.linspace(-1, 3, 1000, requires_grad=True)
    found = rounded_activation(x)
    assert 250 < len(torch.unique(found)) <= 256
    assert (found - x).abs().max() <= 0.51 * 4 / 255
    assert 0 in found
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert gradient.mean() > 0.99
    for odd in (torch.zeros(3), torch.zeros(0, 3)):
        assert torch.equal(rounded_activation(odd), odd)


def test_layers_that_share_a_weight_and_those_that_do_not_learn() -> None:
    from torch import nn

    from onnxpress.training.pytorch.quantization_aware import Rounded

    twice = nn.Linear(4, 4)
    shared = nn.Sequential(twice, nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    shared[2].weight = twice.weight
    shared[3].weight.requires_grad_(False)
    rounded = Rounded(shared)
    assert set(rounded.weights()) == {"0.weight", "2.weight"}
    rounded(torch.ones(3, 4)).sum().backward()
    assert twice.weight.grad is not None
    with pytest.raises(UsageError, match="nothing to round"):
        Rounded(nn.Sequential(nn.Embedding(4, 2), nn.Flatten()))


def test_a_fit_that_was_killed_goes_on_as_if_never_stopped() -> None:
    from onnxpress.training.pytorch import fit

    whole = fit.learner(network(), job())
    half = fit.learner(network(), job())
    batches, rates = [np.arange(32), np.arange(32, 64)], [0.01, 0.01]
    for epoch in range(3):
        whole.learn(batches, rates, epoch=epoch)
        half.learn(batches, rates, epoch=epoch)
        if epoch == 0:
            state, half = half.state(), fit.learner(network(), job())
            half.restore(state)
    for name, value in whole.weights().items():
        np.testing.assert_array_equal(value, half.weights()[name])


def test_keras_and_other_precisions_are_refused(tmp_path: Path) -> None:
    aware = recipes.load(RECIPE, settings=["training.quantization_aware=true"], framework="tensorflow")
    with pytest.raises(UsageError, match="done in PyTorch alone, not in tensorflow"):
        stage.train(aware, output=tmp_path)
    with pytest.raises(UsageError, match="leave out precision bfloat16"):
        recipes.load(RECIPE, settings=["training.quantization_aware=true", "training.precision=bfloat16"])
