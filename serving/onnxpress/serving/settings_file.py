"""A server's settings from a configuration file, with what was given elsewhere put over it.

The file is JSON, TOML or YAML, a table for each group:

    path: models
    address: {host: 0.0.0.0, port: 8080}
    limits: {max_body: 1048576}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from onnxpress.core.errors import UsageError
from onnxpress.core.fields import Field, fields_of
from onnxpress.core.spelling import did_you_mean
from onnxpress.serving.settings import GROUPS, ServerSettings

_FIELDS: dict[str, dict[str, Field]] = {
    "": {field.name: field for field in fields_of(ServerSettings) if field.name not in GROUPS},
    **{group: {field.name: field for field in fields_of(struct)} for group, struct in GROUPS.items()},
}
"""group → its fields; the empty name holds those that are in no group"""


def load(file: Path | None = None, given: Mapping[str, Any] | None = None) -> ServerSettings:
    """The settings in `file`, if any, with those in `given` (name of a field → value) put over them.

    A relative path in the file is taken from the file's folder. Raises UsageError with the file and the place in it,
    for an unknown name with the one that was probably meant.

    >>> load(None, {"port": 0}).address.port
    0
    """
    values = _read(file) if file is not None else {}
    places = {name: group for group, fields in _FIELDS.items() for name in fields}
    for name, value in (given or {}).items():
        values.setdefault(places[name], {})[name] = value
    platform = values.get("answers", {}).get("platform", "none")
    if platform != "none":
        import os

        from onnxpress.serving import platforms

        given_path = values.get("", {}).get("path") is not None
        for group, fields in platforms.defaults(platform, os.environ, path_given=given_path).items():
            values[group] = {**fields, **values.get(group, {})}
    top = values.pop("", {})
    return ServerSettings(**top, **{group: GROUPS[group](**fields) for group, fields in values.items()})


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Group → field → checked value, of those that the file has."""
    from onnxpress.core.documents import read_document

    document = read_document(file)
    if document is None:  # YAML without a value: all of it is comments
        return {}
    if not isinstance(document, dict):
        raise UsageError("not a configuration: expected tables such as address and limits", where=str(file))
    found: dict[str, dict[str, Any]] = {}
    for key, value in document.items():
        if key not in GROUPS:
            found.setdefault("", {})[key] = _value(file, "", str(key), value)
        elif isinstance(value, dict):
            found[key] = {name: _value(file, key, str(name), one) for name, one in value.items()}
        else:
            hint = f"it has: {', '.join(_FIELDS[key])}"
            raise UsageError(f"{key}: expected a table; got {value!r}", where=str(file), hint=hint)
    return found


def _value(file: Path, group: str, name: str, value: Any) -> Any:
    shown = f"{group}.{name}" if group else name
    field = _FIELDS[group].get(name)
    if field is None:
        raise UsageError(f"{shown}: there is no such setting", where=str(file), hint=_hint(group, name))
    try:
        found = field.convert(value)
    except ValueError as error:
        raise UsageError(f"{shown}: {error}", where=str(file)) from None
    if field.kind is Path and found is not None:
        return file.parent / found
    return tuple(file.parent / one for one in found) if Path in get_args(field.kind) else found


def _hint(group: str, name: str) -> str:
    """Where a setting of that name stands, if there is one; else which are near."""
    elsewhere = [other for other, fields in _FIELDS.items() if other and name in fields]
    if elsewhere:
        return f"it is {elsewhere[0]}.{name}"
    known = list(_FIELDS[group]) + ([] if group else list(GROUPS))
    return did_you_mean(name.replace("-", "_"), known, "there are")
