"""Questions in CSV of every dialect, what is wrong said with its line, and answers as CSV that reads back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core.errors import BadData
from onnxpress.core.tensors import TensorSpec, parse_spec
from onnxpress.serving.cli.csv_tables import read, written

PERSON = [parse_spec("age:float32[batch]"), parse_spec("city:string[batch]")]
COLUMNS = [parse_spec("age:int64[batch,1]"), parse_spec("member:bool[batch,1]")]
ROWS = [parse_spec("x:float32[batch,2]")]


def table(folder: Path, content: str | bytes, specs: list[TensorSpec], name: str = "t.csv") -> dict[str, Any]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return {name: value.tolist() for name, value in read(path, specs).items()}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("age,city\n30,Oslo\n41.5,Rome\n", "t.csv"),
        ("city;id;age\nOslo;1;30\nRome;2;41,5\n", "t.csv"),
        ("age\tcity\n30\tOslo\n41.5\tRome\n", "t.csv"),
        ("age\tcity\r\n30\tOslo\r\n41.5\tRome\r\n", "t.tsv"),
        ("age|city\n30|Oslo\n41.5|Rome", "t.csv"),
        ("age, city\n30, Oslo\n41.5, Rome\n", "t.csv"),
        ('age, city\n30, "Oslo"\n41.5, "Rome"\n', "t.csv"),
        ('"age","city"\r"30","Oslo"\r"41.5","Rome"\r', "t.csv"),
        ("\n\nage,city\n\n30,Oslo\n\n41.5,Rome\n\n\n", "t.CSV"),
        ("\ufeffage,city\n30,Oslo\n41.5,Rome\n", "t.csv"),
        ("age,city\n30,Oslo\n41.5,Rome\n".encode("utf-16"), "t.csv"),
        ("age,city\n 30 ,Oslo\n4.15e1,Rome\n", "t.csv"),
    ],
)
def test_every_dialect_says_the_same(tmp_path: Path, content: str | bytes, name: str) -> None:
    assert table(tmp_path, content, PERSON, name) == {"age": [30.0, 41.5], "city": ["Oslo", "Rome"]}


def test_texts_stay_what_they_are(tmp_path: Path) -> None:
    text = [parse_spec("text:string[batch]")]
    content = 'text\n"a, ""b"""\n007\n1.50\ntrue\nNA\n"two\nlines"\n" x "\nnan\n'
    cells = ['a, "b"', "007", "1.50", "true", "NA", "two\nlines", " x ", "nan"]
    assert table(tmp_path, content, text)["text"] == cells
    assert table(tmp_path, "text\na\n\nb\n\n\n", text)["text"] == ["a", "", "b"]  # in one column a blank line is a cell
    long = "x" * 300_000
    assert table(tmp_path, f"text\n{long}\n", text)["text"] == [long]


def test_what_is_missing(tmp_path: Path) -> None:
    found = table(tmp_path, "age,city\n,Oslo\nNaN,\nNA,x\n1,y\n", PERSON)
    assert np.isnan(found["age"]).tolist() == [True, True, True, False]
    assert found["city"] == ["Oslo", "", "x", "y"]
    with pytest.raises(
        BadData, match="2 of 3 cells in column 'age' are missing, and int64 has no missing value"
    ) as caught:
        table(tmp_path, "age,member\n1,true\n,true\n,true\n", COLUMNS)
    assert str(caught.value.where).endswith("t.csv:3")
    strict = TensorSpec(name="age", dtype="float32", shape=("batch",), refuses=("nan",))
    with pytest.raises(BadData, match="'age' takes no NaN"):
        table(tmp_path, "age\n1\nnan\n", [strict])


def test_numbers_and_bools_are_read_as_such(tmp_path: Path) -> None:
    found = table(tmp_path, "age,member\n9007199254740993,True\n-1,false\n0,1\n7,0\n", COLUMNS)
    assert found == {"age": [[9007199254740993], [-1], [0], [7]], "member": [[True], [False], [True], [False]]}


@pytest.mark.parametrize(
    ("content", "specs", "says", "line"),
    [
        ("age,member\n1.0,true\n", COLUMNS, "'1.0' in column 'age' is no int64", ":2"),
        ("age,member\n1,yes\n", COLUMNS, "'yes' in column 'member' is no bool", ":2"),
        ("age,member\n1_0,true\n", COLUMNS, "'1_0' in column 'age' is no int64", ":2"),
        ("age,member\n99999999999999999999,true\n", COLUMNS, "beyond its range", "t.csv"),
        ("age,city\n1,a\nold,b\n", PERSON, "'old' in column 'age' is no float32", ":3"),
        ("age,city\n1e39,a\n", PERSON, "beyond its range", "t.csv"),
        ("age,city\n1,5,a\n", PERSON, "3 values where the header has 2", ":2"),
        ("age,city\n1\n", PERSON, "1 values where the header has 2", ":2"),
        ('age,city\n1,"a\n2,b\n', PERSON, "no CSV", ":3"),
        ("age,age,city\n1,2,a\n", PERSON, "two columns 'age'", "t.csv"),
        ("age,town\n1,a\n", PERSON, "does not name the inputs city", "t.csv"),
        ("a,b\n1,2\n", PERSON, "names none of the inputs age, city", "t.csv"),
        ("", PERSON, "no rows", "t.csv"),
        ("age,city\n\n\n", PERSON, "no rows", "t.csv"),
        (b"age,city\n1,\xe9\n", PERSON, "cannot be read", "t.csv"),
        ("1.5,2\n3,4\n", ROWS, "the first line holds numbers", "t.csv"),
        (",a,b\n0,1,2\n", ROWS, "column 1 has no name", "t.csv"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, content: str | bytes, specs: list[TensorSpec], says: str, line: str
) -> None:
    with pytest.raises(BadData, match=says) as caught:
        table(tmp_path, content, specs)
    assert str(caught.value.where).endswith(line)


def test_features_by_their_order_or_their_names(tmp_path: Path) -> None:
    assert table(tmp_path, "a,b\n1,\n3,4\n", ROWS)["x"][1] == [3, 4]
    assert table(tmp_path, "0,1\n1,2\n", ROWS)["x"] == [[1, 2]]  # as pandas names columns that have no names
    assert table(tmp_path, "x_1,id,x_0\n1,9,2\n", ROWS)["x"] == [[2, 1]]
    assert table(tmp_path, "a,a\n1,2\n", ROWS)["x"] == [[1, 2]]


@given(
    st.dictionaries(
        st.sampled_from(["y", "z", "p q", 'a"b']),
        st.sampled_from(["bool", "int64", "uint64", "float16", "float32", "float64"]).flatmap(
            lambda dtype: arrays.arrays(dtype, st.tuples(st.just(3), st.integers(1, 2)))
        )
        | arrays.arrays(
            object, (3, 1), elements=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"))
        ),
        min_size=1,
    )
)
def test_answers_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, answers: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_bytes(written(answers, "t.csv"))
    dtypes = {name: "string" if value.dtype == object else str(value.dtype) for name, value in answers.items()}
    specs = [
        parse_spec(f"{name}_{number}:{dtypes[name]}[batch]")
        for name, value in answers.items()
        for number in range(value.shape[1])
    ]
    found = read(path, specs)
    for name, value in answers.items():
        back = np.stack([found[f"{name}_{number}"] for number in range(value.shape[1])], axis=1)
        np.testing.assert_array_equal(back, value)


def test_answers_have_a_column_for_each_value(tmp_path: Path) -> None:
    answers = {"label": np.array(["a", "b,c"], object), "p": np.array([[0.1, np.nan], [1, np.inf]], np.float32)}
    assert written(answers, "t.csv").decode() == 'label,p_0,p_1\na,0.1,\n"b,c",1.0,inf\n'
    deep = {"y": np.arange(4).reshape(1, 2, 2), "ok": np.array([True])}
    assert list(csv.reader(io.StringIO(written(deep, "t.csv").decode()))) == [
        ["y_0_0", "y_0_1", "y_1_0", "y_1_1", "ok"], ["0", "1", "2", "3", "true"],
    ]  # fmt: skip


@pytest.mark.parametrize("other", [np.float32(1).reshape(()), np.zeros(3, np.float32)])
def test_outputs_without_common_rows_are_refused(other: Any) -> None:
    with pytest.raises(BadData, match="not one row each"):
        written({"y": np.zeros(2, np.float32), "z": other}, "t.csv")
