"""Sizes as polynomials: whole numbers, and sums of products of named sizes.

A size that is a plain number is an `int`; every other one a `Polynomial`, whose symbols are the names of open
dimensions or stand for sizes of which nothing else is known. Equality here is equality for every request; inequality
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import mul

Monomial = tuple[str, ...]
"""the symbols of one product, sorted, each as often as its power"""

_MANY = 64
"""terms from which on a polynomial is not worked with any more"""


class TooLarge(ArithmeticError):
    """A polynomial of too many terms, which no model needs."""


class Polynomial:
    """A sum of at least one product of symbols, with whole coefficients. Immutable, and never a plain number."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: dict[Monomial, int]) -> None:
        self.terms = terms
        self._hash = hash(frozenset(terms.items()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self._hash == other._hash and self.terms == other.terms

    def __add__(self, other: Size) -> Size:
        terms = dict(self.terms)
        for monomial, count in _terms(other).items():
            terms[monomial] = terms.get(monomial, 0) + count
        return _size(terms)

    def __neg__(self) -> Size:
        return _size({monomial: -count for monomial, count in self.terms.items()})

    def __sub__(self, other: Size) -> Size:
        return self + -other

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, int):
            return _size({monomial: count * other for monomial, count in self.terms.items()})
        terms: dict[Monomial, int] = {}
        for left, count in self.terms.items():
            for right, times in other.terms.items():
                monomial = tuple(sorted(left + right))
                terms[monomial] = terms.get(monomial, 0) + count * times
        return _size(terms)

    __radd__, __rmul__ = __add__, __mul__

    def __str__(self) -> str:
        def term(monomial: Monomial, count: int) -> str:
            return "·".join(([str(count)] if count != 1 or not monomial else []) + list(monomial))

        return " + ".join(term(monomial, count) for monomial, count in sorted(self.terms.items()))

    __repr__ = __str__

    @property
    def symbols(self) -> frozenset[str]:
        """Those that occur in it."""
        return frozenset(symbol for monomial in self.terms for symbol in monomial)


Size = int | Polynomial


def symbol(name: str) -> Polynomial:
    """The size called `name`."""
    return Polynomial({(name,): 1})


def has(size: Size, name: str) -> bool:
    """Whether the symbol occurs in the size."""
    return not isinstance(size, int) and any(name in monomial for monomial in size.terms)


def product(sizes: Iterable[Size]) -> Size:
    """Of no sizes it is 1."""
    return reduce(mul, sizes, 1)


def exact(size: Size, divisor: Size) -> Size | None:
    """The quotient where it is a polynomial with whole coefficients; None where it is not, or the divisor is 0."""
    if isinstance(size, int) and isinstance(divisor, int):
        return size // divisor if divisor and size % divisor == 0 else None
    if divisor == 0:
        return None
    if divisor == 1 or size == 0:
        return size
    rest, quotient = dict(_terms(size)), dict[Monomial, int]()
    by = _terms(divisor)
    lead = max(by, key=_order)
    for _ in range(_MANY):
        if not rest:
            return _size(quotient)
        largest = max(rest, key=_order)
        remainder = _without(largest, lead)
        if remainder is None or rest[largest] % by[lead]:
            return None
        count = rest[largest] // by[lead]
        quotient[remainder] = count
        for monomial, times in by.items():
            term = tuple(sorted(monomial + remainder))
            left = rest.get(term, 0) - times * count
            if left:
                rest[term] = left
            else:
                rest.pop(term, None)
    return None


def without(size: Size, name: str) -> Size | None:
    """The size divided by the symbol, where that occurs once in every term and nowhere else; None otherwise."""
    if isinstance(size, int):
        return None
    terms = {}
    for monomial, count in size.terms.items():
        if monomial.count(name) != 1:
            return None
        at = monomial.index(name)
        terms[monomial[:at] + monomial[at + 1 :]] = count
    return _size(terms)


def positive(size: Size) -> bool:
    """Whether it is at least 1 for all sizes of at least 1, as far as its coefficients show."""
    if isinstance(size, int):
        return size > 0
    return all(count > 0 for count in size.terms.values())


def _terms(size: Size) -> dict[Monomial, int]:
    return size.terms if isinstance(size, Polynomial) else {(): size} if size else {}


def _size(terms: dict[Monomial, int]) -> Size:
    kept = {monomial: count for monomial, count in terms.items() if count}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    if len(kept) > _MANY or max(map(len, kept)) > _MANY:
        raise TooLarge
    return Polynomial(kept)


def _order(monomial: Monomial) -> tuple[int, Monomial]:
    return len(monomial), monomial


def _without(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for name in divisor:
        if name not in rest:
            return None
        rest.remove(name)
    return tuple(rest)
