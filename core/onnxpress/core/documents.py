"""Documents that people write: JSON, YAML or TOML, by the file's name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from onnxpress.core.errors import MissingExtra, UsageError

_EXPONENT = r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+"


def read_document(path: Path) -> Any:
    """What the file holds, as dicts, lists and plain values. `.json` is JSON, `.toml` is TOML, all else is YAML.

    Raises UsageError with file, line and column of the first fault, MissingExtra for YAML where pyyaml is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"is not UTF-8 text: {error}", where=str(path)) from None
    form = path.suffix.lower()
    if form == ".json":
        return _parse_json(text, path)
    return _parse_toml(text, path) if form == ".toml" else _parse_yaml(text, path)


def _parse_json(text: str, path: Path) -> Any:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"is not JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from None


def _parse_toml(text: str, path: Path) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its text ends with line and column
        raise UsageError(f"is not TOML: {error}", where=str(path)) from None


def _parse_yaml(text: str, path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingExtra(
            f"reading {path.name} needs the package yaml, which is not installed",
            hint="pip install pyyaml; a .json or .toml file needs no package",
        ) from None

    class Loader(yaml.SafeLoader):
        """YAML 1.1, except that 1e-3 is a number, as everybody expects."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_EXPONENT), list("-+0123456789"))
    try:
        return yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"is not YAML: {error.problem or error.context}", where=where) from None
    except yaml.YAMLError as error:
        raise UsageError(f"is not YAML: {error}", where=str(path)) from None
