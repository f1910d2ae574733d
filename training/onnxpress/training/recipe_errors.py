"""What is wrong with a recipe, said with the path of the field, and what was probably meant."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.core.spelling import did_you_mean

_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)


def wrong_recipe(
    error: msgspec.ValidationError, document: Any, kind: type[msgspec.Struct], *, where: str
) -> UsageError:
    """msgspec's `Expected `int`, got `str` - at `$.training.epochs`` → `where: $.training.epochs: expected int, …`.

    `document` is what was read and `kind` what it should have been; the hint lists what the place accepts.
    """
    match = _MESSAGE.fullmatch(str(error))
    assert match is not None  # the expression matches any text
    what, path = match["what"], match["path"] or "$"
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        place = _kinds_at(kind, path, document)
        names = [name for struct in place for name in _field_names(struct)]
        return UsageError(
            f"{path}: unknown field {unknown['name']!r}",
            where=where,
            hint=did_you_mean(unknown["name"], names, "it has"),
        )
    what = what.replace("`", "")
    return UsageError(
        f"{path}: {what[:1].lower()}{what[1:]}", where=where, hint=_value_hint(what, path, document, kind)
    )


def _value_hint(what: str, path: str, document: Any, kind: type[msgspec.Struct]) -> str | None:
    if what.startswith("Expected str, got "):
        return 'text that looks like a number or a truth value needs quotes: "0"'
    if not what.startswith("Invalid "):
        return None
    parent, _, last = path.rpartition(".")
    given = _value_at(document, path)
    allowed = [
        str(choice)
        for struct in _kinds_at(kind, parent, document)
        for choice in (
            [struct.__struct_config__.tag]
            if struct.__struct_config__.tag_field == last
            else _literals(next((field.type for field in msgspec.structs.fields(struct) if field.name == last), None))
        )
    ]
    return did_you_mean(str(given), allowed, "it may be") if allowed else None


def _value_at(document: Any, path: str) -> Any:
    for key in path.split(".")[1:]:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _kinds_at(kind: Any, path: str, document: Any) -> list[type[msgspec.Struct]]:
    """The structs that may stand at `path`: one, or the members of a union when its tag does not decide."""
    structs = list(_structs(kind))
    for key in path.split(".")[1:]:
        document = document.get(key) if isinstance(document, dict) else None
        structs = [
            struct
            for parent in structs
            for field in msgspec.structs.fields(parent)
            if field.name == key
            for struct in _structs(field.type)
        ]
        if isinstance(document, dict):
            tagged = [
                s for s in structs if document.get(s.__struct_config__.tag_field or "") == s.__struct_config__.tag
            ]
            structs = tagged or structs
    return structs


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    elif isinstance(kind, types.UnionType) or get_origin(kind) is Union:
        for member in get_args(kind):
            yield from _structs(member)


def _literals(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _field_names(struct: type[msgspec.Struct]) -> list[str]:
    tag_field = struct.__struct_config__.tag_field
    return [*([tag_field] if tag_field else []), *struct.__struct_fields__]
