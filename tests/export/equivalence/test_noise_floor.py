"""The noise floor: the reference's distance from the truth, pooled where values share a scale."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onnxpress.core.processing import Label, Processing, TopK
from onnxpress.core.tensors import parse_spec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.noise_floor import near_ties, pool, reference_results
from onnxpress.export.equivalence.reference import Reference

EPSILON = float(np.finfo(np.float32).eps)


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=40), elements=st.floats(-1e6, 1e6)),
)
def test_floor_is_positive_and_covers_the_reference_itself(truth: np.ndarray) -> None:
    reference = truth.astype(np.float32)
    (floor,) = pool([reference], [truth])
    assert floor.shape == truth.shape
    assert (floor > 0).all()
    assert (np.abs(reference - truth) <= floor * (1 + 1e-12)).all()


def test_channels_of_different_scale_have_their_own_floor() -> None:
    truth = np.stack([np.linspace(0.5e-3, 1e-3, 64), np.linspace(500.0, 1000.0, 64)], axis=1)
    (floor,) = pool([truth.astype(np.float32)], [truth])
    assert floor[0, 0] <= 1e-3 * EPSILON * 1.01
    assert floor[0, 1] >= 500 * EPSILON * 0.5


def test_a_silent_channel_takes_the_scale_of_the_output() -> None:
    truth = np.stack([np.zeros(64), np.full(64, 8.0)], axis=1)
    (floor,) = pool([truth.astype(np.float32)], [truth])
    assert np.allclose(floor, 8.0 * EPSILON)


def test_not_finite_values_do_not_reach_the_floor() -> None:
    truth = np.array([1.0, np.nan, np.inf, 2.0])
    (floor,) = pool([truth.astype(np.float32)], [truth])
    assert np.allclose(floor, 2.0 * EPSILON)


def test_decisions_that_the_truth_takes_otherwise_are_near_ties() -> None:
    (floor,) = pool([np.array([True, False, True])], [np.array([True, True, True])])
    assert floor.tolist() == [0.0, 1.0, 0.0]


@given(hnp.arrays(np.float64, (5, 6), elements=st.integers(0, 8)), st.integers(1, 6), st.sampled_from([0.0, 0.3, 0.5]))
def test_a_decision_is_a_near_tie_exactly_where_noise_can_change_it(scores: np.ndarray, k: int, noise: float) -> None:
    labels = list("abcdef")
    step = TopK(input="s", output="best", labels=labels, k=k, scores="top")
    ties = near_ties(step, scores, np.full(scores.shape, noise))
    ranked = -np.sort(-scores, axis=-1)
    for row, place in np.ndindex(ties.shape):
        neighbours = [other for other in (place - 1, place + 1) if 0 <= other < 6]
        close = any(abs(ranked[row, place] - ranked[row, other]) <= 2 * noise for other in neighbours)
        assert ties[row, place] == close
    first = near_ties(Label(input="s", output="label", labels=labels), scores, np.full(scores.shape, noise))
    assert np.array_equal(first, np.asarray(ranked[:, 0] - ranked[:, 1] <= 2 * noise))


def test_a_channel_that_hardly_varies_takes_the_noise_of_the_output() -> None:
    random = np.random.default_rng(0)
    truth = np.stack([random.standard_normal(64), np.full(64, 0.1)], axis=1)
    reference = truth.astype(np.float32)
    reference[:, 0] += np.float32(1e-5)
    (floor,) = pool([reference], [truth])
    assert floor[0, 1] == floor[0, 0] > 0.9e-5


class Rounded:
    """A float64 regression whose float32 answer happens to take back what its rounded intercept moved."""

    def __init__(self) -> None:
        self.inputs = [parse_spec("x:float32[batch,1]")]

    def run(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
        return {"y": feeds["x"].astype(precision) * 0 + 0.07}

    def run_narrowed(self, feeds: dict[str, np.ndarray], precision: str) -> dict[str, np.ndarray]:
        moved = 0.0 if precision == "float32" else 8e-7
        return {"y": self.run(feeds, precision)["y"] + moved}


def test_what_rounded_values_move_is_noise_where_float32_takes_it_back() -> None:
    network = Rounded()
    case = Case("zeros", 3, {"x": np.zeros((3, 1), np.float32)})
    for narrow, least, most in ((True, 7.9e-7, 1e-6), (False, 0.0, 2e-8)):
        reference = Reference(network, Processing(), network.inputs, narrow=narrow)
        (result,), method = reference_results(reference, [case], [parse_spec("y:float32[batch,1]")], 10)
        assert method == "float64"
        assert least <= result.golden.floors["y"].max() <= most, narrow
