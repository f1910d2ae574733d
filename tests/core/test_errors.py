"""Errors are a sentence for a person, with an exit code."""

from __future__ import annotations

import pickle

import pytest

from onnxpress.core import errors


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = errors.BadData("column 'age' is missing", where="rows.csv", hint="name it with --columns")
    assert str(error) == "rows.csv: column 'age' is missing\n  hint: name it with --columns"


def test_where_and_hint_are_left_out_when_unknown() -> None:
    assert str(errors.BadModel("torn")) == "torn"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.OnnxpressError, 1),
        (errors.UsageError, 2),
        (errors.MissingExtra, 1),
        (errors.BadData, 1),
        (errors.BadModel, 1),
        (errors.CorruptVersion, 1),
        (errors.NotEquivalent, 1),
        (errors.ServerError, 1),
    ],
)
def test_each_kind_has_its_exit_code_and_stands_in_the_drawn_tree(kind: type[errors.OnnxpressError], code: int) -> None:
    assert kind.exit_code == code
    assert f"{kind.__name__} " in (errors.__doc__ or "")


def test_an_error_survives_the_way_out_of_a_child_process() -> None:
    error = pickle.loads(pickle.dumps(errors.CorruptVersion("torn", where="models/a/1", hint="copy it again")))
    assert (error.what, error.where, error.hint) == ("torn", "models/a/1", "copy it again")
    error = pickle.loads(pickle.dumps(errors.ServerError("busy", where="http://host", hint="wait", status=503)))
    assert (error.what, error.where, error.hint, error.status) == ("busy", "http://host", "wait", 503)
