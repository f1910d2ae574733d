"""What a struct's types say of its fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from onnxpress.core.fields import fields_of, kind_words, range_words

Share = Annotated[float, Meta(gt=0, lt=1)]


class Inner(msgspec.Struct, frozen=True):
    a: int = 1


class Example(msgspec.Struct, kw_only=True):
    count: Annotated[int, Meta(ge=1, description="How many.", extra={"unit": "rows"})] | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    share: Share
    mode: Literal["cpu", "cuda"] = "cpu"
    path: Path | None = None
    files: tuple[Path, ...] = ()
    shares: Annotated[tuple[Share, ...], Meta(min_length=1)] = (0.5,)
    weights: Literal["balanced"] | dict[str, float] | None = None
    inner: Inner = Inner()
    on: bool = False
    anything: Any = None


FIELDS = {field.name: field for field in fields_of(Example)}


def test_what_stands_around_a_type_is_found_through_none() -> None:
    count = FIELDS["count"]
    assert (count.kind, count.optional, count.default) == (int, True, None)
    assert (count.description, count.extra, count.bounds) == ("How many.", {"unit": "rows"}, {"ge": 1})
    assert FIELDS["share"].default is msgspec.NODEFAULT
    assert not FIELDS["port"].optional
    assert FIELDS["mode"].choices == ("cpu", "cuda")
    assert FIELDS["path"].optional


@pytest.mark.parametrize(
    ("name", "kind", "within"),
    [
        ("count", "integer", "at least 1"),
        ("port", "integer", "0 to 65535"),
        ("share", "number", "above 0, below 1"),
        ("mode", "cpu or cuda", ""),
        ("path", "path", ""),
        ("files", "list of paths", ""),
        ("shares", "list of numbers", "each above 0, below 1, 1 or more of them"),
        ("weights", "balanced or table of numbers by name", ""),
        ("inner", "Inner", ""),
        ("on", "true or false", ""),
        ("anything", "anything", ""),
    ],
)
def test_kind_and_range_in_words(name: str, kind: str, within: str) -> None:
    annotation = FIELDS[name].annotation
    assert (kind_words(annotation), range_words(annotation)) == (kind, within)


def test_a_value_becomes_the_fields_type() -> None:
    assert FIELDS["path"].convert("a/b") == Path("a/b")
    assert FIELDS["path"].convert(None) is None
    assert FIELDS["files"].convert(["a", Path("b")]) == (Path("a"), Path("b"))
    assert repr(FIELDS["share"].convert(0.25)) == "0.25"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count", 0, "expected an integer, at least 1; got 0"),
        ("port", "80", "expected an integer, 0 to 65535; got '80'"),
        ("port", True, "expected an integer, 0 to 65535; got True"),
        ("share", float("nan"), "expected a number, above 0, below 1; got nan"),
        ("mode", "gpu", "expected cpu or cuda; got 'gpu'"),
        ("path", 5, "expected a path; got 5"),
        ("files", "a", "expected a list of paths; got 'a'"),
        ("on", 1, "expected true or false; got 1"),
        ("inner", 3, "expected an Inner; got 3"),
    ],
)
def test_a_wrong_value_is_said_in_words(name: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        FIELDS[name].convert(value)
    assert str(caught.value) == said
