"""The autoencoder's spec, its rows and its verdict, with a made-up network in a framework's place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.processing import apply
from onnxpress.training.data.sources import Bundled
from onnxpress.training.data.table import Table
from onnxpress.training.families.autoencoder import Autoencoder
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.settings import Training

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

SPEC = Autoencoder(normal="benign")


def prepared(training: Training | None = None) -> Prepared:
    return SPEC.prepare(Bundled(table="breast_cancer").load(), training or Training())


def shrunk(scaled: Array) -> Array:
    """A network that knows only the middle: normal rows are rebuilt well, far ones badly."""
    result: Array = np.clip(scaled, 0.1, 0.5).astype(np.float32)
    return result


def finished(rows: Prepared) -> Outcome:
    return SPEC.finish(rows, lambda x: shrunk(x["scaled"]), title="test")


def test_the_layers_are_shares_of_the_width() -> None:
    assert SPEC.network(30) == {"width": 30, "hidden": [22, 15, 9, 7, 9, 15, 22], "dropout": 0.2}
    assert SPEC.network(100)["hidden"] == [75, 50, 33, 25, 33, 50, 75]
    assert SPEC.network(1)["hidden"] == [1] * 7


def test_the_parameter_count_is_that_of_dense_layers() -> None:
    assert SPEC.parameters(30) == 2505
    assert Autoencoder(normal="x", hidden=(0.5,)).parameters(4) == (4 + 1) * 2 + (2 + 1) * 4


def test_only_normal_rows_are_learnt_and_both_kinds_held_out() -> None:
    table = Bundled(table="breast_cancer").load()
    rows = prepared()
    assert (len(rows.train.y), len(rows.validation.y), len(rows.target)) == (226, 41, 143)
    benign = {row.tobytes() for row in table.x[table.target == "benign"]}
    scaled = apply(rows.before, {"features": table.x})["scaled"]
    raw_of = {row.tobytes(): raw.tobytes() for row, raw in zip(scaled, table.x, strict=True)}
    learnt = {raw_of[row.tobytes()] for part in (rows.train, rows.validation) for row in part.x["scaled"]}
    held_out = [row.tobytes() for row in rows.held_out["features"]]
    assert learnt <= benign
    assert not learnt & set(held_out)
    assert [row not in benign for row in held_out] == rows.target.astype(bool).tolist()
    assert rows.target.dtype == np.int64


def test_scaling_is_fitted_on_the_training_rows_alone() -> None:
    rows = prepared()
    assert rows.train.y.dtype == np.float32
    assert rows.train.y.min(axis=0) == pytest.approx(0, abs=1e-6)
    assert rows.train.y.max(axis=0) == pytest.approx(1, abs=1e-6)
    assert rows.validation.y.max() > 1


def test_the_seed_decides_which_rows() -> None:
    first, again, other = (prepared(Training(seed=seed)).held_out["features"].tobytes() for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("labels", [["malignant", "other"], ["benign", "benign"]])
def test_labels_without_both_kinds_are_refused(labels: list[str]) -> None:
    table = Table({"a": np.zeros(2, np.float32)}, np.asarray(labels))
    with pytest.raises(BadData, match=f"the rows are labelled {', '.join(sorted(set(labels)))}"):
        SPEC.prepare(table, Training())


def test_too_few_rows_are_refused() -> None:
    table = Table({"a": np.zeros(3, np.float32)}, np.asarray(["benign", "benign", "malignant"]))
    with pytest.raises(BadData, match="cannot be divided"):
        SPEC.prepare(table, Training())


def test_the_threshold_is_the_percentile_of_the_training_scores_exact_in_float32() -> None:
    rows = prepared()
    threshold = finished(rows).thresholds["is_anomaly"]
    scores = ((shrunk(rows.train.y) - rows.train.y) ** 2).mean(axis=1)
    assert threshold == float(np.float32(threshold))
    assert threshold == pytest.approx(np.percentile(scores, 95), rel=1e-6)
    assert (scores > threshold).mean() == pytest.approx(0.05, abs=1 / len(scores))


def test_the_metrics_are_those_of_the_contract_applied_to_held_out_rows() -> None:
    rows = prepared()
    outcome = finished(rows)
    tensors = apply(rows.before, rows.held_out)
    tensors = apply(outcome.after, tensors | {"decoded": shrunk(tensors["scaled"])})
    truth, found = rows.target.astype(bool), tensors["is_anomaly"]
    assert outcome.metrics["detection_rate"] == pytest.approx(found[truth].mean())
    assert outcome.metrics["false_alarm_rate"] == pytest.approx(found[~truth].mean())
    # ROC AUC is the chance that an anomaly scores above a normal row (Mann and Whitney 1947).
    above = tensors["score"][truth][:, None] > tensors["score"][~truth][None, :]
    assert outcome.metrics["roc_auc"] == pytest.approx(above.mean(), abs=1e-6)
    assert outcome.metrics["held_out_anomalies"] == truth.sum()


def test_the_outputs_are_what_the_steps_produce() -> None:
    rows = prepared()
    outcome = finished(rows)
    tensors = apply(rows.before, rows.held_out)
    tensors = apply(outcome.after, tensors | {"decoded": shrunk(tensors["scaled"])})
    assert [str(spec) for spec in rows.inputs] == ["features:float32[batch,30]"]
    assert [str(spec) for spec in outcome.outputs] == [
        "reconstruction:float32[batch,30]", "score:float32[batch]", "is_anomaly:bool[batch]",
    ]  # fmt: skip
    for spec in outcome.outputs:
        array = tensors[spec.name]
        assert (str(array.dtype), array.ndim) == (spec.dtype, len(spec.shape))


def test_a_perfect_rebuild_comes_back_in_raw_units() -> None:
    rows = prepared()
    outcome = SPEC.finish(rows, lambda x: x["scaled"], title="test")
    tensors = apply(rows.before, rows.held_out)
    tensors = apply(outcome.after, tensors | {"decoded": tensors["scaled"]})
    assert tensors["reconstruction"] == pytest.approx(rows.held_out["features"], rel=1e-4, abs=1e-5)
    assert not tensors["is_anomaly"].any()


@given(width=st.integers(1, 4000))
def test_every_hidden_layer_has_a_unit(width: int) -> None:
    assert min(SPEC.network(width)["hidden"]) >= 1
