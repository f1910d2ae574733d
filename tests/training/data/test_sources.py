"""Tables come whole, or with the file, line and column of what is wrong."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import BadData
from onnxpress.training.data.sources import Bundled, CsvFile, JsonFile, Penguins, Vectors
from onnxpress.training.data.table import Reading


def csv_file(folder: Path, text: str, *, features: list[str] | None = None, target: str = "label") -> CsvFile:
    path = folder / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return CsvFile(path=str(path), target=target, features=features)


def test_a_bundled_table_has_names_numbers_and_labels() -> None:
    pytest.importorskip("sklearn")
    table = Bundled(table="breast_cancer").load()
    assert (table.x.shape, table.x.dtype) == ((569, 30), np.float32)
    assert len(table.feature_names) == 30
    assert {label: int((table.target == label).sum()) for label in ("benign", "malignant")} == {
        "benign": 357,
        "malignant": 212,
    }


def test_every_column_but_the_target_is_a_feature(tmp_path: Path) -> None:
    table = csv_file(tmp_path, "a,label,b\n1,x,2.5\n\n3,y,-4e-1\n").load()
    assert table.feature_names == ["a", "b"]
    assert (table.x.dtype, table.x.tolist()) == (np.float32, [[1, 2.5], [3, np.float32(-0.4)]])
    assert table.target.tolist() == ["x", "y"]


def test_named_features_come_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    table = csv_file(tmp_path, "id,a,b,label\nr1,1,2,x\n", features=["b", "a"]).load()
    assert table.feature_names == ["b", "a"]
    assert table.x.tolist() == [[2, 1]]


def test_quotes_line_ends_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    table = csv_file(tmp_path, '\ufeff"a","label"\r\n"1.5","x, y"\r\n').load()
    assert (table.feature_names, table.x.tolist(), table.target.tolist()) == (["a"], [[1.5]], ["x, y"])


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "", "the file is empty"),
        ("a,label\n", "", "there are no rows"),
        ("a,lable\n1,x\n", "", "no column 'label'"),
        ("label\nx\n", "", "no feature column"),
        ("a,a,label\n1,2,x\n", ":1", "2 columns are named 'a'"),
        ("a,label\n1,x\n2\n", ":3", "1 values where the header names 2 columns"),
        ("a,label\n1,x,9\n", ":2", "3 values where the header names 2 columns"),
        ("a,b,label\n1,1,x\n1,one,x\n", ":3", "'one' is no finite float32 number in column 'b'"),
        ("a,label\nnan,x\n", ":2", "'nan' is no finite float32 number in column 'a'"),
        ("a,label\n1e39,x\n", ":2", "'1e39' is no finite float32 number in column 'a'"),
        ("a,label\n ,x\n", ":2", "a number is missing in column 'a'"),
        ("a,label\n1,\n", ":2", "no label in column 'label'"),
        ('a,label\n1,"x\n', ":2", "is not CSV"),
        ('a,label\n1,"x\ny"\none,x\n', ":4", "'one'"),
    ],
)
def test_the_first_fault_is_named_with_its_place(text: str, place: str, message: str, tmp_path: Path) -> None:
    source = csv_file(tmp_path, text)
    with pytest.raises(BadData, match=message) as caught:
        source.load()
    assert caught.value.where == source.path + place


def test_a_misspelt_column_gets_its_neighbour_as_hint(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="did you mean 'lable'"):
        csv_file(tmp_path, "a,lable\n1,x\n").load()


def test_the_target_is_no_feature(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="is also a feature"):
        csv_file(tmp_path, "a,label\n1,2\n", features=["a", "label"]).load()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="No such file"):
        CsvFile(path=str(tmp_path / "none.csv"), target="label").load()
    (tmp_path / "latin.csv").write_bytes(b"a,label\n1,\xe9\n")
    with pytest.raises(BadData, match="not UTF-8"):
        CsvFile(path=str(tmp_path / "latin.csv"), target="label").load()


numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(rows=st.lists(st.tuples(numbers, numbers, st.text(st.characters(codec="utf-8"), min_size=1)), min_size=1))
def test_what_a_csv_writer_wrote_is_read_back_exactly(
    rows: list[tuple[float, float, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "label"])
        writer.writerows(rows)
    table = CsvFile(path=str(path), target="label").load()
    assert table.x.tolist() == [[a, b] for a, b, _ in rows]
    assert list(table.target) == [str(np.str_(label)) for *_, label in rows]


def test_a_large_file_is_not_held_as_python_numbers(tmp_path: Path) -> None:
    rows, columns = 20_000, 20
    line = ",".join(["0.125"] * columns) + ",x\n"
    source = csv_file(tmp_path, ",".join([*(f"c{n}" for n in range(columns)), "label"]) + "\n" + line * rows)
    tracemalloc.start()
    try:
        table = source.load()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table.x.shape == (rows, columns)
    # The numbers themselves, once more while their array grows, and the labels; lists of floats would take 20 times it.
    assert peak < 3 * table.x.nbytes


READING = Reading(numbers=("age",), texts=("town",), missing=True)
RECORDS = [{"age": 3, "town": "Bern", "label": "x"}, {"age": None, "town": "", "label": "y"}]


def json_file(folder: Path, content: str, name: str = "rows.json", **settings: str) -> JsonFile:
    path = folder / name
    path.write_text(content)
    return JsonFile(path=str(path), target="label", **settings)


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("rows.json", json.dumps(RECORDS), {}),
        ("rows.json", json.dumps({"data": {"rows": RECORDS}}), {"records": "data.rows"}),
        ("rows.jsonl", "\n\n".join(map(json.dumps, RECORDS)), {}),
    ],
)
def test_records_come_from_a_list_deep_inside_or_line_by_line(
    name: str, content: str, settings: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("ijson")
    table = json_file(tmp_path, content, name, **settings).load(READING)
    assert table.columns["town"].tolist() == ["Bern", ""]
    assert table.columns["age"][0] == 3
    assert np.isnan(table.columns["age"][1])
    assert table.target.tolist() == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "place", "message"),
    [
        ("rows.json", "[]", "", "there are no records"),
        ("rows.json", '[{"age": 1}]', ", record 1", "no column 'label'"),
        ("rows.json", '[{"age": 1, "label": "x", "town": "B"}, 7]', ", record 2", "'7' is no record"),
        ("rows.json", '[{"age": "old", "label": "x", "town": "B"}]', ", record 1", "'old' is no finite"),
        ("rows.json", '[{"age": 1, "label": "x", "town": 5}]', ", record 1", "5 in column 'town' is no text"),
        ("rows.json", '[{"age": 1, "label": "x", "town": "B"}, {"age"', "", "is not JSON after record 1"),
        ("rows.jsonl", '{"age": 1, "label": "x", "town": "B"}\n{', ":2", "is not JSON"),
    ],
)
def test_the_first_bad_record_is_named(name: str, content: str, place: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    source = json_file(tmp_path, content, name)
    with pytest.raises(BadData, match=message) as caught:
        source.load(READING)
    assert caught.value.where == source.path + place


def test_a_large_json_file_is_streamed(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    padding = "p" * 1000
    rows = 20_000
    path = tmp_path / "rows.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(rows):
            file.write(("," if number else "") + json.dumps({"n": number, "label": "x", "padding": padding}))
        file.write("]")
    assert path.stat().st_size > 20_000_000
    tracemalloc.start()
    try:
        table = JsonFile(path=str(path), target="label").load(Reading(numbers=("n",)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table.columns["n"].sum() == pytest.approx(rows * (rows - 1) / 2)
    assert peak < 2_000_000


def test_penguins_have_missing_numbers_and_words() -> None:
    pytest.importorskip("palmerpenguins")
    table = Penguins().load(Reading(numbers=("bill_length_mm",), texts=("island", "sex"), missing=True))
    assert len(table.target) == 344
    assert np.isnan(table.columns["bill_length_mm"]).sum() == 2
    assert set(table.columns["sex"]) == {"male", "female", ""}
    with pytest.raises(BadData, match=r"penguins\.csv:5: .*column 'bill_length_mm'"):
        Penguins().load(Reading(numbers=("bill_length_mm",)))


def test_values_to_predict_are_numbers() -> None:
    pytest.importorskip("sklearn")
    table = Bundled(table="diabetes").load(Reading(target="number"))
    assert (table.x.shape, table.target.dtype) == ((442, 10), np.float32)
    with pytest.raises(BadData, match="the target is a value"):
        Bundled(table="diabetes").load()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": np.zeros((2, 3))}, "holds vectors"),
        ({"vectors": np.zeros((2, 3)), "labels": np.array(["a"])}, r"shape \(2, 3\) with labels of shape \(1,\)"),
        ({"images": np.zeros((2, 3), np.uint8), "labels": np.array(["a", "b"])}, r"images of shape \(2, 3\)"),
        ({"images": np.zeros((1, 2, 2, 3)), "labels": np.array(["a"])}, "images of float64"),
        ({"images": np.zeros(1), "vectors": np.zeros(1), "labels": np.array(["a"])}, "holds images, vectors, labels"),
        ({"vectors": np.full((1, 2), np.nan), "labels": np.array(["a"])}, "row 0 of vectors is not finite"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(BadData, match=message):
        Vectors(path=str(tmp_path / "v.npz")).load()
