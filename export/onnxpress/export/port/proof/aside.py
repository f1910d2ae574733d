"""What one side computed, on the disk while the other side is asked: both of a large model take twice the memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import tempfile
from collections.abc import Hashable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

_M_MMAP_THRESHOLD = -3
"""of glibc's malloc.h"""
_MAPPED_BY_ITSELF = 1 << 20
"""bytes of an array"""


@contextlib.contextmanager
def aside(*, large: bool) -> Iterator[MutableMapping[Any, Array]]:
    """An empty mapping to arrays; of a `large` model each lies in a file, and is read anew when it is asked for."""
    if not large:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="onnxpress-port-") as folder:
        yield _Files(Path(folder))


class _Files(MutableMapping[Hashable, Array]):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[Hashable, Path] = {}

    def __setitem__(self, name: Hashable, array: Array) -> None:
        path = self._paths.setdefault(name, self._folder / f"{len(self._paths)}.npy")
        np.save(path, array, allow_pickle=False)

    def __getitem__(self, name: Hashable) -> Array:
        found: Array = np.load(self._paths[name], allow_pickle=False)
        return found

    def __delitem__(self, name: Hashable) -> None:
        self._paths.pop(name).unlink()

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def hand_back() -> None:
    """Give the system what is no longer used, and from now on each large array as soon as it is freed.

    Models hang in cycles. glibc keeps the pages of what was freed for each thread that asks for memory, unless an array
    is mapped by itself.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BY_ITSELF)
        libc.malloc_trim(0)
