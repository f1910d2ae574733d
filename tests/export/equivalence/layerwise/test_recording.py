"""Thinned tensors stay comparable in every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.export.equivalence.layerwise.recording import layouts, record, thinned
from onnxpress.export.network import See, Seen

SHAPES = st.lists(st.integers(1, 70), min_size=1, max_size=4)


@given(SHAPES, st.randoms(use_true_random=False))
def test_thinning_does_not_depend_on_the_order_of_the_axes(shape: list[int], random: Any) -> None:
    value = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    order = list(range(len(shape)))
    random.shuffle(order)
    thin = thinned(value)
    assert thin.size <= 1 << 15
    assert np.array_equal(thin.transpose(order), thinned(value.transpose(order)))


@given(SHAPES, st.randoms(use_true_random=False))
def test_a_tensor_is_among_the_layouts_of_every_transposition_of_it(shape: list[int], random: Any) -> None:
    value = thinned(np.random.default_rng(0).random(shape))
    order = list(range(value.ndim))
    random.shuffle(order)
    other = value.transpose(order)
    found = list(layouts(value, other.shape))
    if np.squeeze(value).shape == np.squeeze(other).shape:
        assert len(found) == 1  # the same shape is taken as it is: a transposition would be a fault
    else:
        assert any(np.array_equal(np.squeeze(other), laid) for laid in found)


class Doubling:
    """x → 2x → 4x, the first in a layer that rounds."""

    def watch(self, feeds: dict[str, np.ndarray], precision: str, see: See) -> None:
        x = Tensor(feeds["x"].astype(precision))
        twice = Tensor(2 * x.value * (1 if precision == "float64" else 1 + 1e-4))
        see(Seen("first", "Double", "", "here.py:1", twice, twice.value, [x]))
        four = Tensor(2 * twice.value)
        see(Seen("second", "Double", "", "", four, four.value, [twice]))

    def layer_names(self) -> frozenset[str]:
        return frozenset({"first", "second"})


class Tensor:
    """A framework's tensor object."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value


def test_records_know_their_noise_and_what_they_were_computed_from() -> None:
    first, second = record(Doubling(), {"x": np.array([1.0, 3.0], np.float32)})
    assert (first.layer, first.inputs, first.source) == ("first", (), "here.py:1")
    assert second.inputs == (0,)
    assert np.array_equal(first.value, [2.0, 6.0])
    np.testing.assert_allclose(first.noise, 6e-4, rtol=1e-3)
    assert first.floor == first.noise


def test_the_truth_comes_from_inputs_that_were_processed_in_float64() -> None:
    third = np.array([1, 2]) / 3
    first, second = record(Doubling(), {"x": third.astype(np.float32)}, {"x": third})
    assert np.array_equal(first.value, 2 * third)
    assert np.array_equal(second.value, 4 * third)
