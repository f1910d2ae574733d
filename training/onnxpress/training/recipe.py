"""The recipe: one YAML or JSON file that says what to train, on what, and how; the same for both frameworks."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from onnxpress.core.errors import UsageError
from onnxpress.core.optional import require
from onnxpress.core.run import Framework
from onnxpress.training.data.sources import Data
from onnxpress.training.families import Family


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to fit, the same words for both frameworks. The optimiser is Adam (beta 0.9, 0.999; epsilon 1e-7)."""

    epochs: int = 200
    """at most; early stopping may end sooner"""
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 20
    """epochs without a better validation loss before stopping"""
    validation_share: float = 0.15
    """share of the rows that are not held out"""
    held_out_share: float = 0.25
    """share of all rows, never seen in training; metrics are of these"""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("validation_share", "held_out_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1")
        if not self.learning_rate > 0:
            raise ValueError("learning_rate must be positive")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `onnxpress train` reads."""

    name: str
    framework: Framework = "pytorch"
    model: Family
    data: Data
    training: Training = Training()


def load(path: Path, *, settings: Sequence[str] = (), framework: str | None = None) -> Recipe:
    """Read a recipe, with `key.path=value` settings and the framework put over it.

    Relative file names inside it are taken from the recipe's folder. Raises UsageError with the path of the bad field.
    """
    document = _read(path)
    for setting in settings:
        _set(document, setting)
    if framework is not None:
        document["framework"] = framework
    source = document.get("data")
    if isinstance(source, dict) and isinstance(source.get("path"), str):
        source["path"] = str(path.parent / source["path"])
    try:
        return msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise UsageError(str(error), where=str(path), hint=_near_field(str(error))) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
    try:
        if path.suffix == ".json":
            document = json.loads(content)
        else:
            yaml = require("yaml", needed_by="reading a YAML recipe")
            document = yaml.safe_load(content)
    except Exception as error:  # either parser's own error, which says line and column
        raise UsageError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(document, dict):
        raise UsageError("not a recipe: expected a mapping of fields", where=str(path), hint="see recipes/anomaly.yaml")
    return document


def _set(document: dict[str, Any], setting: str) -> None:
    """Put `training.epochs=5` into the document; the value is read as JSON, or as plain text where it is none."""
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise UsageError(f"cannot read --set {setting!r}", hint="write key=value, for example training.epochs=5")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    *parents, last = key.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise UsageError(f"--set {setting!r}: {parent!r} is not a group of fields")
    place[last] = value


def _near_field(message: str) -> str | None:
    """For an unknown field, the known one that it resembles."""
    if "unknown field" not in message:
        return None
    unknown = message.split("`")[1]
    kinds = [Recipe, Training, *(get_args(Family) or [Family]), *get_args(Data)]
    known = sorted({name for kind in kinds for name in kind.__struct_fields__})
    near = difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}"
