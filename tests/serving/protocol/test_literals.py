"""Words for NaN and the infinities: found outside of strings only, in linear time, and nothing else is changed."""

from __future__ import annotations

import json
import math
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.serving.protocol.literals import levelled, marked, number

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet='NaInfinity\\\\"[] ', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def replaced(value: Any) -> Any:
    """A document with the numbers in place of the objects that stand for them."""
    if isinstance(value, list):
        return [replaced(one) for one in value]
    found = number(value)
    if found is not None:
        return found
    return {name: replaced(one) for name, one in value.items()} if isinstance(value, dict) else value


@given(JSON)
def test_python_reads_back_what_it_wrote(value: Any) -> None:
    text = json.dumps(value)
    strict = marked(text.encode())
    if strict is None:
        strict = text.encode()
    found = json.loads(strict, parse_constant=lambda word: pytest.fail(word))
    assert repr(replaced(found)) == repr(json.loads(text))


def test_what_has_no_such_word_is_left_alone() -> None:
    assert marked(b"[1, 2, nan, infinity]") is None
    assert marked(b'["NaN", {"Inf": "Infinity"}]') == b'["NaN", {"Inf": "Infinity"}]'
    assert marked(b"[NaNs, Infinit, Inf_]") == b"[NaNs, Infinit, Inf_]"


def test_objects_of_the_callers_own_are_no_numbers() -> None:
    for value in ({"number": "nan"}, {"number that JSON has not": "1"}, {"number that JSON has not": 1}, "nan", None):
        assert number(value) is None
    (found,) = json.loads(marked(b"[-Infinity]") or b"")
    assert number(found) == -math.inf


@pytest.mark.parametrize("part", [b"NaN,", b'"', b'\\"', b"-", b"Inf", b'"NaN\\\\', b'NaN\\"'])
def test_the_time_is_linear(part: bytes) -> None:
    def seconds(size: int) -> float:
        text = b"NaN" + part * (size // len(part))
        started = process_time()
        marked(text)
        return process_time() - started

    seconds(1000)
    assert seconds(2_000_000) < 60 * max(min(seconds(100_000) for _ in range(3)), 1e-3)


@given(st.lists(st.sampled_from(["NaN", "-Infinity", "Inf", '"NaN"', '"a\\"Inf"', "1", "[NaN]", '{"Inf":NaN}'])))
def test_numbers_in_place_of_words_move_nothing(items: list[str]) -> None:
    text = f"[{','.join(items)}]".encode()
    level = levelled(text)
    if level is None:
        assert b"NaN" not in text
        assert b"Inf" not in text
        return
    assert len(level) == len(text)
    found = json.loads(bytes(level))
    assert len(found) == len(items)
    assert [one for one in found if isinstance(one, str)] == [json.loads(one) for one in items if one[0] == '"']
