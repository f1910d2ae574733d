"""Rows of several files with a label each, in any dialect and any shape of record, sampled by class."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData
from onnxpress.training.data.delimited import Dialect
from onnxpress.training.data.sampling import Sample
from onnxpress.training.data.sources import CsvFile, JsonFile
from onnxpress.training.data.table import Reading
from onnxpress.training.families import classification
from onnxpress.training.settings import Training

DOMAIN = Reading(numbers=(), texts=("domain",))


def json_files(folder: Path, **documents: Any) -> dict[str, str]:
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return {name: str(folder / f"{name}.json") for name in documents}


def test_each_file_gives_its_rows_their_label(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    files = json_files(tmp_path, benign=[{"domain": "a.com"}, {"domain": "b.com"}], phishing=[{"domain": "c.com"}])
    table = JsonFile(files=dict(files)).load(DOMAIN)
    assert table.columns["domain"].tolist() == ["a.com", "b.com", "c.com"]
    assert table.target.tolist() == ["benign", "benign", "phishing"]
    assert table.report["records"] == {files["benign"]: 2, files["phishing"]: 1}
    with pytest.raises(BadData, match="both 'a' and 'b'"):
        JsonFile(files={"a": files["benign"], "b": files["benign"]}).load(DOMAIN)
    with pytest.raises(ValueError, match="so there is no target"):
        JsonFile(files=dict(files), target="label")
    with pytest.raises(ValueError, match="either path, or files"):
        JsonFile(target="label")


@pytest.mark.parametrize(
    ("document", "settings"),
    [
        ([["a.com", 1], ["b.com", 2]], {"columns": ["domain", "n"]}),
        (["a.com", "b.com"], {"columns": ["domain"]}),
        ({"a.com": {"n": 1}, "b.com": {"n": 2}}, {"key": "domain"}),
        ({"a.com": [1, 2], "b.com": [3, 4]}, {"key": "domain", "columns": ["n", "m"]}),
        ({"data": {"rows": [{"domain": "a.com"}, {"domain": "b.com"}]}}, {"records": "data.rows"}),
        ({"data": {"x": {"domain": "a.com"}, "y": {"domain": "b.com"}}}, {"records": "data"}),
    ],
)
def test_records_are_objects_lists_or_values(document: Any, settings: Any, tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    files = json_files(tmp_path, x=document)
    table = JsonFile(files=dict(files), **settings).load(DOMAIN)
    assert table.columns["domain"].tolist() == ["a.com", "b.com"]


def test_fields_within_fields_have_their_path_as_name(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    record = {"name": {"domain": "a.com"}, "whois": {"age": 3, "tags": ["x", "y"]}, "a.b": 1, "bad": True}
    files = json_files(tmp_path, x=[record])
    reading = Reading(numbers=("whois.age", "a.b"), texts=("name.domain", "whois.tags.1"))
    table = JsonFile(path=files["x"], target="bad").load(reading)
    assert {name: column.tolist() for name, column in table.columns.items()} == {
        "whois.age": [3],
        "a.b": [1],
        "name.domain": ["a.com"],
        "whois.tags.1": ["y"],
    }
    assert table.target.tolist() == ["true"]
    with pytest.raises(BadData, match=r"number is missing in column 'whois\.year'"):
        JsonFile(path=files["x"], target="bad").load(Reading(numbers=("whois.year",)))


@pytest.mark.parametrize(
    ("document", "settings", "message"),
    [
        ({"rows": [{"domain": "a"}]}, {}, "set data.records to rows"),
        ({"d": {"rows": [{"domain": "a"}]}}, {"records": "d"}, r"set data\.records to d\.rows"),
        (["a.com"], {}, "is no record"),
        ([["a", 1]], {"columns": ["domain"]}, "2 values where"),
        ([], {}, "there are no records"),
        ({}, {}, "there are no records"),
        ("x", {}, "there are no records"),
    ],
)
def test_other_documents_are_refused_with_what_to_do(
    document: Any, settings: Any, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("ijson")
    files = json_files(tmp_path, x=document)
    with pytest.raises(BadData, match=message):
        JsonFile(files=dict(files), **settings).load(DOMAIN)


@pytest.mark.parametrize(
    "text",
    [
        "domain,label\na.com,x\nb.com,y\n",
        "domain;label\na.com;x\nb.com;y\n",
        "domain\tlabel\na.com\tx\nb.com\ty\n",
        "domain|label\r\na.com|x\r\nb.com|y\r\n",
        '"domain";"label"\n"a.com";"x"\n"b.com";"y"\n',
        "'domain','label'\n'a.com','x'\n'b.com','y'\n",
        " domain , label \na.com,x\nb.com,y\n",
        "\ufeffdomain;label\na.com;x\n\nb.com;y",
    ],
)
def test_the_dialect_of_a_csv_file_is_told(text: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text, newline="")
    table = CsvFile(path=str(path), target="label").load(DOMAIN)
    assert (table.columns["domain"].tolist(), table.target.tolist()) == (["a.com", "b.com"], ["x", "y"])


def test_quotes_within_values_stand_twice_or_behind_a_backslash(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    for text in ('text,label\n"say ""a, b""",x\n', 'text,label\n"say \\"a, b\\"",x\n'):
        path.write_text(text)
        table = CsvFile(path=str(path), target="label").load(Reading(numbers=(), texts=("text",)))
        assert table.columns["text"].tolist() == ['say "a, b"']


def test_commas_in_texts_and_numbers_do_not_mislead(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("amount;text;label\n1,5;a, b;x\n2,25;c, d;y\n")
    reading = Reading(numbers=("amount",), texts=("text",))
    table = CsvFile(path=str(path), target="label", dialect=Dialect(decimal=",")).load(reading)
    assert (table.columns["amount"].tolist(), table.columns["text"].tolist()) == ([1.5, 2.25], ["a, b", "c, d"])
    assert table.report["files"][str(path)].startswith("values parted at ';'")
    with pytest.raises(BadData, match="'1,5' is no finite"):
        CsvFile(path=str(path), target="label").load(reading)
    path.write_text("amount;label\n1.000,5;x\n")
    with pytest.raises(BadData, match="has a point where"):
        CsvFile(path=str(path), target="label", dialect=Dialect(decimal=",")).load()


def test_a_file_without_a_header_gets_its_names_from_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "top.csv"
    path.write_text("1,a.com\n2,b.com\n")
    table = CsvFile(files={"benign": str(path)}, columns=["rank", "domain"]).load(DOMAIN)
    assert table.columns["domain"].tolist() == ["a.com", "b.com"]


def test_a_later_file_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,label\n1,x\n")
    (tmp_path / "b.csv").write_text("label,b,a\ny,9,2\n")
    table = CsvFile(path=str(tmp_path), target="label").load()
    assert (table.x.tolist(), table.target.tolist()) == ([[1], [2]], ["x", "y"])
    (tmp_path / "b.csv").write_text("label,b\ny,9\n")
    with pytest.raises(BadData, match="no column 'a', which the first file has"):
        CsvFile(path=str(tmp_path), target="label").load()


def sampled(folder: Path, sample: Sample) -> Any:
    path = folder / "s.csv"
    path.write_text("n,label\n" + "".join(f"{n},{'few' if n % 10 == 0 else 'many'}\n" for n in range(1000)))
    return CsvFile(path=str(path), target="label", sample=sample).load()


def test_a_sample_of_each_class_is_drawn_over_the_whole_file(tmp_path: Path) -> None:
    table = sampled(tmp_path, Sample(per_class=60))
    assert Counter(table.target.tolist()) == {"few": 60, "many": 60}
    few = table.target == "few"
    assert (table.x[few] % 10 == 0).all()  # rows keep their labels
    assert (table.x[~few] % 10 != 0).all()
    assert len(set(table.x.ravel().tolist())) == 120
    assert abs(table.x.mean() - 500) < 100  # not the first ones
    assert table.report["rows_met"] == {"few": 100, "many": 900}
    again, other = sampled(tmp_path, Sample(per_class=60)), sampled(tmp_path, Sample(per_class=60, seed=1))
    assert np.array_equal(table.x, again.x)
    assert not np.array_equal(table.x, other.x)


def test_classes_are_made_even_by_leaving_out_or_by_repeating(tmp_path: Path) -> None:
    under = sampled(tmp_path, Sample(balance="under"))
    assert Counter(under.target.tolist()) == {"few": 100, "many": 100}
    over = sampled(tmp_path, Sample(per_class=200, balance="over"))
    assert Counter(over.target.tolist()) == {"few": 100, "many": 200}
    pytest.importorskip("sklearn")
    y, (train, validation, held_out) = classification.divide(over, Training(), classes=["few", "many"])
    assert np.bincount(y[train]).tolist() == [y[train].sum()] * 2
    # repeated in training alone, and never seen elsewhere
    assert len(set(validation)) == len(validation)
    assert not set(train) & (set(validation) | set(held_out))
