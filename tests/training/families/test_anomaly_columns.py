"""Rows as compliance systems have them: without labels, with categories and missing values, two scores combined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import apply
from onnxpress.training.data.sources import CsvFile
from onnxpress.training.data.table import Table
from onnxpress.training.families.anomaly_decision import Cost, Weighted, cheapest
from onnxpress.training.families.autoencoder import Autoencoder
from onnxpress.training.families.isolation_forest import ForestSettings
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.settings import Training

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

MIXED = Autoencoder(columns={"id": "drop", "amount": "scale", "country": "onehot"})


def rows_file(folder: Path, *, rows: int = 80) -> str:
    path = folder / "rows.csv"
    lines = [
        f"r{n};{'' if n % 16 == 5 else (5000 if n % 20 == 0 else n)};{['CH', 'DE', '', 'FR'][n % 4]};"
        f"{'odd' if n % 20 == 0 else 'ok'}"
        for n in range(rows)
    ]
    path.write_text("id;amount;country;kind\n" + "\n".join(lines))
    return str(path)


def prepared(folder: Path, spec: Autoencoder = MIXED, target: str | None = None) -> Prepared:
    table = CsvFile(path=rows_file(folder), target=target).load(spec.reading())
    return spec.prepare(table, Training())


def rebuilt(x: dict[str, Array]) -> Array:
    result: Array = np.clip(x["scaled"], 0.0, 0.9).astype(np.float32)
    return result


def test_columns_are_imputed_scaled_and_one_hot(tmp_path: Path) -> None:
    rows = prepared(tmp_path)
    assert [str(spec) for spec in rows.inputs] == ["amount:float32[batch]", "country:string[batch]"]
    assert rows.names == ["amount", "country=?", "country=CH", "country=DE", "country=FR"]
    raw = {"amount": np.array([np.nan, 0], np.float32), "country": np.array(["DE", "??"], object)}
    scaled = apply(rows.before, raw)["scaled"]
    assert np.isfinite(scaled).all()
    assert scaled[:, 1:].tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    whole = apply(rows.before, {"amount": np.array([0, 79], np.float32), "country": np.array(["", ""], object)})
    assert -0.01 < whole["scaled"][0, 0] < whole["scaled"][1, 0] <= 1


def test_embedded_categories_come_last_and_are_rebuilt_as_columns(tmp_path: Path) -> None:
    spec = Autoencoder(columns={"country": "embed", "id": "drop", "amount": "scale", "kind": "onehot"})
    rows = prepared(tmp_path, spec)
    assert rows.names == [
        "amount",
        *(f"kind={k}" for k in ("?", "odd", "ok")),
        *(f"country={c}" for c in ["?", "CH", "DE", "FR"]),
    ]
    assert rows.settings == {"width": 8, "hidden": [4, 3, 1, 1, 1, 3, 4], "dropout": 0.2, "embedded": [[4, 4, 2]]}
    assert rows.parameters == 4 * 2 + 7 * 4 + 5 * 3 + 4 * 1 + 2 + 2 + 2 * 3 + 4 * 4 + 5 * 8
    assert rows.train.y.shape[1] == 8
    assert spec.layers(["encoder"], width=8, embedded=[[4, 4, 2]]) == (
        "embedding_0",
        "hidden_0",
        "hidden_1",
        "hidden_2",
    )


def test_numbers_alone_may_be_missing_too(tmp_path: Path) -> None:
    path = tmp_path / "n.csv"
    path.write_text("a,b\n" + "".join(f"{n},{'' if n % 7 == 0 else n}\n" for n in range(40)))
    rows = Autoencoder().prepare(CsvFile(path=str(path)).load(Autoencoder().reading()), Training())
    assert [type(step).__name__ for step in rows.before] == ["Impute", "Scale"]
    assert np.isfinite(rows.train.y).all()
    whole = Table({"a": np.arange(40, dtype=np.float32)}, np.full(40, ""), labelled=False)
    assert [type(step).__name__ for step in Autoencoder().prepare(whole, Training()).before] == ["Scale"]
    empty = Table({"a": np.full(40, np.nan, np.float32)}, np.full(40, ""), labelled=False)
    with pytest.raises(BadData, match="has no value in the training rows"):
        Autoencoder().prepare(empty, Training())


def finished(rows: Prepared, spec: Autoencoder) -> Outcome:
    return spec.finish(rows, rebuilt, title="test")


def test_rows_without_labels_are_all_normal(tmp_path: Path) -> None:
    rows = prepared(tmp_path)
    assert not rows.labelled
    assert len(rows.train.y) + len(rows.validation.y) + len(rows.target) == 80
    outcome = finished(rows, MIXED)
    assert set(outcome.metrics) == {"threshold", "flagged_share"}
    assert set(outcome.plots) == {"scores.png"}


def test_labels_may_be_measured_and_nothing_else(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"columns": MIXED.columns, "normal": "ok"}
    both = prepared(tmp_path, Autoencoder(learn_from="all rows", **fields), target="kind")
    usual = prepared(tmp_path, Autoencoder(**fields), target="kind")
    assert len(both.train.y) + len(both.validation.y) == 60
    assert len(usual.train.y) + len(usual.validation.y) == 57
    assert "roc_auc" in finished(both, Autoencoder(**fields)).metrics
    assert usual.anomalies is not None
    assert len(usual.anomalies["scaled"]) == 3
    with pytest.raises(BadData, match="the normal label is None"):
        prepared(tmp_path, MIXED, target="kind")


FOREST = ForestSettings(trees=10, contamination=0.2)


def test_the_forest_flags_the_share_that_is_asked_for(tmp_path: Path) -> None:
    spec = Autoencoder(columns=MIXED.columns, isolation_forest=FOREST, combine="all")
    rows = prepared(tmp_path, spec)
    outcome = finished(rows, spec)
    scores = apply(outcome.after, {**rows.train.x, "decoded": rebuilt(rows.train.x)})
    assert scores["is_isolated"].mean() == pytest.approx(0.2, abs=0.1)
    assert (scores["is_flagged"] == (scores["is_isolated"] & scores["is_anomaly"])).all()


def test_scores_are_weighted_by_their_own_thresholds(tmp_path: Path) -> None:
    combine = Weighted(weighted={"autoencoder": 0.6, "isolation_forest": 0.4}, percentile=90)
    spec = Autoencoder(columns=MIXED.columns, isolation_forest=FOREST, combine=combine)
    rows = prepared(tmp_path, spec)
    outcome = finished(rows, spec)
    scores = apply(outcome.after, {**rows.train.x, "decoded": rebuilt(rows.train.x)})
    thresholds = outcome.thresholds
    expected = 0.6 * scores["score"] / thresholds["is_anomaly"]
    expected = expected + 0.4 * scores["isolation_score"] / thresholds["is_isolated"]
    assert scores["combined_score"] == pytest.approx(expected, rel=1e-5)
    assert (scores["combined_score"] > np.float32(thresholds["is_flagged"])).mean() == pytest.approx(0.1, abs=0.03)
    assert "combined_score:float32[batch]" in map(str, outcome.outputs)
    with pytest.raises(ValueError, match="a weight for each"):
        Weighted(weighted={"autoencoder": 1.0})
    with pytest.raises(ValueError, match="there is no isolation_forest"):
        Autoencoder(combine="all")


def test_a_cost_sets_the_threshold_by_rows_of_both_kinds(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"columns": MIXED.columns, "normal": "ok"}
    dear = Autoencoder(cost=Cost(missed=1000), **fields)
    rows = prepared(tmp_path, dear, target="kind")
    assert rows.anomalies is not None
    threshold = finished(rows, dear).thresholds["is_anomaly"]
    scores = ((rebuilt(rows.anomalies) - rows.anomalies["scaled"]) ** 2).mean(axis=1)
    assert (scores > threshold).all()  # no anomaly that is known is missed
    cheap = finished(rows, Autoencoder(cost=Cost(false_alarm=1000), **fields)).thresholds["is_anomaly"]
    assert cheap >= threshold
    with pytest.raises(BadData, match="a cost needs rows that are known to be anomalies"):
        prepared(tmp_path, Autoencoder(columns=MIXED.columns, cost=Cost()))


@pytest.mark.parametrize(
    ("normal", "anomalies", "cost", "flagged"),
    [
        ([1, 2, 3], [4, 5], Cost(), [4, 5]),
        ([1, 2, 6], [4, 5], Cost(), [4, 5, 6]),
        ([1, 2, 6], [4], Cost(), []),  # one false alarm is as dear as one that is missed: the fewer alarms
        ([1, 2, 6], [4], Cost(missed=1.5), [4, 6]),
        ([5, 6, 7], [1], Cost(missed=20), [1, 5, 6, 7]),
        ([5, 6, 7], [1], Cost(), []),
        ([1, 1, 1], [1], Cost(missed=20), [1, 1, 1, 1]),
    ],
)
def test_the_cheapest_threshold(normal: list[float], anomalies: list[float], cost: Cost, flagged: list[float]) -> None:
    chosen = cheapest(np.array(normal, np.float32), np.array(anomalies, np.float32), cost)
    assert sorted(value for value in [*normal, *anomalies] if np.float32(value) > np.float32(chosen)) == flagged
