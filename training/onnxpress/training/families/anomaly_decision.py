"""How a score becomes an alarm: thresholds by percentile or by cost, and the companion's flag beside the network's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing import (
    AllOf,
    AnyOf,
    IsolationForest,
    MeanSquaredError,
    Step,
    Threshold,
    Unscale,
    WeightedSum,
    apply,
)
from onnxpress.training.fitting.loop import Inputs

NETWORK, FOREST = "autoencoder", "isolation_forest"
_Percentile = Annotated[float, msgspec.Meta(gt=0, lt=100)]
_Weight = Annotated[float, msgspec.Meta(gt=0)]

Choose = Callable[[str, Callable[[Inputs], Array], float], float]
"""name of a score, how it is computed of `scaled` and `decoded` rows, and its percentile → its threshold"""


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a wrong answer costs, in any unit; only the ratio counts."""

    false_alarm: _Weight = 1.0
    """of one normal row that is flagged"""
    missed: _Weight = 1.0
    """of one anomaly that is not"""


class Weighted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One score of both: each score divided by its own threshold, weighted and added up."""

    weighted: dict[Literal["autoencoder", "isolation_forest"], _Weight]
    """the weight of each, for example `{autoencoder: 0.6, isolation_forest: 0.4}`"""
    percentile: _Percentile = 95.0
    """of the training rows' combined scores: the threshold of `is_flagged`"""

    def __post_init__(self) -> None:
        if set(self.weighted) != {NETWORK, FOREST}:
            raise ValueError(f"weighted needs a weight for each of {NETWORK} and {FOREST}")


Combination = Literal["any", "all"] | Weighted


def steps(
    back: Unscale,
    forest: IsolationForest | None,
    choose: Choose,
    *,
    percentile: float,
    forest_percentile: float,
    combine: Combination,
) -> list[Step]:
    """From `scaled` and `decoded` to scores and flags, every threshold set by `choose`."""
    made: list[Step] = [MeanSquaredError(input="decoded", target="scaled", output="score")]

    def threshold(score: str, flag: str, of: float) -> Threshold:
        value = choose(score, lambda rows: apply(made, rows)[score], of)
        # Rounded to float32: the graph, the numpy form and the float64 truth must compare with the very same number.
        return Threshold(input=score, output=flag, value=float(np.float32(value)))

    own = threshold("score", "is_anomaly", percentile)
    made += [own, back]
    if forest is None:
        return made
    made.append(forest)
    isolated = threshold("isolation_score", "is_isolated", forest_percentile)
    made.append(isolated)
    flags = ["is_anomaly", "is_isolated"]
    if combine == "any":
        return [*made, AnyOf(inputs=flags, output="is_flagged")]
    if combine == "all":
        return [*made, AllOf(inputs=flags, output="is_flagged")]
    by_name: dict[str, float] = {str(name): weight for name, weight in combine.weighted.items()}
    smallest = float(np.finfo(np.float32).tiny)
    weights = [by_name[name] / max(step.value, smallest) for name, step in ((NETWORK, own), (FOREST, isolated))]
    exact = np.minimum(weights, np.finfo(np.float32).max).astype(np.float32).astype(float).tolist()
    made.append(WeightedSum(inputs=["score", "isolation_score"], output="combined_score", weights=exact))
    return [*made, threshold("combined_score", "is_flagged", combine.percentile)]


def by_percentile(rows: Inputs) -> Choose:
    """The percentile of the scores of `rows`."""
    return lambda _, scored, percentile: float(np.percentile(scored(rows), percentile))


def by_cost(normal: Inputs, anomalies: Inputs, cost: Cost) -> Choose:
    """The threshold with the least cost over rows of both kinds; of equals the one with the fewest alarms."""

    def choose(_: str, scored: Callable[[Inputs], Array], __: float) -> float:
        return cheapest(scored(normal), scored(anomalies), cost)

    return choose


def cheapest(normal: Array, anomalies: Array, cost: Cost, *, weights: tuple[Array, Array] | None = None) -> float:
    """The score above which to alarm, with the least cost. `weights` say how many rows each counts as."""
    counts = weights or (np.ones(len(normal)), np.ones(len(anomalies)))
    every = np.unique(np.concatenate([normal, anomalies]))
    # Between two scores any threshold says the same; the lowest possible one alarms at everything.
    candidates = np.concatenate([[np.nextafter(every[0], np.float32(-np.inf))], every])
    order = np.argsort(normal), np.argsort(anomalies)
    alarms = _above(normal[order[0]], counts[0][order[0]], candidates)
    found = _above(anomalies[order[1]], counts[1][order[1]], candidates)
    costs = cost.false_alarm * alarms + cost.missed * (counts[1].sum() - found)
    best = len(costs) - 1 - int(np.argmin(costs[::-1]))
    # Half way to the next score: a row just like the last normal one stays below.
    above = candidates[best + 1] if best + 1 < len(candidates) else candidates[best]
    middle = np.float32((float(candidates[best]) + float(above)) / 2)
    return float(middle if middle < above or best + 1 == len(candidates) else candidates[best])


def _above(scores: Array, counts: Array, candidates: Array) -> Array:
    """How many rows lie above each candidate."""
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    below: Array = sums[np.searchsorted(scores, candidates, side="right")]
    result: Array = sums[-1] - below
    return result
