"""Recipes drafted from files: what is told of columns, what has to be guessed, and that they train as they are."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.cli import main
from onnxpress.core.errors import BadData, UsageError
from onnxpress.training import recipe as recipes
from onnxpress.training.drafting import carried, draft
from onnxpress.training.drafting.column import Column
from onnxpress.training.drafting.written import scalar
from onnxpress.training.families import Autoencoder, Cnn14, CnnLstmAttention, Document, Tabular


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["init", *arguments])
    code = caught.value.code
    assert isinstance(code, int)
    return code


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """Numbers with missing values, categories few and many, names of rows, free text, a constant; parted at ;."""
    draw = random.Random(0)
    path = tmp_path / "customers 2026.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["customer_id", "age", "plan", "city", "note", "const", "empty", "churned"])
        for number in range(240):
            plan = draw.choice(["basic", "pro", "no"])
            table.writerow(
                [1000 + number, draw.choice(["", *range(18, 80)]), plan, draw.choice("ABCDEFGHIJKLMNOP"),
                 f"who has {draw.random()} said no. {number}", "x", "", "yes" if plan == "no" and number % 2 else "no"]
            )  # fmt: skip
    return path


def drafted(path: Path, **more: Any) -> tuple[recipes.Recipe, draft.Draft]:
    made = draft.of_file(path, place=path.name, **more)
    recipe = path.with_suffix(".yaml")
    recipe.write_text(made.text, encoding="utf-8")
    return recipes.load(recipe), made


def test_every_column_is_told(customers: Path) -> None:
    recipe, made = drafted(customers)
    assert isinstance(recipe.model, Tabular)
    assert recipe.model.columns == {
        "customer_id": "drop", "age": "scale", "plan": "onehot", "city": "embed", "note": "drop", "const": "drop",
        "empty": "drop",
    }  # fmt: skip
    assert recipe.model.positive == "yes"
    assert recipe.training.class_weights == "balanced"
    assert "age: scale # numbers from 1" in made.text
    assert "target: churned # 'no' 2" in made.text
    assert any("'churned'" in line and "--target" in line for line in made.said)
    assert any("'note' is left alone" in line for line in made.said)


def test_what_was_drafted_trains_as_it_is(customers: Path, tmp_path: Path, framework: str) -> None:
    from onnxpress.training.pipeline import stage

    assert called("--from", str(customers), "--output", str(tmp_path / "recipes.yaml")) == 0
    recipe = recipes.load(tmp_path / "recipes.yaml", settings=["training.epochs=1"], framework=framework)
    assert (stage.train(recipe, output=tmp_path / "runs") / "metrics.json").exists()


def test_without_labels_an_autoencoder_takes_every_row_for_normal(customers: Path, tmp_path: Path) -> None:
    recipe, made = drafted(customers, family="autoencoder")
    assert isinstance(recipe.model, Autoencoder)
    assert recipe.model.normal is None
    assert any("no labels" in line for line in made.said)
    labelled, _ = drafted(customers, family="autoencoder", target="churned")
    assert isinstance(labelled.model, Autoencoder)
    assert labelled.model.normal == "no"


def test_text_alone_is_read_by_its_characters(tmp_path: Path) -> None:
    draw = random.Random(1)
    path = tmp_path / "domains.json"
    records = [{"dns": {"name": f"{draw.random()}.com"}, "label": draw.choice(["legit", "dga"])} for _ in range(80)]
    path.write_text(json.dumps(records))
    recipe, _ = drafted(path)
    assert isinstance(recipe.model, CnnLstmAttention)
    assert recipe.model.text == "dns.name"
    assert len(recipe.data.load(recipe.model.reading()).target) == 80


def test_a_scale_is_predicted_not_classified(tmp_path: Path) -> None:
    path = tmp_path / "houses.tsv"
    rows = [f"{number % 6}\t{number * 1.5}\t{number * 9.25}" for number in range(60)]
    path.write_text("\n".join(["rooms\tarea\tprice", *rows]))
    recipe, _ = drafted(path)
    assert isinstance(recipe.model, Tabular)
    assert recipe.model.task == "regress"
    assert set(recipe.model.columns) == {"rooms", "area"}


@pytest.mark.parametrize(("shape", "family"), [((40, 150, 3), Cnn14), ((40, 20), Document)])
def test_arrays_are_told_by_their_axes(tmp_path: Path, shape: tuple[int, ...], family: type) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, X=np.random.default_rng(0).standard_normal(shape).astype(np.float32), y=np.arange(40) % 2)
    recipe, made = drafted(path)
    assert isinstance(recipe.model, family)
    assert len(recipe.data.load(recipe.model.reading()).target) == 40
    assert "'X' is taken" in made.said[0]


def test_events_are_known_by_their_datapoints(tmp_path: Path) -> None:
    path = tmp_path / "osdb_all.json"
    path.write_text(json.dumps([{"id": 1, "type": "Seizure", "datapoints": [{"rawData": [1000.0] * 125}]}]))
    recipe, made = drafted(path)
    assert isinstance(recipe.model, Cnn14)
    assert recipe.name == "osdb_all"
    assert str(path) in str(recipe.data)
    assert "'type'" in made.said[0]


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        ("a,b\n", {}, "no rows"),
        ("note\nsome words of us\nother words of us\nyet other words\n", {}, "no column can be a target"),
        ("a,b\n1,x\n2,y\n", {"target": "B"}, "no column 'B'"),
        ("a,b\n1,x\n2,y\n", {"family": "document"}, "does not read a table"),
        ("a,b\n1,x\n2,y\n3,x\n4\n", {}, "table.csv:5: 1 values where the header names 2 columns"),
        ("note,label\nx,1\nx,2\n", {}, "no column holds numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted_is_said(tmp_path: Path, content: str, more: dict[str, str], words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises((BadData, UsageError), match=words):
        draft.of_file(path, place="table.csv", **more)


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.yaml"
    assert called("tabular", "--output", str(target)) == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.read_text() == carried.find("penguins").read_text()
    target.write_text("mine")
    assert called("tabular", "--output", str(target)) == 2
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "mine"
    assert called("tabular", "--output", str(target), "--force") == 0
    assert called("penguin", "--output", str(tmp_path / "x.yaml")) == 2
    assert "did you mean 'penguins'" in capsys.readouterr().err
    assert called("--output", str(tmp_path / "x.yaml")) == 2


@pytest.mark.parametrize("name", [*carried.OF_FAMILY, *carried.names()])
def test_every_recipe_that_is_carried_can_be_read(name: str) -> None:
    assert recipes.load(carried.find(name)).name


@given(st.text())
def test_texts_come_back_as_they_were(text: str) -> None:
    line = scalar(text)
    assert "\n" not in line
    assert yaml.safe_load(f"? {line}\n: 1") == {text: 1}


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("id", ["7", "8", "9"], "identifier"),
        ("x", ["7", "8", "9"], "number"),
        ("x", ["7", "", "inf"], "category"),
        ("x", ["a", "b", "a", "NA"], "category"),
        ("x", ["a", "a"], "constant"),
        ("x", ["", "NA"], "empty"),
        ("x", [True, False, True], "number"),
        ("note", ["one two three", "four five six", "seven eight nine"], "text"),
    ],
)
def test_kinds(name: str, values: list[object], kind: str) -> None:
    column = Column(name)
    for value in values:
        column.add(value)
    assert column.kind == kind
