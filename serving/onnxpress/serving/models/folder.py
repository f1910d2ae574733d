"""What lies in the folder that is served: models, versions, which are wanted, and whether they changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import FILE_NAME as MANIFEST
from onnxpress.core.version_folder import Located, in_version_folder, survey
from onnxpress.serving.models import profiles, version_policy
from onnxpress.serving.models.version_policy import Selection

Signature = tuple[tuple[str, int, int], ...]
"""name, size and time of change of every file of a version: what tells whether it was changed"""
Loaded = TypeVar("Loaded")
Pick = Callable[[str, Mapping[int, Path]], int | None]
"""a model's name and versions → the one to serve instead of the latest; None: the latest"""


class Found(msgspec.Struct, frozen=True):
    """A version as it lies in the folder."""

    path: Path
    signature: Signature
    has_manifest: bool


class FoundModel(msgspec.Struct, frozen=True):
    """A model's versions as they lie in the folder, and which of them are wanted, or why that cannot be told."""

    versions: dict[int, Found]
    selection: Selection | str


class Folder:
    """A path with models, and the versions that are wanted where a model does not say so itself."""

    def __init__(self, path: Path, selection: Selection, pick: Pick | None = None) -> None:
        """Where the latest version of a model is wanted, `pick` may choose another of its versions instead."""
        self.path, self._selection, self._pick = path, selection, pick

    def look(self) -> tuple[dict[str, FoundModel], dict[str, str]]:
        """What lies in the folder now, nothing where nothing is; and what lies there and is no model, see `Located`.

        Raises OnnxpressError where that cannot be told.
        """
        if not os.path.lexists(self.path):
            return {}, {}
        located = survey(self.path)
        found = {name: FoundModel({}, located.skipped[name]) for name in located.unread}
        for name, versions in located.models.items():
            chosen: Selection | str
            try:
                chosen = self.selected(located, name)
            except BadModel as error:
                chosen = str(error)
            model = FoundModel({}, chosen)
            for version, path in versions.items():
                try:
                    one = Found(path, signature(path), (path.parent / MANIFEST).is_file())
                except (OSError, ValueError):
                    continue  # it went away meanwhile
                model.versions[version] = one
            if model.versions:
                found[name] = model
        return found, located.skipped

    def selected(self, located: Located, name: str) -> Selection:
        """Which versions of the model are wanted. Raises BadModel where its own file is wrong."""
        if located.form in ("file", "version"):
            return self._selection
        versions = located.models[name]
        any_version = next(iter(versions.values()))
        chosen = version_policy.read(any_version.parent.parent, self._selection)
        if self._pick is not None and chosen.named is None and chosen.latest == 1:
            picked = self._pick(name, versions)
            if picked is not None:
                return msgspec.structs.replace(chosen, named=frozenset({picked}))
        return chosen


def walk(
    chosen: Selection, versions: Mapping[int, Path], load: Callable[[int, Path], Loaded | None]
) -> dict[int, Loaded]:
    """Load the wanted versions downwards; for one of which `load` makes None, the one below takes its place."""
    loaded: dict[int, Loaded] = {}
    for version in sorted(versions, reverse=True):
        if chosen.wants(version, len(loaded)):
            one = load(version, versions[version])
            if one is not None:
                loaded[version] = one
    return loaded


def signature(model: Path) -> Signature:
    """Of every file beside a version's model.onnx, or of a lone .onnx file."""
    files = [path for path in model.parent.rglob("*") if path.is_file()] if in_version_folder(model) else [model]
    profile = profiles.path_of(model)
    if profile.is_file():
        files.append(profile)  # what a new one says is wanted at the next look
    stats = [
        (path.name if path == profile else path.relative_to(model.parent).as_posix(), path.stat())
        for path in sorted(files)
    ]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
