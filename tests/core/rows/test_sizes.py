"""Polynomials of sizes compute what their values do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.rows.sizes import Polynomial, Size, exact, has, positive, product, symbol, without

NAMES = ("N", "L", "?1")
atoms = st.one_of(st.integers(-4, 6), st.sampled_from([symbol(name) for name in NAMES]))
sizes = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] - pair[1]),
    ),
    max_leaves=5,
)
values = st.fixed_dictionaries({name: st.integers(1, 9) for name in NAMES})


def at(size: Size, given_sizes: dict[str, int]) -> int:
    if isinstance(size, int):
        return size
    total = 0
    for monomial, count in size.terms.items():
        for name in monomial:
            count *= given_sizes[name]
        total += count
    return total


@given(sizes, sizes, values)
def test_arithmetic(one: Size, other: Size, numbers: dict[str, int]) -> None:
    a, b = at(one, numbers), at(other, numbers)
    assert at(one + other, numbers) == a + b
    assert at(one - other, numbers) == a - b
    assert at(one * other, numbers) == a * b
    assert at(product([one, other, 2]), numbers) == 2 * a * b
    assert (one - other == 0) <= (a == b)
    assert positive(one) <= (a > 0)


@given(sizes, sizes)
def test_a_product_is_divided_by_its_factor(one: Size, other: Size) -> None:
    if other != 0:
        assert exact(one * other, other) == one


@given(sizes, sizes, values)
def test_a_quotient_times_the_divisor_is_the_size(one: Size, other: Size, numbers: dict[str, int]) -> None:
    quotient = exact(one, other)
    if quotient is not None:
        assert quotient * other == one


@given(sizes)
def test_a_symbol_is_taken_out_where_it_is_a_factor(size: Size) -> None:
    if not has(size, "N") and size != 0:
        assert without(size * symbol("N"), "N") == size
    inside = without(size, "N")
    assert inside is None or inside * symbol("N") == size


def test_a_plain_number_is_no_polynomial() -> None:
    n = symbol("N")
    assert n - n == 0
    assert isinstance(n - n + 3, int)
    assert str(2 * n * symbol("L") + 1) == "1 + 2·L·N"
    assert exact(n, 0) is None
    assert exact(7, 2) is None
    assert not isinstance(0 * n, Polynomial)
