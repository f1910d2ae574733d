"""Which versions of a model are served, and the labels by which callers may ask for one.

`--versions` says it for every model; `serving.json` in a model's folder, beside its versions, for that model:

    {"versions": "latest:2", "labels": {"stable": 3, "canary": 4}}

Where that says no versions, the `version_policy` of Triton's config.pbtxt does.

A version policy is, as in Triton and TensorFlow Serving, `latest`, `latest:N`, `all`, or numbers: `1,3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from onnxpress.core import decoders
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.files import read_regular
from onnxpress.core.version_folder import CONFIG_FILE
from onnxpress.serving.models import triton_config

FILE_NAME = "serving.json"
_MOST_BYTES = 1 << 20
_LABEL = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
_SYNTAX = "latest, latest:N, all, or version numbers such as 1,3"


class Selection(msgspec.Struct, frozen=True):
    """A version policy, and label → version. Labelled versions are served whatever the policy says."""

    latest: int | None = 1
    """how many of the highest versions; None: all of them"""
    named: frozenset[int] | None = None
    """these and no others, instead of the latest"""
    labels: Mapping[str, int] = {}

    def wants(self, version: int, served: int) -> bool:
        """Whether the version is to be served, when versions are gone through downwards and so many are served yet.

        One that cannot be loaded is not among those, so that the one below takes its place.
        """
        if version in self.labels.values():
            return True
        if self.named is not None:
            return version in self.named
        return self.latest is None or served < self.latest


def policy(text: str) -> Selection:
    """The selection that `--versions` stands for. Raises UsageError."""
    text = text.strip()
    if text == "latest":
        return Selection()
    if text == "all":
        return Selection(latest=None)
    if match := re.fullmatch(r"latest:([1-9][0-9]{0,5})", text):
        return Selection(latest=int(match[1]))
    if re.fullmatch(r"[1-9][0-9]{0,17}(\s*,\s*[1-9][0-9]{0,17})*", text):
        return Selection(named=frozenset(map(int, text.split(","))))
    raise UsageError(f"{text!r} is no version policy", hint=_SYNTAX)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    versions: str | None = None
    labels: dict[str, int] = {}


def read(model_folder: Path, default: Selection) -> Selection:
    """What the model's own file says, or the default where it has none. Raises BadModel."""
    path = model_folder / FILE_NAME
    try:
        try:
            written = decoders.of_json(_File).decode(read_regular(path, _MOST_BYTES))
        except FileNotFoundError:
            written = _File()
        asked = written.versions
        if asked is None:
            asked = triton_config.versions(model_folder)
        chosen = default if asked is None else policy(asked)
    except OSError as error:
        raise BadModel(f"it cannot be read: {error.strerror or error}", where=str(path)) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadModel(f"it cannot be read: {error}", where=str(path)) from None
    except UsageError as error:
        where = path if written.versions is not None else model_folder / CONFIG_FILE
        raise BadModel(error.what, where=str(where), hint=error.hint) from None
    for label, version in written.labels.items():
        # A number would be taken for a version.
        if not re.fullmatch(_LABEL, label) or version < 1:
            raise BadModel(
                f"{label!r}: {version} is no label of a version",
                where=str(path),
                hint="a label begins with a letter and has letters, digits, '_', '.' and '-'; a version is 1 or more",
            )
    return msgspec.structs.replace(chosen, labels=written.labels)
