"""Clopper and Pearson's bound, against scipy's beta distribution, and how many rows would prove a share."""

from __future__ import annotations

import pytest
from scipy import stats

from onnxpress.export.derive.proportion import rows_needed, upper_bound


@pytest.mark.parametrize(
    ("seen", "count"), [(0, 1), (0, 300), (0, 3000), (2, 3000), (51, 719), (3, 719), (719, 720), (40_000, 1_000_000)]
)
def test_the_bound_is_that_of_the_beta_distribution(seen: int, count: int) -> None:
    assert upper_bound(seen, count) == pytest.approx(stats.beta.ppf(0.95, seen + 1, count - seen), rel=1e-6)


def test_what_was_not_counted_or_all_of_it_proves_nothing() -> None:
    assert upper_bound(0, 0) == upper_bound(5, 5) == 1.0


def test_the_bound_holds_as_often_as_it_says() -> None:
    """Of shares that truly are 2 %, the bound lies below in at most one of twenty draws, by their chances."""
    chances = stats.binom.pmf(range(30), 400, 0.02)
    missed = sum(chance for seen, chance in enumerate(chances) if upper_bound(seen, 400) < 0.02)
    assert 0 < missed <= 0.05


@pytest.mark.parametrize(("seen", "count", "limit"), [(0, 300, 0.001), (2, 1000, 0.005), (21, 1144, 0.05)])
def test_so_many_rows_prove_it_and_one_less_does_not(seen: int, count: int, limit: float) -> None:
    rows = rows_needed(seen, count, limit)
    assert rows is not None
    expected = -(-seen * rows // count)
    assert upper_bound(expected, rows) <= limit
    if seen == 0:
        assert upper_bound(0, rows - 1) > limit


def test_a_share_that_is_too_large_is_proven_by_no_number_of_rows() -> None:
    assert rows_needed(10, 100, 0.05) is None
    assert rows_needed(0, 100, 0.0) is None
