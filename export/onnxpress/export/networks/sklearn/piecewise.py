"""Curves in pieces: quantiles, splines, isotonic regression alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.nodes import Nodes

_FAR = 1e-7
"""scikit-learn's: a value nearer than this to the outermost quantile is one with it"""


def _place(nodes: Nodes, x: str, cuts: Array, *, strictly: bool = False) -> str:
    """[rows, columns]: how many cuts of the column, [columns, cuts], lie at or below the value (strictly: below)."""
    values = nodes.reshaped(x, -1, len(cuts), 1)
    return nodes.sum(nodes("Cast", nodes("Greater" if strictly else "GreaterOrEqual", values, cuts[None]), to=7), 2)


def _of_columns(nodes: Nodes, tables: Array, place: str) -> str:
    """`tables[column, place]` of each column's own table; tables of [columns, places] or more axes."""
    count, size = tables.shape[:2]
    flat = nodes("Add", place, np.arange(count) * size)
    return nodes("Gather", tables.reshape(count * size, *tables.shape[2:]), flat, axis=0)


def quantiles(scope: Any, operator: Any, container: Any) -> None:
    """QuantileTransformer, with the mean of both ends where quantiles are equal."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    x, normal = nodes.rows, model.output_distribution == "normal"
    far = _FAR if normal else 0.0
    known, share = np.asarray(model.quantiles_, np.float64).T, np.asarray(model.references_, np.float64)
    known = np.ascontiguousarray(known)
    if known.shape[1] == 1:  # one quantile: every value lies below or above it
        known, share = np.repeat(known, 2, axis=1), np.array([0.0, 1.0])
    shares = np.broadcast_to(share, known.shape)
    gaps = np.diff(known)
    slopes = np.where(gaps > 0, np.diff(shares) / np.where(gaps > 0, gaps, 1), 0)
    if known.shape[1] > 2:
        place = _place(nodes, x, known[:, 1:-1])
    else:
        place = nodes("Mul", nodes("Cast", nodes("IsNaN", x), to=7), np.zeros(1, np.int64))
    run = nodes("Sub", x, _of_columns(nodes, known[:, :-1], place))
    upper = nodes(
        "Add", nodes("Mul", run, _of_columns(nodes, slopes, place)), _of_columns(nodes, shares[:, :-1], place)
    )
    first = nodes("Min", _place(nodes, x, known, strictly=True), np.asarray([known.shape[1] - 1]))
    tied = nodes("Equal", _of_columns(nodes, known, first), x)
    lower = nodes("Where", tied, _of_columns(nodes, np.ascontiguousarray(shares), first), upper)
    y = nodes("Mul", nodes("Add", upper, lower), np.full(1, 0.5))
    above, below = ("Greater", "Less") if normal else ("GreaterOrEqual", "LessOrEqual")
    y = nodes("Where", nodes(above, nodes("Add", x, np.full(1, far)), known[None, :, -1]), np.ones(1), y)
    y = nodes("Where", nodes(below, nodes("Sub", x, np.full(1, far)), known[None, :, 0]), np.zeros(1), y)
    nodes.answer(_of_normal(nodes, y) if normal else y)


_MIDDLE = (
    (-59.9633501014107895267, 98.0010754185999661536, -56.6762857469070293439, 13.9312609387279679503,
     -1.23916583867381258016),
    (1.0, 1.95448858338141759834, 4.67627912898881538453, 86.3602421390890590575, -225.462687854119370527,
     200.260212380060660359, -82.0372256168333339912, 15.9056225126211695515, -1.18331621121330003142),
)  # fmt: skip
_TAIL = (
    (4.05544892305962419923, 31.5251094599893866154, 57.1628192246421288162, 44.0805073893200834700,
     14.6849561928858024014, 2.18663306850790267539, -0.140256079171354495875, -0.0350424626827848203418,
     -0.000857456785154685413611),
    (1.0, 15.7799883256466749731, 45.3907635128879210584, 41.3172038254672030440, 15.0425385692907503408,
     2.50464946208309415979, -0.142182922854787788574, -0.0380806407691578277194, -0.000933259480895457427372),
)  # fmt: skip
"""Cephes' rational approximations of the normal distribution's quantiles, which scipy uses too"""


def _of_normal(nodes: Nodes, share: str) -> str:
    """The normal distribution's quantile of each share, no further out than scikit-learn goes."""
    from scipy import stats

    edge = _FAR - np.spacing(1)
    low, high = float(stats.norm.ppf(edge)), float(stats.norm.ppf(1 - edge))
    inner = nodes("Where", nodes("Less", share, np.full(1, edge)), np.full(1, edge), share)
    inner = nodes("Where", nodes("Greater", inner, np.full(1, 1 - edge)), np.full(1, 1 - edge), inner)

    def polynomial(at: str, factors: tuple[float, ...]) -> str:
        value = nodes("Add", nodes("Mul", at, np.full(1, factors[0])), np.full(1, factors[1]))
        for factor in factors[2:]:
            value = nodes("Add", nodes("Mul", value, at), np.full(1, factor))
        return value

    above = nodes("Greater", inner, np.full(1, 1 - math.exp(-2)))
    y = nodes("Where", above, nodes("Sub", np.ones(1), inner), inner)
    centre = nodes("Sub", y, np.full(1, 0.5))
    square = nodes("Mul", centre, centre)
    bent = nodes("Mul", square, nodes("Div", polynomial(square, _MIDDLE[0]), polynomial(square, _MIDDLE[1])))
    middle = nodes("Mul", nodes("Add", centre, nodes("Mul", centre, bent)), np.full(1, math.sqrt(2 * math.pi)))
    x = nodes("Sqrt", nodes("Mul", nodes("Log", y), np.full(1, -2.0)))
    z = nodes("Reciprocal", x)
    start = nodes("Sub", x, nodes("Mul", nodes("Log", x), z))
    tail = nodes("Sub", start, nodes("Mul", z, nodes("Div", polynomial(z, _TAIL[0]), polynomial(z, _TAIL[1]))))
    tail = nodes("Where", above, tail, nodes("Neg", tail))
    made = nodes("Where", nodes("Greater", y, np.full(1, math.exp(-2))), middle, tail)
    made = nodes("Where", nodes("Less", share, np.full(1, edge)), np.full(1, low), made)
    return nodes("Where", nodes("Greater", share, np.full(1, 1 - edge)), np.full(1, high), made)


def splines(scope: Any, operator: Any, container: Any) -> None:
    """SplineTransformer: in each piece the polynomial that the basis is there, by its derivatives at the start."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    if model.extrapolation == "error":
        raise BadModel(
            "SplineTransformer(extrapolation='error') raises an error outside of its knots, which no graph can",
            hint="set extrapolation to 'constant', 'linear', 'continue' or 'periodic', and fit it again",
        )
    x = nodes.rows
    ends = np.array([(one.t[one.k], one.t[len(one.t) - one.k - 1]) for one in model.bsplines_]).T
    if model.extrapolation == "periodic":
        long = ends[1] - ends[0]
        turns = nodes("Floor", nodes("Div", nodes("Sub", x, ends[0]), np.where(long > 0, long, 1)))
        x = nodes("Sub", x, nodes("Mul", turns, long))
    pieces = [_pieces(one, model.extrapolation, later=place > 0) for place, one in enumerate(model.bsplines_)]
    most = max(len(starts) for starts, _, _ in pieces)
    kept = slice(None) if model.include_bias else slice(-1)
    cuts = np.array([np.r_[cut, np.full(most - len(cut) - 1, np.inf)] for _, cut, _ in pieces])
    starts = np.array([np.r_[start, np.full(most - len(start), start[-1])] for start, _, _ in pieces])
    bent = [np.concatenate([one, np.repeat(one[-1:], most - len(one), axis=0)])[:, :, kept] for _, _, one in pieces]
    tables = np.array(bent)  # columns, pieces, powers, splines
    gaps = nodes("IsNaN", x)
    x = nodes("Where", gaps, np.zeros(1), x)
    if most > 1:
        place = _place(nodes, x, cuts)
    else:
        place = nodes("Mul", nodes("Cast", gaps, to=7), np.zeros(1, np.int64))
    run = nodes.reshaped(nodes("Sub", x, _of_columns(nodes, starts, place)), -1, len(starts), 1)
    value = _of_columns(nodes, np.ascontiguousarray(tables[:, :, -1]), place)
    for power in range(tables.shape[2] - 2, -1, -1):
        value = nodes(
            "Add", nodes("Mul", value, run), _of_columns(nodes, np.ascontiguousarray(tables[:, :, power]), place)
        )
    value = nodes("Where", nodes.reshaped(gaps, -1, len(starts), 1), np.zeros(1), value)
    nodes.answer(nodes.reshaped(value, -1, tables.shape[0] * tables.shape[3]))


def _pieces(spline: Any, beyond: str, *, later: bool) -> tuple[Array, Array, Array]:
    """Where each piece starts from, the cuts between them, and the factors, [pieces, powers, splines].

    Straight lines of degree 1 begin one knot further in for all columns but the first (`later`), and only two splines
    go on there: scikit-learn 1.9 counts the degree up while it goes through the columns.
    """
    degree, powers = spline.k, range(spline.k + 1)
    edge = 2 if later and beyond == "linear" and degree == 1 else degree
    knots = np.unique(spline.t[edge : len(spline.t) - edge])
    starts = knots[:-1] if len(knots) > 1 else knots
    factors = [[spline(start, nu=power) / math.factorial(power) for power in powers] for start in starts]
    cuts = starts[1:]
    if beyond in ("constant", "linear"):
        upto = 1 if beyond == "constant" else 2
        outer = [
            [spline(end, nu=power) if power < upto else 0 * spline(end) for power in powers]
            for end in (knots[0], knots[-1])
        ]
        if beyond == "linear":
            count = max(degree, 2)
            outer = [[one * mask for one in end] for end, mask in zip(outer, _masks(spline, count), strict=True)]
        factors = [outer[0], *factors, outer[1]]
        # A value at the first knot belongs to the first piece; one at the last has the same value in both.
        cuts = np.r_[knots[0], cuts, knots[-1]]
        starts = np.r_[knots[0], starts, knots[-1]]
    return starts, cuts, np.asarray(factors, np.float64)


def _masks(spline: Any, count: int) -> tuple[Array, Array]:
    """1 for the first splines and 1 for the last ones, as many as go on in straight lines."""
    places = np.arange(spline.c.shape[1])
    return (places < count).astype(float), (places >= len(places) - count).astype(float)


def isotonic(scope: Any, operator: Any, container: Any) -> None:
    """IsotonicRegression: the line between two thresholds; beyond the outer ones their values, or NaN."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    if model.out_of_bounds == "raise":
        raise BadModel(
            "IsotonicRegression(out_of_bounds='raise') raises an error outside of its thresholds, which no graph can",
            hint="set out_of_bounds='clip' or 'nan', and fit it again",
        )
    x, y = (np.asarray(values, np.float64) for values in (model.X_thresholds_, model.y_thresholds_))
    given = nodes.rows
    if len(x) == 1:
        nodes.answer(nodes("Add", nodes("Mul", given, np.zeros(1)), y))
        return
    held = nodes("Where", nodes("Less", given, x[:1]), x[:1], given)
    held = nodes("Where", nodes("Greater", held, x[-1:]), x[-1:], held)
    if len(x) > 2:
        place = _place(nodes, held, x[None, 1:-1])
    else:
        place = nodes("Mul", nodes("Cast", nodes("IsNaN", held), to=7), np.zeros(1, np.int64))
    slopes = np.diff(y) / np.diff(x)
    run = nodes("Sub", held, nodes("Gather", x[:-1], place, axis=0))
    line = nodes(
        "Add", nodes("Mul", run, nodes("Gather", slopes, place, axis=0)), nodes("Gather", y[:-1], place, axis=0)
    )
    if model.out_of_bounds == "nan":
        line = nodes("Where", nodes("Equal", held, given), line, np.full(1, np.nan))
    nodes.answer(line)
