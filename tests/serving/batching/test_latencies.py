"""The buckets of the histograms: every time is counted in the one whose bounds it lies between."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.serving.batching.latencies import LEAST, STEPS, Histogram, bound, place_of

LAST = len(Histogram().counts) - 1


@given(st.floats(min_value=0, max_value=1e4))
def test_a_time_lies_within_the_bounds_of_its_bucket(seconds: float) -> None:
    place = place_of(seconds)
    assert seconds <= bound(place) * (1 + 1e-12) or place == LAST
    assert place == 0 or seconds > bound(place - 1) * (1 - 1e-12)


def test_the_bounds_belong_to_their_buckets_and_are_powers_of_two() -> None:
    assert [place_of(LEAST * 2.0**octave) for octave in range(5)] == [0, STEPS, 2 * STEPS, 3 * STEPS, 4 * STEPS]
    assert place_of(math.nextafter(LEAST, 1)) == 1
    assert (bound(0), bound(17 * STEPS), bound(LAST)) == (2.0**-17, 1.0, 1024.0)
    assert place_of(math.inf) == LAST


def test_counts_and_sum() -> None:
    histogram = Histogram()
    histogram.add(0.5, 3)
    histogram.add(0.25, 1)
    histogram.add(-1e-19, 2)
    assert (sum(histogram.counts), histogram.seconds) == (6, 1.75)
    assert histogram.counts[0] == 2
