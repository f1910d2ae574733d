"""Arrays of a large model's size, on the disk while they are not looked at, and memory that is handed back.

Gradients are as large as the weights, and so is what one side computed while the other side is asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import tempfile
import threading
import weakref
from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array

_M_MMAP_THRESHOLD = -3
"""of glibc's malloc.h"""
_LARGE, _OF_LARGE_MODELS = 1 << 20, 1 << 17
"""bytes of an array that is mapped by itself: of all, and where weights are so many that time goes into them"""


def aside(*, large: bool) -> MutableMapping[Any, Array]:
    """An empty mapping to arrays; of a `large` model they lie in a file, and each is read anew when it is asked for."""
    return _File() if large else {}


def filed(arrays: Mapping[Any, Any]) -> MutableMapping[Any, Array]:
    """These arrays, or what numpy makes one of, in a file."""
    found = aside(large=True)
    for name, value in arrays.items():
        found[name] = np.asarray(value)
    return found


class _File(MutableMapping[Hashable, Array]):
    """The file has no name, and is gone with the mapping."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="onnxpress-port-", buffering=0)  # noqa: SIM115 - it lives as this does
        weakref.finalize(self, self._file.close)
        self._turn = threading.Lock()  # TensorFlow computes in several threads
        self._end = 0
        self._places: dict[Hashable, tuple[int, np.dtype[Any], tuple[int, ...]]] = {}

    def __setitem__(self, name: Hashable, array: Array) -> None:
        whole = np.ascontiguousarray(array)
        with self._turn:
            start, dtype, shape = self._places.get(name, (self._end, whole.dtype, array.shape))
            if whole.nbytes > dtype.itemsize * int(np.prod(shape)):
                start = self._end
            # What is there is written over: a file that grew with every step would be written to the disk.
            self._file.seek(start)
            whole.tofile(self._file)
            self._end = max(self._end, start + whole.nbytes)
            self._places[name] = (start, whole.dtype, array.shape)

    def __getitem__(self, name: Hashable) -> Array:
        with self._turn:
            start, dtype, shape = self._places[name]
            self._file.seek(start)
            return np.fromfile(self._file, dtype, int(np.prod(shape))).reshape(shape)

    def __delitem__(self, name: Hashable) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def map_large_arrays(size: int = _LARGE) -> None:
    """From now on each array of more bytes is given back to the system as soon as it is freed.

    glibc maps such an array by itself. It begins so, and ceases with the first large array that is freed: then the next
    ones lie between others, and their pages stay.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another libc
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, size)


def hand_back() -> None:
    """Give the system what is no longer used, and from now on what a large model computes as soon as it is freed.

    Models hang in cycles. glibc keeps the pages of what was freed for each thread that asks for memory.
    """
    gc.collect()
    map_large_arrays(_OF_LARGE_MODELS)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
