"""A recipe file is read, changed by settings, and refused with the file and the path of the bad field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onnxpress.core.errors import UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.data.sources import Bundled, CsvFile, Events, JsonFile

MINIMAL: dict[str, Any] = {
    "name": "demo",
    "model": {"family": "autoencoder", "normal": "benign"},
    "data": {"source": "sklearn", "table": "breast_cancer"},
}


def written(folder: Path, document: Any, name: str = "recipe.json") -> Path:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_the_demo_recipe_means_the_same_in_both_frameworks(anomaly_recipe: Path) -> None:
    torch, keras = (recipes.load(anomaly_recipe, framework=name) for name in ("pytorch", "tensorflow"))
    assert (torch.framework, keras.framework) == ("pytorch", "tensorflow")
    assert msgspec.structs.replace(keras, framework="pytorch") == torch
    assert isinstance(torch.data, Bundled)


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    yaml = "name: demo\nmodel: {family: autoencoder, normal: benign}\ndata: {source: sklearn, table: breast_cancer}\n"
    assert recipes.load(written(tmp_path, yaml, "a.yaml")) == recipes.load(written(tmp_path, MINIMAL))


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    loaded = recipes.load(written(tmp_path, MINIMAL))
    again = written(tmp_path, msgspec.json.encode(loaded).decode(), "resolved.json")
    assert recipes.load(again) == loaded


def test_an_exponent_without_a_point_is_a_number_in_yaml_too(tmp_path: Path) -> None:
    text = "name: demo\nmodel: {family: autoencoder, normal: benign}\ndata: {source: sklearn, table: iris}\n"
    path = written(tmp_path, text + "training: {learning_rate: 1e-2}\n", "a.yaml")
    assert recipes.load(path).training.learning_rate == 0.01


def test_settings_change_fields_that_stand_there_and_fields_that_do_not(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    loaded = recipes.load(path, settings=["training.epochs=5", "model.hidden=[0.5]", "model.normal=a b", "name=x"])
    assert loaded.training.epochs == 5
    assert loaded.model.hidden == (0.5,)
    assert (loaded.model.normal, loaded.name) == ("a b", "x")


def test_files_are_taken_from_the_recipes_folder_and_those_of_settings_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, {**MINIMAL, "data": {"source": "csv", "path": "rows.csv", "target": "label"}})
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def data_path(*settings: str) -> str:
        data = recipes.load(path, settings=settings).data
        assert isinstance(data, CsvFile)
        return data.path

    assert data_path() == str(tmp_path / "rows.csv")
    assert data_path("data.path=other.csv") == str(here / "other.csv")
    assert data_path("data.path=" + str(tmp_path / "x.csv")) == str(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        (["training.epochs=many"], "$.training.epochs: expected int, got str", None),
        (["training.epochs=0"], "$.training.epochs: expected int >= 1", None),
        (["training.learning_rate=NaN"], "$.training.learning_rate: expected float > 0.0", None),
        (["training.seed=-1"], "$.training.seed: expected int >= 0", None),
        (
            ["training.epoch=5"],
            "$.training: unknown field 'epoch'",
            "did you mean 'epochs'? it has: epochs, batch_size",
        ),
        (["modle=1"], "$: unknown field 'modle'", "did you mean 'model'? it has: name, framework, model"),
        (["data.tabel=iris"], "$.data: unknown field 'tabel'", "did you mean 'table'? it has: source, table"),
        (
            ["data.table=iirs"],
            "$.data.table: invalid enum value 'iirs'",
            "did you mean 'iris'? it may be: breast_cancer",
        ),
        (
            ["data.source=cvs"],
            "$.data.source: invalid value 'cvs'",
            "did you mean 'csv'? it may be: sklearn, palmerpenguins, csv, json",
        ),
        (["model.family=encoder"], "$.model.family: invalid value 'encoder'", "'autoencoder'"),
        (["model.normal=0"], "$.model.normal: expected str | null, got int", 'needs quotes: "0"'),
        (["model.hidden=[0.5,-1]"], "$.model.hidden[1]: expected float > 0.0", None),
        (["model.dropout=1"], "$.model.dropout: expected float < 1.0", None),
        (["name=a/b"], "name 'a/b' cannot name a folder", None),
        (["training=5"], "$.training: expected object, got int", None),
    ],
)
def test_a_bad_field_is_named_by_its_path(settings: list[str], message: str, hint: str | None, tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    with pytest.raises(UsageError) as caught:
        recipes.load(path, settings=settings)
    assert caught.value.where == str(path)
    assert message in caught.value.what
    if hint is None:
        assert caught.value.hint is None
    else:
        assert hint in (caught.value.hint or "")


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\$: object missing required field name"):
        recipes.load(written(tmp_path, {key: value for key, value in MINIMAL.items() if key != "name"}))
    with pytest.raises(UsageError, match=r"\$\.data: object missing required field source"):
        recipes.load(written(tmp_path, {**MINIMAL, "data": {}}))


@pytest.mark.parametrize("setting", ["epochs", "=5"])
def test_a_setting_without_key_or_value_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="write key=value"):
        recipes.load(written(tmp_path, MINIMAL), settings=[setting])


def test_a_setting_below_a_plain_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'name' is a value, not a group of fields"):
        recipes.load(written(tmp_path, MINIMAL), settings=["name.first=x"])


@pytest.mark.parametrize(
    ("name", "text", "place", "message"),
    [
        ("a.json", '{"name": "a",\n "model" 3}', "a.json:2:10", "is not JSON"),
        ("a.yaml", "name: a\nmodel: [1, 2\n", "a.yaml:3:1", "is not YAML"),
        ("a.yaml", "", "a.yaml", "not a recipe"),
        ("a.json", "[]", "a.json", "not a recipe"),
        ("a.yaml", "name: \x01", "a.yaml", "is not YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_place(
    name: str, text: str, place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        recipes.load(written(tmp_path, text, name))
    assert caught.value.where == str(tmp_path / place)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        recipes.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        recipes.load(tmp_path / "latin.yaml")


def test_files_and_dates_of_a_recipe_are_as_written(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: r\nmodel: {family: cnn14}\n"
        "data: {source: events, path: [a.json, b/], only: {since: 2024-01-31, before: 2024-02-01T08:00:00}}\n"
    )
    data = recipes.load(path).data
    assert isinstance(data, Events)
    assert data.path == [str(tmp_path / "a.json"), str(tmp_path / "b")]
    assert (data.only.since, data.only.before) == ("2024-01-31", "2024-02-01T08:00:00")
    path.write_text(
        "name: r\nmodel: {family: cnn-lstm-attention, text: d}\n"
        "data: {source: json, files: {good: a.json, bad: [b.json, c.json]}}\n"
    )
    files = recipes.load(path).data
    assert isinstance(files, JsonFile)
    assert files.files == {
        "good": str(tmp_path / "a.json"),
        "bad": [str(tmp_path / "b.json"), str(tmp_path / "c.json")],
    }
