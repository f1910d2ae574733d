"""What Triton's `config.pbtxt` beside a model's versions says that has a meaning here, and what of it has none.

`default_model_filename` is read where versions are looked for, see `version_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.errors import BadModel
from onnxpress.core.files import read_regular
from onnxpress.core.version_folder import CONFIG_FILE

_READ = frozenset(
    {"name", "platform", "backend", "default_model_filename", "max_batch_size", "input", "output", "version_policy"}
)
_MOST_BYTES = 16 << 20
"""of a file of labels; a million of them have some"""
_BACKENDS = frozenset({"onnxruntime", "onnxruntime_onnx", ""})


class TritonConfig(msgspec.Struct, frozen=True):
    """Of one model."""

    max_batch: int | None = None
    """most rows that run together; 1 where Triton would run every request alone"""
    max_waiting: int | None = None
    """most requests that wait"""
    label_files: Mapping[str, str] = {}
    """output → the file beside the versions with the label of each of its classes, one a line"""
    unused: tuple[str, ...] = ()
    """fields that have no meaning here"""


def read(model_folder: Path) -> TritonConfig:
    """Nothing where there is no such file. Raises BadModel for one that cannot be read, or is for another backend."""
    path = model_folder / CONFIG_FILE
    if not os.path.lexists(path):
        return TritonConfig()
    from onnxpress.core import pbtxt  # few models have such a file, and every start would wait for the reader

    found = pbtxt.read(path)
    backend = str(_last(found, "backend") or _last(found, "platform") or "")
    if backend not in _BACKENDS:
        raise BadModel(f"it is for the backend {ascii(backend)[:100]}, not onnxruntime", where=str(path))
    most = _last(found, "max_batch_size")
    if most is not None and (not isinstance(most, int) or not 0 <= most <= 1 << 20):
        raise BadModel(f"its max_batch_size {ascii(most)[:100]} is no number of rows", where=str(path))
    unused = [name for name in found if name not in _READ and name != "dynamic_batching"]
    batching = _last(found, "dynamic_batching")
    waiting = None
    if isinstance(batching, dict):
        policy = _last(batching, "default_queue_policy")
        size = _last(policy, "max_queue_size") if isinstance(policy, dict) else None
        waiting = size if isinstance(size, int) and size > 0 else None
        unused += [f"dynamic_batching.{name}" for name in batching if name != "default_queue_policy"]
    return TritonConfig(
        None if most is None else max(most, 1), waiting, _label_files(found, path), tuple(dict.fromkeys(unused))
    )


def versions(model_folder: Path) -> str | None:
    """Its policy of versions, written as for `--versions`; None where it has none. Raises BadModel."""
    path = model_folder / CONFIG_FILE
    if not os.path.lexists(path):
        return None
    from onnxpress.core import pbtxt

    asked = _last(pbtxt.read(path), "version_policy")
    if asked is None:
        return None
    match asked:
        case {"latest": [*_, dict(latest)]} if len(asked) == 1:
            return f"latest:{latest.get('num_versions', [1])[-1]}"
        case {"all": _} if len(asked) == 1:
            return "all"
        case {"specific": [*_, {"versions": [*numbers]}]} if len(asked) == 1:
            return ",".join(map(str, numbers))
    raise BadModel("its version_policy is none of latest, all and specific", where=str(path))


def labels(model_folder: Path, config: TritonConfig) -> dict[str, list[str]]:
    """Output → the labels in its file. Raises BadModel where that cannot be read."""
    found = {}
    for output, name in config.label_files.items():
        path = model_folder / name
        try:
            found[output] = read_regular(path, _MOST_BYTES).decode("utf-8").splitlines()
        except OSError as error:
            raise BadModel(f"its labels cannot be read: {error.strerror or error}", where=str(path)) from None
        except UnicodeDecodeError as error:
            raise BadModel(f"its labels are not UTF-8 text: {error}", where=str(path)) from None
    return found


def _label_files(message: dict[str, Any], path: Path) -> dict[str, str]:
    found = {}
    for output in message.get("output", []):
        name = _last(output, "label_filename") if isinstance(output, dict) else None
        if not name:
            continue
        if not isinstance(name, str) or {*name} & {"/", "\\", "\0"} or name in (".", ".."):
            raise BadModel(f"its label_filename {ascii(name)[:100]} is no file beside it", where=str(path))
        found[str(_last(output, "name"))] = name
    return found


def _last(message: dict[str, Any], name: str) -> Any:
    values = message.get(name)
    return values[-1] if values else None
