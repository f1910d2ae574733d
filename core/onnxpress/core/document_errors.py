"""What is wrong with a document that a person wrote, with the path of the field, and what was probably meant."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.core.spelling import did_you_mean

_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field (.*)", re.DOTALL)
_KEY = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)


def split_message(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says is wrong, and where: `$`, or the path of a field.

    >>> split_message(msgspec.ValidationError("Expected `int`, got `str` - at `$.training.epochs`"))
    ('Expected `int`, got `str`', '$.training.epochs')
    """
    match = _MESSAGE.fullmatch(str(error))
    assert match is not None  # the expression matches any text
    return match["what"], match["path"] or "$"


def wrong_document(
    error: msgspec.ValidationError, document: Any, kind: type[msgspec.Struct], *, where: str
) -> UsageError:
    """msgspec's `Expected `int`, got `str` - at `$.training.epochs`` → `where: $.training.epochs: expected int, …`.

    `document` is what was read and `kind` what it should have been; the hint lists what the place accepts.
    """
    what, path = split_message(error)
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
    if what.startswith(("Expected str, got ", "Expected str | null, got ")):
        return 'text that looks like a number or a truth value needs quotes: "0"'
    missing = _MISSING.fullmatch(what)
    if missing is not None:
        place = _kinds_at(kind, path, document)
        tags = [
            str(struct.__struct_config__.tag) for struct in place if struct.__struct_config__.tag_field == missing[1]
        ]
        if tags:
            return f"it may be: {', '.join(tags)}"
        return f"it has: {', '.join(dict.fromkeys(name for struct in place for name in _field_names(struct)))}"
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
            else _literals(
                next((field.type for field in msgspec.structs.fields(struct) if field.encode_name == last), None)
            )
        )
    ]
    return did_you_mean(str(given), allowed, "it may be") if allowed else None


def check_fields(document: Any, kind: Any, *, where: str, path: str = "$") -> None:
    """Raise UsageError for a field that no struct at its place has: msgspec passes over it where it is not told not to.

    Values are not looked at: conversion does that, and `wrong_document` says what it found.
    """
    if isinstance(document, list):
        for number, item in enumerate(document):
            check_fields(item, kind, where=where, path=f"{path}[{number}]")
        return
    structs = _tagged(list(_structs(kind)), document)
    if not isinstance(document, dict) or not structs:
        return
    names = list(dict.fromkeys(name for struct in structs for name in _field_names(struct)))
    for key, value in document.items():
        if key not in names:
            raise UsageError(
                f"{path}: unknown field {key!r}", where=where, hint=did_you_mean(str(key), names, "it has")
            )
        for struct in structs:
            for field in msgspec.structs.fields(struct):
                if field.encode_name == key:
                    check_fields(value, field.type, where=where, path=f"{path}.{key}")


def _keys(path: str) -> list[str | int]:
    """`$.before[0].step` → before, 0, step."""
    return [name or (int(place) if place.isdigit() else 0) for name, place in _KEY.findall(path)]


def _value_at(document: Any, path: str) -> Any:
    for key in _keys(path):
        document = _item(document, key)
    return document


def _item(document: Any, key: str | int) -> Any:
    if isinstance(key, int):
        return document[key] if isinstance(document, list) and key < len(document) else None
    return document.get(key) if isinstance(document, dict) else None


def _kinds_at(kind: Any, path: str, document: Any) -> list[type[msgspec.Struct]]:
    """The structs that may stand at `path`: one, or the members of a union when its tag does not decide."""
    structs = _tagged(list(_structs(kind)), document)
    for key in _keys(path):
        document = _item(document, key)
        if isinstance(key, str):
            structs = [
                struct
                for parent in structs
                for field in msgspec.structs.fields(parent)
                if field.encode_name == key
                for struct in _structs(field.type)
            ]
        structs = _tagged(structs, document)
    return structs


def _tagged(structs: list[type[msgspec.Struct]], document: Any) -> list[type[msgspec.Struct]]:
    """Those whose tag the document has; all of them where it has none's."""
    if not isinstance(document, dict):
        return structs
    tagged = [s for s in structs if document.get(s.__struct_config__.tag_field or "") == s.__struct_config__.tag]
    return tagged or structs


def _structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type is, is one of, or is a list of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    elif isinstance(kind, types.UnionType) or get_origin(kind) in (Union, Annotated, list, tuple):
        for member in get_args(kind):
            yield from _structs(member)


def _literals(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _field_names(struct: type[msgspec.Struct]) -> list[str]:
    tag_field = struct.__struct_config__.tag_field
    return [*([tag_field] if tag_field else []), *struct.__struct_encode_fields__]
