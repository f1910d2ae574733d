"""Indented JSON: readable, and the same document."""

from __future__ import annotations

import json

import msgspec
import pytest

from onnxpress.core.indented_json import indented


class Point(msgspec.Struct):
    x: float
    name: str = "å"


def test_a_document_is_indented_and_ends_with_a_newline() -> None:
    assert indented({"a": [1], "b": {}}) == b'{\n  "a": [\n    1\n  ],\n  "b": {}\n}\n'


def test_a_struct_is_its_fields_and_what_is_no_number_is_null() -> None:
    assert json.loads(indented([Point(float("nan")), Point(1.5, "b")])) == [
        {"x": None, "name": "å"},
        {"x": 1.5, "name": "b"},
    ]


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError):
        indented(object())
