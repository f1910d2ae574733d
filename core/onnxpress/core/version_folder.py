"""`models/<name>/<version>/`: publishing a version whole or not at all, finding versions, checking their files.

The layout is Triton's and OpenVINO Model Server's. Everything is written in a hidden folder beside the versions,
flushed, and renamed into place: a reader sees the version complete or not at all, and a version is never overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from onnxpress.core import manifest as manifests
from onnxpress.core.errors import BadModel, CorruptVersion, UsageError
from onnxpress.core.files import sha256, sync_file, sync_folder
from onnxpress.core.manifest import FileDigest, Manifest

MODEL_FILE = "model.onnx"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")  # no leading zero, as in Triton; 18 digits fit a signed 64-bit integer
_STAGING = ".staging-"
_ABANDONED_SECONDS = 24 * 3600
_ATTEMPTS = 10_000


@dataclass
class Staging:
    """A version being written. Put files into `folder`, then call `publish` once."""

    folder: Path
    model_folder: Path
    published: Path | None = field(default=None, init=False)

    def publish(self, manifest: Manifest) -> tuple[Path, Manifest]:
        """Give the folder the next free version number; returns its path and the manifest as written.

        Safe under concurrent publishers: renaming onto an existing version fails, and the next number is tried.
        """
        files = {
            path.relative_to(self.folder).as_posix(): FileDigest(size=path.stat().st_size, sha256=sha256(path))
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path != self.folder / manifests.FILE_NAME
        }
        for name in files:
            sync_file(self.folder / name)
            sync_folder((self.folder / name).parent)
        version = max(versions(self.model_folder), default=0)
        for _ in range(_ATTEMPTS):
            version += 1
            manifest = msgspec.structs.replace(
                manifest, name=self.model_folder.name, version=version, files=files, format=manifests.FORMAT
            )
            path = self.folder / manifests.FILE_NAME
            path.write_bytes(manifests.encode(manifest))
            sync_file(path)
            sync_folder(self.folder)
            target = self.model_folder / str(version)
            if target.exists():
                continue
            try:
                self.folder.rename(target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    continue
                raise
            sync_folder(self.model_folder)
            self.published = target
            return target, manifest
        raise BadModel(f"no free version number after {_ATTEMPTS} attempts", where=str(self.model_folder))


@contextlib.contextmanager
def staging(repository: Path, name: str) -> Iterator[Staging]:
    """A folder to write a version of model `name` into; removed at the end unless it was published."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a model name",
            hint="letters, digits, '_', '-' and '.', at most 128, not starting with '.' or '-'",
        )
    model_folder = repository / name
    created = not model_folder.exists()
    folder = _make_staging_folder(model_folder)
    _remove_abandoned(model_folder)
    draft = Staging(folder=folder, model_folder=model_folder)
    try:
        yield draft
    finally:
        if draft.published is None:
            shutil.rmtree(folder, ignore_errors=True)
            if created:
                with contextlib.suppress(OSError):  # another publisher may be at work in it
                    model_folder.rmdir()


def _make_staging_folder(model_folder: Path) -> Path:
    folder = model_folder / f"{_STAGING}{os.getpid()}-{secrets.token_hex(4)}"
    for _ in range(_ATTEMPTS):
        model_folder.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileNotFoundError:
            continue  # another publisher, which failed, removed the empty model folder in between
        return folder
    raise BadModel(f"the model folder vanished {_ATTEMPTS} times while it was written", where=str(model_folder))


def _remove_abandoned(model_folder: Path) -> None:
    """Remove what killed publishers left behind, once it is a day old."""
    for path in model_folder.glob(f"{_STAGING}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def versions(model_folder: Path) -> dict[int, Path]:
    """version number → folder, ascending, for every numeric subfolder that holds a model."""
    folders = {}
    if model_folder.is_dir():
        for path in model_folder.iterdir():
            if _VERSION.fullmatch(path.name) and (path / MODEL_FILE).is_file():
                folders[int(path.name)] = path
    return dict(sorted(folders.items()))


def read_manifest(folder: Path) -> Manifest | None:
    """The version's manifest, or None where there is none (a model made elsewhere)."""
    path = folder / manifests.FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return manifests.decode(content, where=str(path))


def check_files(folder: Path, manifest: Manifest, *, digests_later: Collection[str] = ()) -> None:
    """Raise CorruptVersion, naming the file, if a file is missing or is not the one that was published.

    Of the files named in `digests_later` only the size is looked at.
    """
    hint = "copy or export the version again"
    for name, digest in manifest.files.items():
        path = folder / name
        if ".." in path.parts[len(folder.parts) :] or Path(name).is_absolute():
            raise CorruptVersion(f"{name} lies outside the version folder", where=str(folder), hint=hint)
        if not path.is_file():
            raise CorruptVersion(f"{name} is missing", where=str(folder), hint=hint)
        if path.stat().st_size != digest.size:
            raise CorruptVersion(
                f"{name} has {path.stat().st_size} bytes, the manifest says {digest.size}", where=str(folder), hint=hint
            )
        if name not in digests_later and sha256(path) != digest.sha256:
            raise CorruptVersion(f"{name} is not the file that was published (SHA-256)", where=str(folder), hint=hint)


@dataclass(frozen=True)
class Located:
    """What a path holds: the form it was given in, and each model's versions as version number → .onnx file."""

    form: Literal["file", "version", "model", "repository"]
    models: dict[str, dict[int, Path]]


def locate(path: Path) -> Located:
    """Find the models under a `.onnx` file, a version folder, a model folder or a repository.

    Raises BadModel where there is none, saying what was looked for.
    """
    if path.is_file():
        if path.suffix != ".onnx":
            raise BadModel("not an .onnx file", where=str(path))
        if path.name == MODEL_FILE and (path.parent / manifests.FILE_NAME).is_file():
            return locate(path.parent)
        return Located("file", {path.stem: {1: path}})
    if not path.exists():
        raise BadModel("no such file or folder", where=str(path))
    path = path.resolve()
    if (path / MODEL_FILE).is_file():
        manifest = read_manifest(path)
        if manifest is not None:
            return Located("version", {manifest.name: {manifest.version: path / MODEL_FILE}})
        if _VERSION.fullmatch(path.name):
            return Located("version", {path.parent.name: {int(path.name): path / MODEL_FILE}})
        return Located("version", {path.name: {1: path / MODEL_FILE}})
    own = versions(path)
    if own:
        return Located("model", {path.name: _model_files(own)})
    models = {
        folder.name: _model_files(numbered)
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and (numbered := versions(folder))
    }
    if not models:
        raise BadModel(
            "no model here",
            where=str(path),
            hint=f"expected {MODEL_FILE}, <version>/{MODEL_FILE} or <name>/<version>/{MODEL_FILE}; "
            "publish one with onnxpress export",
        )
    return Located("repository", models)


def locate_one(path: Path) -> tuple[str, int, Path]:
    """The one model that `path` means, at its latest version: (name, version, .onnx file)."""
    located = locate(path)
    if len(located.models) > 1:
        raise UsageError(
            f"there are {len(located.models)} models here: {', '.join(located.models)}",
            where=str(path),
            hint="name one",
        )
    ((name, numbered),) = located.models.items()
    version = max(numbered)
    return name, version, numbered[version]


def _model_files(folders: dict[int, Path]) -> dict[int, Path]:
    return {version: folder / MODEL_FILE for version, folder in folders.items()}
