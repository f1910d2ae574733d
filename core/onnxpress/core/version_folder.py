"""`models/<name>/<version>/`: publishing a version whole or not at all, finding versions, checking their files.

The layout is Triton's and OpenVINO Model Server's. Everything is written in a hidden folder beside the versions,
flushed, and renamed into place: a reader sees the version complete or not at all, and a version is never overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

import msgspec

from onnxpress.core import manifest as manifests
from onnxpress.core.errors import BadModel, CorruptVersion, UsageError
from onnxpress.core.files import read_regular, sha256, sync_file, sync_folder
from onnxpress.core.manifest import FileDigest, Manifest

MODEL_FILE = "model.onnx"
CONFIG_FILE = "config.pbtxt"
"""Triton's, beside a model's versions"""
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGITS = 18
"""of a version's number: so many fit a signed 64-bit integer"""
_STAGING = ".staging-"
_ABANDONED_SECONDS = 24 * 3600
_ATTEMPTS = 10_000
_SPARE = 16 << 20
"""bytes that a version has besides its weights: evidence, samples"""
_SHOWN = 100
"""characters of a file's name in a message"""
_NAMED, _LISTED = 3, 20
_FILE = r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}"


class Staging(msgspec.Struct):
    """A version being written. Put files into `folder`, then call `publish` once."""

    folder: Path
    model_folder: Path
    published: Path | None = None

    def publish(
        self, manifest: Manifest, telling: Callable[[Manifest], Mapping[str, str]] = lambda numbered: {}
    ) -> tuple[Path, Manifest]:
        """Give the folder the next free version number; returns its path and the manifest as written.

        `telling`: the texts of files that tell the version's number, by their names in the folder.
        Safe under concurrent publishers: renaming onto an existing version fails, and the next number is tried.
        """
        files = {
            path.relative_to(self.folder).as_posix(): self._digest(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path != self.folder / manifests.FILE_NAME
        }
        version = max(versions(self.model_folder), default=0)
        for _ in range(_ATTEMPTS):
            version += 1
            manifest = msgspec.structs.replace(
                manifest, name=self.model_folder.name, version=version, format=manifests.FORMAT
            )
            for name, text in telling(manifest).items():
                (self.folder / name).write_text(text)
                files[name] = self._digest(self.folder / name)
            manifest = msgspec.structs.replace(manifest, files=dict(sorted(files.items())))
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

    def _digest(self, path: Path) -> FileDigest:
        """Of a file that is whole; it is flushed to the disk."""
        sync_file(path)
        sync_folder(path.parent)
        return FileDigest(size=path.stat().st_size, sha256=sha256(path))


def check_place(repository: Path, name: str, size: int = 0) -> None:
    """Raise UsageError where no version of `name` could be written into `repository`: its name, rights, or the disk.

    `size` is how many bytes the version will have, as far as is known. Nothing is written.
    """
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"{name!r} cannot be a model name",
            hint="letters, digits, '_', '-' and '.', at most 128, not starting with '.' or '-'",
        )
    place = repository / name
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError("this is a file, and a folder of models is wanted", where=str(there), hint="--repository")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError("this folder cannot be written to", where=str(there), hint="--repository")
    free = shutil.disk_usage(there).free
    if free < size + _SPARE:
        raise UsageError(
            f"the disk has {free / 1e9:.2f} GB left, and the version needs {(size + _SPARE) / 1e9:.2f}",
            where=str(there),
            hint="make room, or choose another --repository",
        )


@contextlib.contextmanager
def staging(repository: Path, name: str) -> Iterator[Staging]:
    """A folder to write a version of model `name` into; removed at the end unless it was published."""
    check_place(repository, name)
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
    import secrets  # a server writes none

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
    found, _ = _look(model_folder)
    return {version: model.parent for version, model in found.items()}


def in_version_folder(model: Path) -> bool:
    """Whether the files beside this model file belong to it, as those in a version's folder do."""
    return model.name == MODEL_FILE or _is_version(model.parent.name)


def _is_version(name: str) -> bool:
    """Whether a folder's name is a version's number; without a leading zero, as in Triton."""
    return name.isascii() and name.isdigit() and name[0] != "0" and len(name) <= _DIGITS


def _look(folder: Path) -> tuple[dict[int, Path], dict[str, str]]:
    """A model folder's versions as version number → model file, and the folders in it that are none, with the reason.

    The model file is `model.onnx`, or what Triton's `config.pbtxt` beside the versions says.
    """
    try:
        file = model_file_name(folder)
        paths = sorted(folder.iterdir()) if folder.is_dir() else []
    except (OSError, BadModel) as error:
        return {}, {"": _reason(error)}
    found: dict[int, Path] = {}
    skipped: dict[str, str] = {}
    for path in paths:
        if path.name.startswith("."):
            continue
        why = _why_no_version(path, file)
        if why is None:
            found[int(path.name)] = path / file
        elif why:
            skipped[path.name] = why
    return dict(sorted(found.items())), skipped


def _why_no_version(path: Path, file: str) -> str | None:
    """None for a version; empty for what is not meant as one."""
    try:
        if not path.is_dir():
            return ""
        if not _is_version(path.name):
            return f"a version is a number of at most {_DIGITS} digits, without leading zeros"
        if (path / file).is_file():
            return None
        if os.path.lexists(path / file):
            return f"{file} is not a file, or a link to none"
        others = sorted(other.name for other in path.glob("*.onnx"))
        holds = f"; it holds {', '.join(map(ascii, others[:_NAMED]))}" if others else ""
        return f"there is no {file} in it{holds}"
    except (OSError, ValueError) as error:
        return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    return error.what if isinstance(error, BadModel) else str(error)


def model_file_name(model_folder: Path) -> str:
    """What the model file in each of the folder's versions is called. Raises BadModel where its `config.pbtxt` errs."""
    path = model_folder / CONFIG_FILE
    if not os.path.lexists(path):
        return MODEL_FILE
    from onnxpress.core import pbtxt  # few models have such a file, and every start would wait for the reader

    given = pbtxt.read(path).get("default_model_filename", [])
    if not given:
        return MODEL_FILE
    name = given[-1]
    if not isinstance(name, str) or not re.fullmatch(_FILE, name):
        raise BadModel(f"its default_model_filename {ascii(name)[:_SHOWN]} is no name of a file", where=str(path))
    return name


def read_manifest(folder: Path) -> Manifest | None:
    """The version's manifest, or None where there is none (a model made elsewhere).

    Raises CorruptVersion where there is one that cannot be read.
    """
    path = folder / manifests.FILE_NAME
    try:
        content = read_regular(path, manifests.MOST_BYTES)
    except FileNotFoundError:
        if os.path.islink(path):
            raise CorruptVersion("the manifest is a link to nothing", where=str(path)) from None
        return None
    except OSError as error:
        raise CorruptVersion(f"the manifest cannot be read: {error.strerror or error}", where=str(path)) from None
    return manifests.decode(content, where=str(path))


def check_files(folder: Path, manifest: Manifest, *, digests_later: Collection[str] = ()) -> None:
    """Raise CorruptVersion, naming the file, if a file is missing or is not the one that was published.

    Of the files named in `digests_later` only the size is looked at.
    """
    hint = "copy or export the version again"

    def corrupt(what: str) -> CorruptVersion:
        return CorruptVersion(what, where=str(folder), hint=hint)

    for name, digest in manifest.files.items():
        shown = name if len(name) <= _SHOWN and name.isprintable() else ascii(name[:_SHOWN])
        # As Windows reads it too, where a backslash parts and a drive leads elsewhere.
        parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
        if not parts or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            raise corrupt(f"{shown or 'a file without a name'} lies outside the version folder")
        path = folder / name
        try:
            if not path.is_file():
                raise corrupt(f"{shown} is missing" if not os.path.lexists(path) else f"{shown} is not a file")
            size = path.stat().st_size
            if size != digest.size:
                raise corrupt(f"{shown} has {size} bytes, the manifest says {digest.size}")
            if name not in digests_later and sha256(path) != digest.sha256:
                raise corrupt(f"{shown} is not the file that was published (SHA-256)")
        except (OSError, ValueError) as error:  # a name too long, or with NUL; a file that may not be read
            why = error.strerror if isinstance(error, OSError) else error
            raise corrupt(f"{shown} cannot be read: {why or error}") from None


class Located(msgspec.Struct, frozen=True):
    """What a path holds: the form it was given in, and each model's versions as version number → .onnx file."""

    form: Literal["file", "version", "model", "repository"]
    models: dict[str, dict[int, Path]]
    skipped: dict[str, str] = {}
    """path below the one that was given, of what lies there and is no version or model → why"""
    unread: set[str] = set()
    """models of which nobody can tell which versions they have: the folder or its config.pbtxt cannot be read"""


def locate(path: Path) -> Located:
    """Find the models under a `.onnx` file, a version folder, a model folder or a repository.

    Raises BadModel where there is none, saying what was looked for.
    """
    found = survey(path)
    if not found.models:
        skipped = "".join(f"\n  skipped {name}: {why}" for name, why in list(found.skipped.items())[:_LISTED])
        raise BadModel(
            f"no model here{skipped}",
            where=str(path),
            hint=f"expected {MODEL_FILE}, <version>/{MODEL_FILE} or <name>/<version>/{MODEL_FILE}; "
            "publish one with onnxpress export",
        )
    return found


def survey(path: Path) -> Located:
    """As `locate`; a folder without any model is a repository of none."""
    if path.is_file():
        if path.suffix != ".onnx":
            raise BadModel("not an .onnx file", where=str(path))
        if path.name == MODEL_FILE and (path.parent / manifests.FILE_NAME).is_file():
            return locate(path.parent)
        return Located("file", {path.stem: {1: path}})
    if not path.exists():
        raise BadModel("no such file or folder", where=str(path))
    if not path.is_dir():
        raise BadModel("it is neither a file nor a folder", where=str(path))
    path = path.resolve()
    if (path / MODEL_FILE).is_file():
        manifest = read_manifest(path)
        if manifest is not None:
            return Located("version", {manifest.name: {manifest.version: path / MODEL_FILE}})
        if _is_version(path.name):
            return Located("version", {path.parent.name: {int(path.name): path / MODEL_FILE}})
        return Located("version", {path.name: {1: path / MODEL_FILE}})
    own, skipped = _look(path)
    if own:
        return Located("model", {path.name: own}, skipped)
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise BadModel(_reason(error), where=str(path)) from None
    return _repository(entries)


def _repository(entries: list[Path]) -> Located:
    found = Located("repository", {})
    for path in entries:
        name = path.name
        if name.startswith("."):
            continue
        # Such a name could stand in no answer, and forge lines of the log.
        if not name.isprintable():
            found.skipped[ascii(name)] = "its name has characters that cannot be printed"
            continue
        try:
            if not path.is_dir():
                if path.suffix == ".onnx":
                    found.skipped[name] = f"a file; expected a folder with versions: {path.stem}/1/{MODEL_FILE}"
                continue
            numbered, skipped = _look(path)
            if numbered:
                found.models[name] = numbered
            elif "" in skipped:
                found.unread.add(name)
            else:
                found.skipped[name] = "there is no version in it"
                if (path / MODEL_FILE).is_file():
                    found.skipped[name] = f"{MODEL_FILE} lies in it, not in a version's folder: {name}/1/{MODEL_FILE}"
            found.skipped.update({f"{name}/{one}" if one else name: why for one, why in skipped.items()})
        except OSError as error:
            found.skipped[name] = _reason(error)
            found.unread.add(name)
    return found


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
