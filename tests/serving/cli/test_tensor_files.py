"""Questions to a model, read from files: several inputs, columns by name, and what is wrong said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.core.errors import BadData
from onnxpress.core.tensors import parse_spec
from onnxpress.serving.cli.tensor_files import from_json, read_input

PERSON = [parse_spec("age:float32[batch]"), parse_spec("city:string[batch]")]
ROWS = [parse_spec("x:float32[batch,2]")]


def test_columns_named_like_the_inputs_feed_them(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("city,unused,age\nOslo,1,30\nRome,2,41.5\n")
    feeds = read_input(path, PERSON)
    assert feeds["age"].tolist() == [30.0, 41.5]
    assert feeds["city"].tolist() == ["Oslo", "Rome"]


def test_all_columns_feed_the_features_of_a_single_input(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    assert read_input(path, ROWS)["x"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[1, 2]", "the model takes age, city; give an object with those names"),
        ('{"age": [1]}', "the input 'city' is missing; the model takes city:string"),
        ('{"age": [1], "city": ["a"], "name": ["b"]}', "there is no input 'name'; the model takes age, city"),
        ('{"age": ["old"], "city": ["a"]}', "the values of 'age' are no float32"),
        ('{"inputs": [{"name": "age"}]}', "not a V2 inference request"),
        ("{", "not JSON"),
    ],
)
def test_what_does_not_fit_several_inputs_is_said(content: str, says: str) -> None:
    with pytest.raises(BadData, match=says):
        from_json(content.encode(), PERSON, "question.json")


def test_a_header_without_the_inputs_is_refused_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("years,town\n30,Oslo\n")
    with pytest.raises(BadData, match=r"people\.csv: the header names none of the inputs age, city"):
        read_input(path, PERSON)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"none\.json: cannot be read: No such file"):
        read_input(tmp_path / "none.json", ROWS)
