"""Drafts of files that are not tidy: decimal commas, records deeper inside, rare labels, names that stand twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from onnxpress.training import recipe as recipes
from onnxpress.training.data.table import Table
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
