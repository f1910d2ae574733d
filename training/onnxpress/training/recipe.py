"""The recipe: one YAML or JSON file that says what to train, on what, and how; the same for both frameworks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.document_errors import wrong_document
from onnxpress.core.documents import read_document
from onnxpress.core.errors import UsageError
from onnxpress.core.run import Framework
from onnxpress.training.data.sources import Data
from onnxpress.training.families import Family, Own
from onnxpress.training.settings import Training

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `onnxpress train` reads."""

    name: str
    """the run's, and after `-pytorch` or `-tensorflow` the published model's"""
    framework: Framework = "pytorch"
    """for a user's own model the default is the framework of what its factory returns"""
    model: Family
    """the network, by its family; or `module:attribute` of one's own"""
    data: Data
    """where the rows come from"""
    training: Training = Training()
    """how to fit"""
    domains: list[str] = []
    """the values that inputs of the published model take, as `age:[0,120]`; the server refuses all else"""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} cannot name a folder: letters, digits, '_', '-' and '.', at most 100")


def load(path: Path, *, settings: Sequence[str] = (), framework: str | None = None) -> Recipe:
    """Read a recipe, with `key.path=value` settings and the framework put over it.

    A file named in the recipe is taken from the recipe's folder, one named in a setting from the working directory.
    Raises UsageError with the file and the path of the bad field.
    """
    document = _read(path)
    _make_path_absolute(document, path.parent)
    for setting in settings:
        _set(document, setting)
    _make_path_absolute(document, Path.cwd())
    if framework is not None:
        document["framework"] = framework
    if isinstance(document.get("model"), str):
        document["model"] = {"family": "own", "build": document["model"]}
    try:
        recipe = msgspec.convert(document, Recipe)
    except msgspec.ValidationError as error:
        raise wrong_document(error, document, Recipe, where=str(path)) from None
    if isinstance(recipe.model, Own) and "framework" not in document:
        return msgspec.structs.replace(recipe, framework=recipe.model.framework())
    return recipe


def _make_path_absolute(document: dict[str, Any], folder: Path) -> None:
    # Absolute, so that the resolved recipe in a run folder still means the same file and trains again from there.
    source = document.get("data")
    if isinstance(source, dict):
        if "path" in source:
            source["path"] = _absolute(source["path"], folder)
        if isinstance(source.get("files"), dict):
            source["files"] = {label: _absolute(given, folder) for label, given in source["files"].items()}
    training = document.get("training")
    if isinstance(training, dict):
        teacher = training.get("teacher")
        if isinstance(teacher, dict) and "run" in teacher:
            teacher["run"] = _absolute(teacher["run"], folder)
        elif teacher is not None:
            training["teacher"] = _absolute(teacher, folder)
    model = document.get("model")
    if isinstance(model, dict) and isinstance(model.get("encoder"), str) and (folder / model["encoder"]).is_dir():
        model["encoder"] = str((folder / model["encoder"]).absolute())  # else it is the name of a package


def _absolute(given: Any, folder: Path) -> Any:
    if isinstance(given, list):
        return [_absolute(one, folder) for one in given]
    return str((folder / given).absolute()) if isinstance(given, str) else given


def _read(path: Path) -> dict[str, Any]:
    document = read_document(path)
    if not isinstance(document, dict):
        raise UsageError(
            "not a recipe: expected fields such as name, model and data",
            where=str(path),
            hint="see recipes/anomaly.yaml",
        )
    dated: dict[str, Any] = _with_dates_as_text(document)
    return dated


def _with_dates_as_text(value: Any) -> Any:
    """YAML takes 2024-01-31 for a date; fields want text."""
    if isinstance(value, dict):
        return {name: _with_dates_as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_dates_as_text(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date too


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
            raise UsageError(f"--set {setting!r}: {parent!r} is a value, not a group of fields")
    place[last] = value
