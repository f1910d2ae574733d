"""What Triton's `config.pbtxt` beside a model's versions says that has a meaning here, and what of it has none.

`default_model_filename` is read where versions are looked for, see `version_folder`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.errors import BadModel
from onnxpress.core.version_folder import CONFIG_FILE

_READ = frozenset({"name", "platform", "backend", "default_model_filename", "max_batch_size", "input", "output"})
_BACKENDS = frozenset({"onnxruntime", "onnxruntime_onnx", ""})


class TritonConfig(msgspec.Struct, frozen=True):
    """Of one model."""

    max_batch: int | None = None
    """most rows that run together; 1 where Triton would run every request alone"""
    max_waiting: int | None = None
    """most requests that wait"""
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
    unused += [
        f"output.{name}"
        for one in found.get("output", [])
        if isinstance(one, dict)
        for name in one
        if name == "label_filename"
    ]
    return TritonConfig(None if most is None else max(most, 1), waiting, tuple(dict.fromkeys(unused)))


def _last(message: dict[str, Any], name: str) -> Any:
    values = message.get(name)
    return values[-1] if values else None
