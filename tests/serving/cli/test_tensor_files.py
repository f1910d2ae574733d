"""Questions to a model, read from files: several inputs, columns by name, and what is wrong said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
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


TEXT = [parse_spec("text:string[batch]")]
MIXED = [parse_spec("id:int64[batch]"), parse_spec("x:float32[batch,2]"), parse_spec("ok:bool[batch]")]


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a.com"}, {"text": "b.org"}]',
        '{"text": ["a.com", "b.org"]}',
        '["a.com", "b.org"]',
        '{"instances": [{"text": "a.com"}, {"text": "b.org"}]}',
        '{"instances": ["a.com", {"b64": "Yi5vcmc="}]}',
        '{"inputs": {"text": ["a.com", "b.org"]}}',
        '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a.com", "b.org"]}]}',
    ],
)
def test_every_form_of_json_asks_the_same(content: str) -> None:
    assert from_json(content.encode(), TEXT, "q")["text"].tolist() == ["a.com", "b.org"]


def test_records_of_several_inputs_and_a_lone_one() -> None:
    records = '[{"x": [1, null], "id": 9007199254740993, "ok": true}, {"ok": false, "id": -1, "x": [NaN, -Infinity]}]'
    feeds = from_json(records.encode(), MIXED, "q")
    assert feeds["id"].tolist() == [9007199254740993, -1]
    assert feeds["ok"].tolist() == [True, False]
    np.testing.assert_array_equal(feeds["x"], np.array([[1, np.nan], [np.nan, -np.inf]], np.float32))
    assert from_json(b'{"x": [1, 2], "id": 3, "ok": true}', MIXED, "q")["id"].tolist() == [3]
    assert from_json(b'[{"text": "a"}]', TEXT, "q")["text"].tolist() == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "NaN", "age": NaN}, {"text": null, "age": null}, {"text": NaN, "age": 3}]',
        '{"text": ["NaN", null, NaN], "age": [null, NaN, 3]}',
        '{"instances": [{"text": "NaN", "age": NaN}, {"text": null, "age": null}, {"text": "", "age": 3}]}',
    ],
)
def test_a_missing_value_is_nan_among_numbers_and_the_empty_text_among_texts(content: str) -> None:
    feeds = from_json(content.encode(), [*TEXT, parse_spec("age:float32[batch]")], "q")
    assert feeds["text"].tolist() == ["NaN", "", ""]
    np.testing.assert_array_equal(feeds["age"], np.array([np.nan, np.nan, 3], np.float32))


@pytest.mark.parametrize(
    ("specs", "content", "says"),
    [
        (TEXT, '[{"name": "a"}]', "record 0: there is no input 'name'; the model takes text"),
        (TEXT, '[{"text": "a"}, {}]', "record 1: the input 'text' is missing"),
        (TEXT, '[{"text": "a"}, "b"]', "record 1 is no object"),
        (TEXT, '[{"text": {"text": "a"}}]', "are no strings"),
        (TEXT, "[1, 2]", "are no strings: 1 is among them"),
        (TEXT, "[true]", "are no strings"),
        (TEXT, "[null]", "are no strings"),
        (TEXT, "[NaN]", "are no strings"),
        (MIXED, '[{"x": [1, 2], "id": 1.0, "ok": true}]', "are no int64"),
        (MIXED, '[{"x": [1, 2], "id": null, "ok": true}]', "are no int64: null is among them"),
        (MIXED, '[{"x": [1, 2], "id": true, "ok": true}]', "are no int64"),
        (MIXED, '[{"x": [1, "2"], "id": 1, "ok": true}]', "are no float32"),
        (MIXED, '[{"x": [1, 2], "id": 1, "ok": 1}]', "are no bool"),
        (MIXED, '[{"x": [1, 2], "id": 1, "ok": true}, {"x": [1], "id": 1, "ok": true}]', "differ in length"),
        (TEXT, '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [1]}]}', "are no strings"),
        (TEXT, '{"inputs": [{"name": "text", "datatype": "FP32", "shape": [1], "data": [1]}]}', "it must be BYTES"),
        (TEXT, '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["a"]}]}', "reshape"),
        (
            TEXT,
            '{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}], "outputs": ["y"]}',
            "every output is answered here",
        ),
    ],
)
def test_no_value_is_taken_for_another(specs: Any, content: str, says: str) -> None:
    with pytest.raises(BadData, match=says):
        from_json(content.encode(), specs, "q")


def test_arrays_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "q.NPZ"
    np.savez(path.with_suffix(".npz"), age=np.array([1.5, 2]), city=np.array([1, 2]))
    path.with_suffix(".npz").rename(path)
    with pytest.raises(BadData, match="'city'"):
        read_input(path, PERSON)
    ids = tmp_path / "ids.npz"
    np.savez(ids, id=np.array([1.5]))
    with pytest.raises(BadData, match="'id'"):
        read_input(ids, MIXED[:1])
