"""The anomaly autoencoder: trained to rebuild normal rows; what it rebuilds badly is an anomaly.

raw columns → imputed, scaled to [0, 1], one-hot → (categories embedded) →
75 % → 50 % → 33 % → 25 % → 33 % → 50 % → 75 % of the width → rebuilt
score = mean squared error of a row; anomaly = score above the 95th percentile of the training rows' scores
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np

from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.processing import IsolationForest, Step, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data import split
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import anomaly_answers, anomaly_columns, anomaly_decision, isolation_forest
from onnxpress.training.families.anomaly_columns import SCALED
from onnxpress.training.families.anomaly_decision import Choose, Combination, Cost, Weighted
from onnxpress.training.families.isolation_forest import ForestSettings
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.families.sizes import dense_parameters
from onnxpress.training.fitting.loop import Examples, Inputs
from onnxpress.training.settings import Training

Action = Literal["scale", "onehot", "embed", "drop"]
TENSORS = anomaly_columns.TENSORS | anomaly_answers.TENSORS
"""what the steps around the network make where there is no forest; no column may be called so"""
_Share = Annotated[float, msgspec.Meta(gt=0, le=100)]


class Autoencoder(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="autoencoder"
):
    """The spec of the network, the same for both frameworks.

    Dense layers; ReLU after each hidden one, dropout after the first and the last hidden one, sigmoid at the end.
    An embedded category of n values, with the unknown one, is rebuilt as its n columns of 0 and 1, and enters the first
    layer as a vector that is learnt, min(50, (n + 1) // 2) wide, at least 2. `hidden` is of what enters.
    Weights start Glorot uniform, biases at zero (Glorot and Bengio 2010: U(-a, a), a = sqrt(6 / (inputs + outputs))).
    """

    normal: str | None = None
    """the label whose rows are normal; every other label is an anomaly. Rows without labels need none: all are taken
    for normal"""
    learn_from: Literal["normal rows", "all rows"] = "normal rows"
    """all rows: labels are measured and nothing else"""
    columns: dict[str, Action] = {}
    """what is done with each column: `scale` a number, `onehot` a category, `embed` one of many values, `drop` leaves
    it alone; default: every column is a number. Columns that are not named are left alone"""
    hidden: Annotated[tuple[_Share, ...], msgspec.Meta(min_length=1)] = (0.75, 0.50, 0.33, 0.25, 0.33, 0.50, 0.75)
    """units of each hidden layer as a share of the width, rounded down, at least one"""
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.2
    """share of the values that dropout sets to zero in training"""
    threshold_percentile: Annotated[float, msgspec.Meta(gt=0, lt=100)] = 95.0
    """of the training rows' scores: the threshold of `is_anomaly`"""
    cost: Cost | None = None
    """the thresholds with the least cost over seen rows of both kinds, in place of the percentiles"""
    isolation_forest: ForestSettings | None = None
    """a companion grown on the same rows"""
    combine: Combination = "any"
    """what raises `is_flagged`: any of the two, all, or `weighted: {autoencoder: 0.6, isolation_forest: 0.4}`"""

    def __post_init__(self) -> None:
        if self.combine != "any" and self.isolation_forest is None:
            raise ValueError("combine is of two, and there is no isolation_forest")
        if self.columns and set(self.columns.values()) == {"drop"}:
            raise ValueError("every column is dropped")

    def reading(self) -> Reading:
        """Numbers, and categories where they are named; both may be missing, and so may the labels."""
        if not self.columns:
            return Reading(missing=True, target="optional")
        texts = tuple(name for name, action in self.columns.items() if action in {"onehot", "embed"})
        named = {action: tuple(n for n, a in self.columns.items() if a == action) for action in self.columns.values()}
        return Reading(numbers=named.get("scale", ()), texts=texts, missing=True, target="optional")

    def network(self, width: int, embedded: Sequence[Sequence[int]] = ()) -> dict[str, typing.Any]:
        """The settings of the network's factory in either framework, for `width` features.

        `embedded` are the [first column, columns, width of the vector] of categories, last among the features.
        """
        inputs = _entering(width, embedded)
        settings = {
            "width": width,
            "hidden": [max(1, int(inputs * share)) for share in self.hidden],
            "dropout": self.dropout,
        }
        return settings | ({"embedded": [list(one) for one in embedded]} if embedded else {})

    def parameters(self, width: int, embedded: Sequence[Sequence[int]] = ()) -> int:
        """Embeddings, and weights and biases of the dense layers: the sum of (inputs + 1) × outputs."""
        sizes = [_entering(width, embedded), *self.network(width, embedded)["hidden"], width]
        tables = sum(size * vector for _, size, vector in embedded)
        return tables + dense_parameters(*sizes)

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows, fit the scaling. Raises BadData where there are no normal rows, or only normal ones."""
        is_anomaly = self._anomalies(table)
        kinds = is_anomaly if table.labelled else None
        seen, held_out = split.hold_out(np.arange(len(is_anomaly)), kinds, training)
        usual = seen if self.learn_from == "all rows" else seen[~is_anomaly[seen]]
        train, validation = split.shuffled(usual, training.validation_share, seed=training.seed)
        actions = {name: action for name, action in self.columns.items() if action != "drop"}
        columns = anomaly_columns.fitted(table, train, actions)

        def scaled(rows: split.Rows) -> Inputs:
            raw = {name: column[rows] for name, column in columns.raw.items()}
            return {SCALED: apply(columns.before, raw)[SCALED]}

        def rebuild(rows: split.Rows) -> Examples:
            x = scaled(rows)
            return Examples(x, x[SCALED])

        known = seen[is_anomaly[seen]]
        if self.cost is not None and not len(known):
            raise BadData("a cost needs rows that are known to be anomalies, and there are none", where="model.cost")
        width = columns.width
        inner, decoded = (
            TensorSpec(name=name, dtype="float32", shape=("batch", width)) for name in (SCALED, "decoded")
        )
        return Prepared(
            network="autoencoder",
            seed=training.seed,
            settings=self.network(width, columns.embedded),
            parameters=self.parameters(width, columns.embedded),
            train=rebuild(train),
            validation=rebuild(validation),
            held_out={name: column[held_out] for name, column in columns.raw.items()},
            target=is_anomaly[held_out].astype(np.int64),
            labelled=table.labelled,
            anomalies=scaled(known) if len(known) else None,
            before=columns.before,
            inputs=columns.inputs,
            network_inputs=[inner],
            network_outputs=[decoded],
            unit=columns.back,
            names=columns.names,
            answers=anomaly_answers.TENSORS
            | (anomaly_answers.OF_COMPANION if self.isolation_forest is not None else frozenset()),
        )

    def _anomalies(self, table: Table) -> np.ndarray[typing.Any, np.dtype[np.bool_]]:
        if not table.labelled:
            return np.zeros(len(table.target), bool)
        known = sorted(set(table.target.tolist()))
        if self.normal not in known or len(known) < 2:
            raise BadData(
                f"the normal label is {self.normal!r}, the rows are labelled {', '.join(known)}",
                where="model.normal",
                hint="name one of at least two labels; rows without labels need no data.target",
            )
        is_anomaly: np.ndarray[typing.Any, np.dtype[np.bool_]] = table.target != self.normal
        return is_anomaly

    def layers(self, names: Sequence[str], *, width: int, embedded: Sequence[Sequence[int]] = ()) -> tuple[str, ...]:
        """The layers that `encoder`, `decoder` or their own names mean. Raises UsageError for one that is not there."""
        sizes = self.network(width, embedded)["hidden"]
        tables = [f"embedding_{number}" for number in range(len(embedded))]
        middle = len(tables) + sizes.index(min(sizes)) + 1
        own = [*tables, *(f"hidden_{number}" for number in range(len(sizes))), "rebuilt"]
        groups = {"encoder": own[:middle], "decoder": own[middle:]}
        layers: list[str] = []
        for name in names:
            if name not in groups and name not in own:
                raise UsageError(
                    f"there is no layer {name!r}", where="--only", hint=f"name encoder, decoder, {', '.join(own)}"
                )
            layers += groups.get(name, [name])
        return tuple(layers)

    def steps(self, prepared: Prepared, choose: Choose, *, forest_rows: Inputs | None = None) -> list[Step]:
        """What stands behind the network, its thresholds set by `choose`; the forest is grown on `forest_rows`."""
        assert prepared.unit is not None
        forest, forest_percentile = None, self.threshold_percentile
        if self.isolation_forest is not None:
            forest = self._forest(self.isolation_forest, forest_rows or prepared.train.x, seed=prepared.seed)
            if self.isolation_forest.contamination is not None:
                forest_percentile = 100 * (1 - self.isolation_forest.contamination)
        return anomaly_decision.steps(
            prepared.unit,
            forest,
            choose,
            percentile=self.threshold_percentile,
            forest_percentile=forest_percentile,
            combine=self.combine,
        )

    def _forest(self, settings: ForestSettings, rows: Inputs, *, seed: int) -> IsolationForest:
        return isolation_forest.grown(settings, rows[SCALED], seed=seed, name=SCALED, output="isolation_score")

    def _choose(self, prepared: Prepared, predict: Predict) -> Choose:
        def asked(rows: Inputs) -> Inputs:
            return {**rows, "decoded": predict(rows)}

        if self.cost is None:
            return anomaly_decision.by_percentile(asked(prepared.train.x))
        assert prepared.anomalies is not None
        normal = {SCALED: np.concatenate([prepared.train.x[SCALED], prepared.validation.x[SCALED]])}
        return anomaly_decision.by_cost(asked(normal), asked(prepared.anomalies), self.cost)

    def finish(self, prepared: Prepared, predict: Predict, *, title: str, after: list[Step] | None = None) -> Outcome:
        """Set the thresholds on the seen rows (or take the steps `after`), and measure on the held-out ones."""
        after = after or self.steps(prepared, self._choose(prepared, predict))
        return anomaly_answers.measured(
            prepared, predict, after, weighted=isinstance(self.combine, Weighted), title=title
        )


def _entering(width: int, embedded: Sequence[Sequence[int]]) -> int:
    """How many values enter the first layer."""
    return width + sum(vector - size for _, size, vector in embedded)
