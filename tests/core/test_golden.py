"""Golden samples come back as they went in, and differences are counted in noise floors."""

from __future__ import annotations

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core import golden
from onnxpress.core.errors import BadData, CorruptVersion
from onnxpress.core.golden import Golden, worst_multiple

DTYPES = ["bool", "int8", "int32", "int64", "uint8", "uint64", "float16", "float32", "float64"]
shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
numbers = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, shapes))
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda word: not word.endswith("\0"))
strings = arrays.arrays(object, shapes, elements=words)
tensors = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_/.:]{0,8}", fullmatch=True), numbers | strings, max_size=3)


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    def equal(a: np.ndarray, b: np.ndarray) -> bool:
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")

    return left.keys() == right.keys() and all(equal(value, right[name]) for name, value in left.items())


@settings(max_examples=60)
@given(st.lists(st.builds(Golden, inputs=tensors.filter(bool), outputs=tensors, floors=st.just({})), max_size=12))
def test_cases_come_back_in_order_with_dtype_shape_and_values(
    tmp_path_factory: pytest.TempPathFactory, cases: list[Golden]
) -> None:
    path = tmp_path_factory.mktemp("golden") / golden.FILE_NAME
    golden.write(path, cases)
    back = golden.read(path)
    assert len(back) == len(cases)
    assert all(same(a.inputs, b.inputs) and same(a.outputs, b.outputs) for a, b in zip(cases, back, strict=True))


def test_floors_come_back_too(tmp_path: Path) -> None:
    floors = {"y": np.array([1e-7, 2e-7])}
    golden.write(tmp_path / "golden.npz", [Golden({"x": np.zeros(2)}, {"y": np.zeros(2)}, floors)])
    (case,) = golden.read(tmp_path / "golden.npz")
    assert same(case.floors, floors)


def test_cases_are_in_the_order_of_their_numbers_whatever_the_order_in_the_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{f"{number}/input/x": np.array(number) for number in (10, 2, 0)})
    assert [int(case.inputs["x"]) for case in golden.read(tmp_path / "golden.npz")] == [0, 2, 10]


@pytest.mark.parametrize("word", ["a\0", None, b"bytes", 3])
def test_what_would_come_back_changed_is_refused_on_writing(tmp_path: Path, word: object) -> None:
    case = Golden({"name": np.array(["fine", word], object)}, {})
    with pytest.raises(BadData, match="0/input/name: cannot store"):
        golden.write(tmp_path / "golden.npz", [case])


def archive() -> bytes:
    buffer = io.BytesIO()
    inputs = {f"{number}/input/x": np.arange(50, dtype=np.float32) + number for number in range(3)}
    np.savez_compressed(buffer, allow_pickle=False, **inputs)
    return buffer.getvalue()


ARCHIVE = archive()


@settings(max_examples=200)
@given(cut=st.integers(0, len(ARCHIVE) - 1))
def test_a_torn_archive_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "golden.npz"
    path.write_bytes(ARCHIVE[:cut])
    with pytest.raises(CorruptVersion, match=r"golden\.npz: the golden samples cannot be read"):
        golden.read(path)


@settings(max_examples=400)
@given(place=st.integers(0, len(ARCHIVE) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_gives_samples_or_a_refusal_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("changed") / "golden.npz"
    path.write_bytes(ARCHIVE[:place] + bytes([byte]) + ARCHIVE[place + 1 :])
    with contextlib.suppress(CorruptVersion):
        golden.read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", b"\x93NUMPY\x01\x00"])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "golden.npz").write_bytes(content)
    with pytest.raises(CorruptVersion):
        golden.read(tmp_path / "golden.npz")


def test_an_array_of_several_pieces_comes_back_and_its_checksum_is_held_against_it(tmp_path: Path) -> None:
    path, value = tmp_path / "golden.npz", np.arange(200_000, dtype=np.float32)
    golden.write(path, [Golden({"x": value}, {"y": value})])
    (case,) = golden.read(path)
    assert (case.inputs["x"] == value).all()
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\1\2")
    content[entry + 16] ^= 1  # the CRC in the directory
    path.write_bytes(content)
    with pytest.raises(CorruptVersion, match="CRC"):
        golden.read(path)


def test_a_plain_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "golden.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(CorruptVersion):
        golden.read(tmp_path / "golden.npz")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{"0/input/x": np.array([{}], object)})
    with pytest.raises(CorruptVersion):
        golden.read(tmp_path / "golden.npz")


def test_an_absent_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptVersion):
        golden.read(tmp_path / "golden.npz")


def multiple(expected: object, answer: object, floor: object = None, dtype: str = "float32") -> float:
    case = Golden({}, {"y": np.array(expected, dtype)}, {} if floor is None else {"y": np.array(floor, np.float64)})
    return worst_multiple(case, {"y": np.array(answer, dtype)})["y"]


def test_the_error_is_counted_in_floors_and_the_worst_element_counts() -> None:
    assert multiple([1.0, 2.0], [1.0 + 2**-20, 2.0 + 2**-20], floor=[2**-20, 2**-22]) == 4.0


def test_equal_is_zero_even_where_the_floor_is_zero() -> None:
    assert multiple([1.0, 2.0], [1.0, 2.0]) == 0.0
    assert multiple([1.0], [1.0], floor=[0.0]) == 0.0


def test_any_difference_without_a_floor_is_infinite() -> None:
    assert multiple([1.0], [np.nextafter(np.float32(1), np.float32(2))]) == math.inf


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_equals_nan_and_an_infinity_itself(value: float) -> None:
    assert multiple([value], [value], floor=[1e-7]) == 0.0


@pytest.mark.parametrize(
    ("expected", "answer"),
    [(math.nan, 1.0), (1.0, math.nan), (math.inf, -math.inf), (math.inf, 1e30), (1.0, math.inf), (math.nan, math.inf)],
)
def test_a_value_of_another_kind_is_infinitely_far(expected: float, answer: float) -> None:
    assert multiple([expected], [answer], floor=[1.0]) == math.inf


def test_integers_booleans_and_strings_must_be_equal() -> None:
    assert multiple([1, 2], [1, 2], dtype="int64") == 0.0
    assert multiple([1, 2], [1, 3], dtype="int64") == math.inf
    assert multiple([True, False], [True, True], dtype="bool") == math.inf
    assert multiple(["a", ""], ["a", ""], dtype="object") == 0.0
    assert multiple(["a", ""], ["a", "b"], dtype="object") == math.inf


def test_a_near_tie_may_flip_only_where_it_is_marked() -> None:
    assert multiple([True, False], [True, True], floor=[0, 1], dtype="bool") == 0.0
    assert multiple([True, False], [False, False], floor=[0, 1], dtype="bool") == math.inf


def test_large_integers_are_not_compared_as_floats() -> None:
    assert multiple([2**60], [2**60 + 1], dtype="int64") == math.inf


def test_nothing_differs_in_an_empty_output() -> None:
    assert multiple(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0


def test_shape_dtype_and_presence_count() -> None:
    case = Golden({}, {"y": np.zeros((2, 1), np.float32)}, {"y": np.ones((2, 1))})
    for answers in ({}, {"y": np.zeros(2, np.float32)}, {"y": np.zeros((2, 1), np.float64)}):
        assert worst_multiple(case, answers) == {"y": math.inf}
