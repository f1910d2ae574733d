"""Settings of other projects as recipes: what is carried, what is listed, and that no setting is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onnxpress.core.cli import main
from onnxpress.core.errors import UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.drafting import imported
from onnxpress.training.drafting.meanings import ANOMALIES, DOMAINS, SEIZURES
from onnxpress.training.families import Autoencoder, Cnn14, CnnLstmAttention

OSDB: dict[str, Any] = {
    "osdbConfig": {"osdbFiles": ["seizures.json", "false_alarms.json"]},
    "eventFilters": {"excludeTypes": ["Unknown"], "includeUserIds": None, "excludeDataSources": ["Phone"]},
    "dataProcessing": {
        "window": 750, "step": 125, "noiseAugmentation": True, "noiseAugmentationFactor": 10,
        "noiseAugmentationValue": 30.0, "userAugmentation": True, "testProp": 0.2, "features": ["acc_magnitude"],
        "useSeizureTimesConstraint": True, "seizureTimeRange": [-20, 40], "oversample": "SMOTE",
    },
    "modelConfig": {"framework": "tensorflow", "epochs": 150, "batchSize": 256, "useAdamW": True, "weightDecay": 0.002},
}  # fmt: skip


def made(tmp_path: Path, document: Any) -> tuple[recipes.Recipe, tuple[str, ...]]:
    path = tmp_path / "their config.json"
    path.write_text(json.dumps(document))
    draft = imported.of_file(path)
    target = tmp_path / "recipe.yaml"
    target.write_text(draft.text)
    return recipes.load(target), draft.said


def test_seizures(tmp_path: Path) -> None:
    recipe, said = made(tmp_path, OSDB)
    assert isinstance(recipe.model, Cnn14)
    assert recipe.framework == "tensorflow"
    assert recipe.model.magnitude
    assert recipe.model.augmentation is not None
    assert (recipe.model.augmentation.copies, recipe.model.augmentation.noise_mg) == (10, 30.0)
    assert recipe.model.augmentation.even_groups
    data: Any = recipe.data
    assert (data.datapoints, data.step, data.group, data.seizure_times) == (6, 1, "userId", "cut")
    assert data.without.types == ["Unknown"]
    assert [Path(path).name for path in data.path] == ["seizures.json", "false_alarms.json"]
    assert (recipe.training.optimizer, recipe.training.weight_decay) == ("adamw", 0.002)
    assert [line.split(" = ")[0] for line in said] == [
        "not carried: eventFilters.excludeDataSources",
        "not carried: dataProcessing.seizureTimeRange",
        "not carried: dataProcessing.oversample",
    ]


def test_a_switch_that_is_off_takes_its_settings_with_it(tmp_path: Path) -> None:
    recipe, _ = made(tmp_path, {**OSDB, "dataProcessing": {"noiseAugmentation": False, "noiseAugmentationFactor": 9}})
    assert isinstance(recipe.model, Cnn14)
    assert recipe.model.augmentation is None


def test_domains(tmp_path: Path) -> None:
    recipe, said = made(
        tmp_path,
        {"model": {"MAX_LENGTH": "75", "embedding-dim": 128, "lstm_units": 64, "conv_filters": 32, "dense_units": [64],
                   "dropout_rate": 0.5, "num_classes": 2, "bidirectional": True},
         "training": {"lr": 1e-3, "optimizer": "rmsprop", "batch_size": 0},
         "data": {"data_path": "d.json", "domain_column": "name", "label_column": "kind"}},
    )  # fmt: skip
    model: Any = recipe.model
    assert isinstance(model, CnnLstmAttention)
    assert (model.length, model.embedding, model.lstm, model.text) == (75, 128, 64, "name")
    assert list(model.convolutions) == [32]
    assert list(model.dense_dropouts) == [0.5]
    assert type(recipe.data).__name__ == "JsonFile"
    assert len(said) == 3
    assert any("rmsprop" in line and "adamw" in line for line in said)
    assert any("batch_size" in line for line in said)


def test_anomalies(tmp_path: Path) -> None:
    recipe, said = made(
        tmp_path,
        {"threshold_percentile": 0.99, "encoding_dim": 8, "isolation_forest": {"contamination": 0.05, "weight": 0.4},
         "autoencoder": {"weight": 0.6, "epochs": 50}, "numeric_features": ["a"], "categorical_features": ["b"]},
    )  # fmt: skip
    model: Any = recipe.model
    assert isinstance(model, Autoencoder)
    assert model.threshold_percentile == pytest.approx(99)
    assert model.columns == {"a": "scale", "b": "onehot"}
    assert model.isolation_forest.contamination == 0.05
    assert model.combine.weighted == {"isolation_forest": 0.4, "autoencoder": 0.6}
    assert recipe.training.epochs == 50
    assert any("encoding_dim" in line and "model.hidden" in line for line in said)
    assert any("data.path" in line for line in said)


@pytest.mark.parametrize("document", [[1], {"a": 1}, {}])
def test_what_is_of_no_known_form_is_refused(tmp_path: Path, document: Any) -> None:
    with pytest.raises(UsageError):
        made(tmp_path, document)


@pytest.mark.parametrize("meanings", [SEIZURES, DOMAINS, ANOMALIES])
@pytest.mark.parametrize("value", [None, True, -1, 0, "", "x", [], [[]], {}, 1e99, "5.0"])
def test_no_value_makes_a_recipe_that_cannot_be_read(tmp_path: Path, meanings: Any, value: Any) -> None:
    sign = {id(SEIZURES): "dataFiles", id(DOMAINS): "max_len", id(ANOMALIES): "contamination"}[id(meanings)]
    for key in meanings:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({sign: "a.json" if sign == "dataFiles" else 0.1, "settings": {key: value}}))
        try:
            draft = imported.of_file(path)
        except UsageError:  # said, and nothing written
            continue
        path.with_suffix(".yaml").write_text(draft.text)
        recipes.load(path.with_suffix(".yaml"))


def test_the_command_writes_the_recipe_and_lists_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(OSDB))
    target = tmp_path / "mine.yaml"
    for code in (0, 2):
        with pytest.raises(SystemExit) as caught:
            main(["import-config", str(path), "--output", str(target)])
        assert caught.value.code == code
        said = capsys.readouterr()
        assert said.out == (f"{target}\n" if not code else "")
    assert "not carried: dataProcessing.seizureTimeRange" in target.read_text()


def test_schedules_and_nested_groups(tmp_path: Path) -> None:
    recipe, said = made(
        tmp_path,
        {"max_length": 60, "optimizer": {"name": "AdamW", "lr": 1e-4, "betas": [0.9, 0.98]},
         "lr_peak": 3e-3, "lr_final": 1e-5, "warmup_epochs": 4, "hold_epochs": 6,
         "scheduler": {"type": "plateau", "factor": 0.5, "patience": 3},
         "early_stopping": {"patience": 8}, "label_column": None,
         "data": {"benign": "a.json", "phishing": ["b.json", "c.json"]}},
    )  # fmt: skip
    training = recipe.training
    assert (training.optimizer, training.learning_rate, training.betas) == ("adamw", 1e-4, (0.9, 0.98))
    schedule: Any = training.schedule
    assert (schedule.peak, schedule.final, schedule.up, schedule.hold) == (3e-3, 1e-5, 4, 6)
    assert training.patience == 8, "not the scheduler's"
    data: Any = recipe.data
    assert type(data).__name__ == "JsonFile"
    assert {label: len(files) if isinstance(files, list) else 1 for label, files in data.files.items()} == {
        "benign": 1, "phishing": 2,
    }  # fmt: skip
    assert [line.split(":")[1].strip() for line in said] == [
        "scheduler.type = \"plateau\"", "training.plateau", "model.text; it is 'domain' until you change it",
    ]  # fmt: skip


def test_a_schedulers_patience_and_an_ensembles_weights(tmp_path: Path) -> None:
    recipe, said = made(
        tmp_path,
        {"contamination": 0.02, "ensemble_method": "weighted", "max_samples": "auto",
         "reduce_lr": {"factor": 0.2, "patience": 4, "min_lr": 1e-5},
         "ensemble": {"weights": {"autoencoder": 0.7, "isolation_forest": 0.3}}, "epochs": [5]},
    )  # fmt: skip
    model: Any = recipe.model
    assert model.combine.weighted == {"autoencoder": 0.7, "isolation_forest": 0.3}
    plateau = recipe.training.plateau
    assert plateau is not None
    assert (plateau.factor, plateau.patience, plateau.minimum) == (0.2, 4, 1e-5)
    assert said == ("not carried: epochs = [5]: no number", "not told: data.path; it is 'rows.csv' until you change it")


def test_a_peak_alone_is_the_learning_rate(tmp_path: Path) -> None:
    recipe, said = made(tmp_path, {"dataFiles": ["a.json"], "lrPeak": 0.004, "dropout": 0.25})
    model: Any = recipe.model
    assert (recipe.training.learning_rate, recipe.training.schedule, model.dropout) == (0.004, None, 0.25)
    recipe, said = made(tmp_path, {"dataFiles": ["a.json"], "lrFinal": 0.004})
    assert recipe.training.schedule is None
    assert said == ("not carried: training.schedule.final: there is no peak",)


def test_what_needs_labels_is_said_of_a_project_without(tmp_path: Path) -> None:
    settings = {
        "data": {"path": "t.csv"},
        "contamination": 0.01,
        "ensemble": {"method": "all"},
        "fp_cost": 1,
        "fn_cost": 9,
    }
    recipe, said = made(tmp_path, settings)
    model, data = msgspec.to_builtins(recipe.model), msgspec.to_builtins(recipe.data)
    assert (model["combine"], model["cost"], Path(data["path"]).name) == ("all", None, "t.csv")
    assert said == ("not carried: model.cost: it needs labelled rows, data.target and model.normal",)
    _, said = made(tmp_path, {**settings, "label_column": "kind"})
    assert said == ("not told: model.normal, the label of usual rows; training needs it",)
