"""Drafts of files that are not tidy: decimal commas, records deeper inside, rare labels, names that stand twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from onnxpress.core.errors import BadData
from onnxpress.training import recipe as recipes
from onnxpress.training.data.csv_file import CsvFile
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.drafting import draft


def drafted(path: Path) -> tuple[dict[str, dict[str, object]], tuple[str, ...], Table]:
    """The recipe, what was said, and the table that it reads."""
    made = draft.of_file(path, place=path.name)
    recipe = path.with_suffix(".yaml")
    recipe.write_text(made.text)
    loaded = recipes.load(recipe)
    return yaml.safe_load(made.text), made.said, loaded.data.load(loaded.model.reading())


def test_decimal_commas_make_numbers(tmp_path: Path) -> None:
    lines = ["size;share;kind;label", *(f"{n};{n},5;k{n % 3};{'yn'[n % 2]}" for n in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    recipe, _, table = drafted(tmp_path / "t.csv")
    assert recipe["data"]["dialect"] == {"delimiter": ";", "decimal": ","}
    assert recipe["model"]["columns"] == {"size": "scale", "share": "scale", "kind": "onehot"}
    assert table.columns["share"][1] == 1.5


@pytest.mark.parametrize("where", ["data.rows", "rows", ""])
def test_records_are_found_where_they_are(tmp_path: Path, where: str) -> None:
    document: object = [{"x": n, "even": n % 2 == 0, "ok": n % 3 == 0, "tags": [1, 2]} for n in range(40)]
    for name in reversed(where.split(".") if where else []):
        document = {"version": 1, "meta": {"of": "us", "list": [1, [2]]}, name: document}
    (tmp_path / "t.json").write_text(json.dumps(document))
    recipe, _, table = drafted(tmp_path / "t.json")
    assert recipe["data"].get("records", "") == where
    assert recipe["model"]["columns"] == {"x": "scale", "even": "scale"}
    assert recipe["model"]["positive"] == "true"
    assert table.report["labels"] == {"true": 14, "false": 26}


def test_records_that_are_the_fields_of_an_object_are_still_found(tmp_path: Path) -> None:
    records = {f"d{n}.com": {"x": n, "label": "ab"[n % 2], "seen": ["y"]} for n in range(40)}
    (tmp_path / "t.json").write_text(json.dumps(records))
    recipe, _, table = drafted(tmp_path / "t.json")
    assert "records" not in recipe["data"]
    assert len(table.target) == 40


def test_rare_labels_double_names_and_mixed_values_are_left_out_and_missing_labels_said(tmp_path: Path) -> None:
    lines = ["a,a,b,label", *(f"{n},{n},{n},{'xy'[n % 2]}" for n in range(40)), "1,1,1,seldom"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    recipe, said, table = drafted(tmp_path / "t.csv")
    assert recipe["model"]["columns"] == {"b": "scale"}
    assert set(table.target) == {"x", "y"}
    assert any("'seldom'" in one for one in said)
    rows = [{"odd": n if n % 2 else "word", "b": n, "label": "xy"[n // 2 % 2]} for n in range(40)]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    assert drafted(tmp_path / "t.json")[0]["model"]["columns"] == {"odd": "drop", "b": "scale"}
    (tmp_path / "gap.csv").write_text("\n".join([*lines, "1,1,1,"]))
    assert any(
        "1 of 42 rows have no 'label'" in one for one in draft.of_file(tmp_path / "gap.csv", place="gap.csv").said
    )


ROWS = [(f"T{n}", 20 + n % 7, n / 8, ["NO", "SE", "DE"][n % 3], "yes" if n % 4 else "no") for n in range(40)]
HEADER = ["id", "age", "spent", "country", "churned"]


@pytest.mark.parametrize("header", [", ", ","])
def test_blanks_after_delimiters_belong_to_no_value(tmp_path: Path, header: str) -> None:
    (tmp_path / "t.csv").write_text("\n".join([header.join(HEADER), *(", ".join(map(str, row)) for row in ROWS)]))
    recipe, _, table = drafted(tmp_path / "t.csv")
    assert recipe["model"]["positive"] == "no"
    assert set(table.columns["country"]) == {"NO", "SE", "DE"}
    assert set(table.target) == {"yes", "no"}


def test_a_blank_that_belongs_to_a_label_stays(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["a,label", *(f"{n},{'up ' if n % 3 else 'down '}" for n in range(30))]))
    recipe, _, table = drafted(tmp_path / "t.csv")
    assert recipe["model"]["positive"] == "down "
    assert set(table.target) == {"up ", "down "}


def test_text_of_spreadsheets_and_long_values_are_read(tmp_path: Path) -> None:
    lines = ["\t".join(HEADER), *("\t".join(map(str, row)) for row in ROWS)]
    (tmp_path / "t.txt").write_text("\n".join(lines), encoding="utf-16")
    assert set(drafted(tmp_path / "t.txt")[2].columns) == {"age", "spent", "country"}
    (tmp_path / "long.csv").write_text(
        "text,n,label\n" + "\n".join(f"{'a word ' * 30_000},{n},{n % 2}" for n in range(4))
    )
    table = CsvFile(path=str(tmp_path / "long.csv"), target="label").load(Reading(numbers=(), texts=("text",)))
    assert len(table.columns["text"][0]) == 210_000


def test_a_column_without_a_name_is_left_alone(tmp_path: Path) -> None:
    lines = [",age,spent,churned", *(f"{n},{row[1]},{row[2]},{row[4]}" for n, row in enumerate(ROWS))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    recipe, _, table = drafted(tmp_path / "t.csv")
    assert recipe["model"]["columns"] == {"": "drop", "age": "scale", "spent": "scale"}
    assert set(table.columns) == {"age", "spent"}
    every = CsvFile(path=str(tmp_path / "t.csv"), target="churned").load()
    assert every.feature_names == ["age", "spent"]
    assert every.report["columns_without_a_name"] == 1


def test_columns_that_are_called_like_a_models_tensors_are_left_alone_and_said(tmp_path: Path) -> None:
    header = "score,probability,country,country_id,label"
    lines = [header, *(f"{row[1]},{row[2]},{row[3]},{row[3]}x,{row[4]}" for row in ROWS)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    recipe, said, _ = drafted(tmp_path / "t.csv")
    wanted = {"score": "scale", "probability": "drop", "country": "onehot", "country_id": "onehot"}
    assert recipe["model"]["columns"] == wanted
    assert [line for line in said if "'probability'" in line]
    made = yaml.safe_load(draft.of_file(tmp_path / "t.csv", place="t.csv", family="autoencoder").text)
    assert made["model"]["columns"] == {**wanted, "score": "drop", "probability": "scale"}


def test_a_line_that_is_cut_off_does_not_change_the_delimiter(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,label\n1,2,x\n3,4\n5,6,y\n")
    with pytest.raises(BadData, match="2 values where the header names 3") as refused:
        draft.of_file(tmp_path / "t.csv", place="t.csv")
    assert str(refused.value.where).endswith("t.csv:3")


def test_a_first_line_of_numbers_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(f"{n},{n / 2},{n % 2}" for n in range(30)))
    with pytest.raises(BadData, match="where a header must be"):
        draft.of_file(tmp_path / "t.csv", place="t.csv")
