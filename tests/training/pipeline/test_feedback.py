"""Feedback corrects a trained autoencoder through the named layers alone, and never makes it worse unnoticed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, NotEquivalent, UsageError
from onnxpress.training.data.sources import Bundled
from onnxpress.training.data.table import Reading
from onnxpress.training.pipeline import feedback, feedback_rows, port

pytest.importorskip("sklearn")
Trained = Callable[[str], Path]


def write(folder: Path, verdicts: Sequence[str], *, rows: Sequence[int]) -> Path:
    """Rows of the demo's table with a verdict each."""
    table = Bundled(table="breast_cancer").load()
    path = folder / "feedback.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.feature_names, "feedback"])
        writer.writerows([*table.x[row], verdict] for row, verdict in zip(rows, verdicts, strict=True))
    return path


def rows_of(label: str, count: int) -> list[int]:
    return np.flatnonzero(Bundled(table="breast_cancer").load().target == label)[:count].tolist()


def test_only_the_named_layers_learn_and_the_threshold_is_set_anew(
    framework: str, trained: Trained, tmp_path: Path
) -> None:
    run = trained(framework)
    verdicts = ["false_alarm"] * 8 + ["missed"] * 6
    given = write(tmp_path, verdicts, rows=[*rows_of("benign", 8), *rows_of("malignant", 6)])
    folder = feedback.learn(run, given, only=["decoder"], output=tmp_path / "runs", allowed_drop=0.05)
    before, after = port.read_layers(run), port.read_layers(folder)
    changed = {name for name in before if not np.array_equal(before[name]["kernel"], after[name]["kernel"])}
    assert changed == {"hidden_4", "hidden_5", "hidden_6", "rebuilt"}
    (said,) = json.loads((folder / "feedback.json").read_text())["rounds"]
    assert (said["false_alarms"], said["missed"]) == (8, 6)
    assert said["after"]["roc_auc"] >= said["before"]["roc_auc"] - 0.05
    assert runs.read(folder).thresholds["is_anomaly"] == said["after"]["threshold"]
    assert said["before"]["threshold"] == runs.read(run).thresholds["is_anomaly"]


@pytest.mark.torch
def test_a_model_that_got_worse_is_not_written(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    anomalies = rows_of("malignant", 80)  # told that they are normal
    given = write(tmp_path, ["false_alarm"] * 80, rows=anomalies)
    with pytest.raises(NotEquivalent, match="the model got worse"):
        feedback.learn(
            trained("pytorch"), given, only=["encoder", "decoder"], output=tmp_path / "runs", allowed_drop=-0.2
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.torch
def test_feedback_that_means_nothing_is_named_with_its_line(trained: Trained, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    given = write(tmp_path, ["missed", "maybe"], rows=[0, 1])
    with pytest.raises(BadData, match=r"feedback\.csv:3: the feedback 'maybe' is not known"):
        feedback.learn(trained("pytorch"), given, only=["decoder"], output=tmp_path, allowed_drop=0.1)
    given = write(tmp_path, ["missed"], rows=[0])
    with pytest.raises(UsageError, match="there is no layer 'decodr'"):
        feedback.learn(trained("pytorch"), given, only=["decodr"], output=tmp_path, allowed_drop=0.1)


def flagged(framework: str, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The held-out rows, which are anomalies, which the run flags, and their scores."""
    from onnxpress.core.processing import apply
    from onnxpress.training.fitting.framework_fit import framework_fit, network_of

    run = runs.read(folder)
    with np.load(folder / run.samples) as samples:
        rows, truth = samples["features"], samples["target"].astype(bool)
    tensors = apply(run.processing.before, {"features": rows})
    decoded = framework_fit(run.framework).predict(network_of(run, folder), {"scaled": tensors["scaled"]})
    tensors = apply(run.processing.after, {**tensors, "decoded": decoded})
    return rows, truth, tensors["is_anomaly"], tensors["score"]


def test_two_rounds_cure_most_of_what_was_named_and_the_second_adds_to_the_first(
    framework: str, trained: Trained, tmp_path: Path
) -> None:
    from sklearn.metrics import roc_auc_score

    names = Bundled(table="breast_cancer").load().feature_names
    run = trained(framework)
    rows, truth, before, score = flagged(framework, run)
    named = [np.flatnonzero(before & ~truth), np.flatnonzero(~before & truth)]
    assert min(map(len, named)) >= 6
    cured = []
    for half in range(2):
        path = tmp_path / f"round{half}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["note", *names, "feedback"])
            for place in np.concatenate([part[half::2] for part in named]):
                writer.writerow(["x", *rows[place].tolist(), "missed" if truth[place] else "false_alarm"])
            writer.writerow(["looked at", *rows[0].tolist(), "right"])
        run = feedback.learn(run, path, only=["decoder"], output=tmp_path / "runs", allowed_drop=0.0)
        _, _, now, after = flagged(framework, run)
        cured.append((~now[named[0]]).mean() + now[named[1]].mean())
    assert (~now[named[0]]).mean() >= 0.6
    assert now[named[1]].mean() >= 0.4
    assert cured[1] >= cured[0]
    assert roc_auc_score(truth, after) >= roc_auc_score(truth, score)
    rounds = json.loads((run / "feedback.json").read_text())["rounds"]
    assert [one["false_alarms"] + one["missed"] for one in rounds] == [
        sum(len(p[::2]) for p in named),
        sum(map(len, named)),
    ]
    assert rounds[1]["cured_false_alarms"] == pytest.approx((~now[named[0]]).mean())
    assert rounds[1]["found_missed"] == pytest.approx(now[named[1]].mean())
    assert (run / "feedback.png").read_bytes().startswith(b"\x89PNG")
    with (run / "feedback.csv").open() as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["1"] * rounds[0]["new_rows"] + ["2"] * rounds[1][
            "new_rows"
        ]


@pytest.mark.torch
def test_a_row_that_is_given_again_has_its_newest_verdict_and_costs_set_the_threshold(
    trained: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from onnxpress.training.families.anomaly_decision import Cost

    rows = rows_of("benign", 4)
    first = feedback.learn(
        trained("pytorch"),
        write(tmp_path, ["missed"] * 4, rows=rows),
        only=["rebuilt"],
        output=tmp_path,
        allowed_drop=1,
    )
    given = write(tmp_path, ["false_alarm"] * 2, rows=rows[:2])
    dear = Cost(false_alarm=1, missed=1000)
    second = feedback.learn(first, given, only=["rebuilt"], output=tmp_path, allowed_drop=1, cost=dear, to_review=5)
    with (second / "feedback.csv").open() as file:
        kept = [(row["feedback"], row["round"]) for row in csv.DictReader(file)]
    assert kept == [("missed", "1")] * 2 + [("false_alarm", "2")] * 2
    last = json.loads((second / "feedback.json").read_text())["rounds"][-1]
    assert (last["found_missed"], last["cost"]["missed"]) == (1.0, 1000)
    with (second / "review.csv").open() as file:
        review = list(csv.DictReader(file))
    assert len(review) == 5
    threshold = runs.read(second).thresholds["is_anomaly"]
    away = [abs(np.log(float(row["score"]) / threshold)) for row in review]
    assert away == sorted(away)
    assert {row["feedback"] for row in review} == {""}
    with pytest.raises(BadData, match="no row has a verdict"):
        feedback.learn(second, second / "review.csv", only=["rebuilt"], output=tmp_path, allowed_drop=1)


def test_feedback_that_a_spreadsheet_wrote_with_decimal_commas_is_read(tmp_path: Path) -> None:
    reading = Reading(numbers=("amount",), texts=("country",), missing=True, target="optional")
    for text in (
        "amount;country;feedback\n1,5;NO;missed\n;SE;false_alarm\n",
        "amount,country,feedback\n1.5,NO,missed\n,SE,right\n",
    ):
        (tmp_path / "feedback.csv").write_text(text)
        given = feedback_rows.read(tmp_path / "feedback.csv", reading, ["amount", "country"])
        assert given.columns["amount"][0] == 1.5
        assert given.is_missed[0]
    (tmp_path / "feedback.csv").write_text("amount;country;feedback\n1,5;NO;missed\n1.5;NO;missed\n")
    with pytest.raises(BadData, match="'1,5' is no finite"):
        feedback_rows.read(tmp_path / "feedback.csv", reading, ["amount", "country"])
