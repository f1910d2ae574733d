"""What the type of a struct says of its fields: kind, range, default and description; and a value held against it.

The command line's options, the messages about a wrong setting and the reference pages are all made of this.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

_NAMES = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path", Any: "anything"}
_PLURALS = {int: "integers", float: "numbers", bool: "truth values", str: "texts", Path: "paths", Any: "anything"}

_BOUNDS = ("ge", "gt", "le", "lt", "min_length")


class Field(msgspec.Struct, frozen=True):
    """One field of a struct; `fields_of` makes them."""

    name: str
    annotation: Any
    """its type as it was written"""
    default: Any
    """msgspec.NODEFAULT where a value must be given"""
    kind: Any
    """the type without its bounds and without None"""
    optional: bool
    """whether None is a value"""
    bounds: dict[str, Any]
    """those that are set, of `ge`, `gt`, `le`, `lt` and `min_length`"""
    description: str
    """what `Meta` says of it"""
    extra: dict[str, Any]
    """the `extra` of `Meta`"""

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a Literal; of all else none."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    def expects(self) -> str:
        """In words for an error: `an integer, 0 to 65535`."""
        words = kind_words(self.annotation)
        if not self.choices and self.kind not in (bool, Any):
            words = f"{'an' if words[0] in 'aeioAEIO' else 'a'} {words}"
        within = range_words(self.annotation)
        return f"{words}, {within}" if within else words

    def convert(self, value: Any) -> Any:
        """The value as the field's type. Raises ValueError saying what was expected.

        Where the `Meta` has `alone`, a text that stands alone is a list of one.
        """
        if self.extra.get("alone") and isinstance(value, str):
            value = (value,)
        try:
            return msgspec.convert(value, self.annotation, dec_hook=_from_text)
        except msgspec.ValidationError:
            raise ValueError(f"expected {self.expects()}; got {value!r}") from None


@functools.cache
def fields_of(struct: type[msgspec.Struct]) -> tuple[Field, ...]:
    """The struct's fields in their order.

    >>> class Address(msgspec.Struct):
    ...     port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    >>> fields_of(Address)[0].convert(70000)
    Traceback (most recent call last):
    ValueError: expected an integer, 0 to 65535; got 70000
    """
    return tuple(_field(one) for one in msgspec.structs.fields(struct))


def _field(one: msgspec.structs.FieldInfo) -> Field:
    kind, optional, metas = _unwrapped(one.type)
    default = one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
    description = " ".join(meta.description for meta in metas if meta.description)
    extra = {key: value for meta in metas if meta.extra for key, value in meta.extra.items()}
    return Field(one.name, one.type, default, kind, optional, _bounds(metas), description, extra)


def kind_words(annotation: Any, names: Mapping[Any, str] = MappingProxyType({}), *, plural: bool = False) -> str:
    """`integer`, `list of paths`, `cpu or cuda`; a struct is called by its name, or what `names` calls it."""
    kind, _, _ = _unwrapped(annotation)
    known = {**(_PLURALS if plural else _NAMES), **names}
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in known:
        return known[kind]
    if origin is Literal:
        return _or([str(choice) for choice in arguments])
    if origin in (tuple, list):
        return f"list of {kind_words(arguments[0], names, plural=True)}"
    if origin is dict:
        return f"table of {kind_words(arguments[1], names, plural=True)} by name"
    if origin in (types.UnionType, Union):
        return _or([kind_words(member, names) for member in arguments if member is not type(None)])
    return str(getattr(kind, "__name__", kind))


def range_words(annotation: Any) -> str:
    """`0 to 65535`, `at least 1`, `above 0, below 1`; empty where there are no bounds. Of a list: of its items."""
    kind, _, metas = _unwrapped(annotation)
    if get_origin(kind) in (tuple, list):
        each = range_words(get_args(kind)[0])
        least = _bounds(metas).get("min_length")
        return ", ".join(filter(None, [f"each {each}" if each else "", f"{least} or more of them" if least else ""]))
    found = _bounds(metas)
    if "ge" in found and "le" in found:
        return f"{_number(found['ge'])} to {_number(found['le'])}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(f"{word} {_number(found[name])}" for name, word in words.items() if name in found)


def _from_text(kind: Any, value: Any) -> Any:
    # The one type of ours that msgspec does not know is Path.
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise TypeError(f"no {kind}")


def _unwrapped(annotation: Any) -> tuple[Any, bool, list[msgspec.Meta]]:
    """The type without `Annotated` and None; whether None was there; every `Meta` around it. A union stays one."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *around = get_args(annotation)
        kind, optional, metas = _unwrapped(inner)
        return kind, optional, [*metas, *(one for one in around if isinstance(one, msgspec.Meta))]
    if origin is types.UnionType or origin is Union:
        members = [member for member in get_args(annotation) if member is not type(None)]
        optional = len(members) < len(get_args(annotation))
        if len(members) == 1:
            kind, _, metas = _unwrapped(members[0])
            return kind, optional, metas
        return annotation, optional, []
    return annotation, False, []


def _bounds(metas: list[msgspec.Meta]) -> dict[str, Any]:
    return {name: value for meta in metas for name in _BOUNDS if (value := getattr(meta, name)) is not None}


def _or(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
