"""What frameworks log and warn of while the author's model is loaded: kept for `conversion.txt`, off the terminal."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from onnxpress.core.captured import captured

_TALKING = ("tensorflow", "keras")
"""their C++ parts log at import, before any level can be set"""


@contextlib.contextmanager
def import_talk(packages: Sequence[str] = _TALKING) -> Iterator[list[str]]:
    """While open, what these packages print at their import, and every warning, is collected line by line.

    What the author's own code prints is left alone. The warnings are shown after all where the block fails.
    """
    lines: list[str] = []
    finder = _Listening(packages, lines)
    sys.meta_path.insert(0, finder)
    shown = warnings.showwarning
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield lines
        lines += [f"{warning.category.__name__}: {warning.message}" for warning in caught]
    except BaseException:
        for warning in caught:
            shown(warning.message, warning.category, warning.filename, warning.lineno)
        raise
    finally:
        sys.meta_path.remove(finder)


class _Listening(importlib.abc.MetaPathFinder):
    def __init__(self, packages: Sequence[str], lines: list[str]) -> None:
        self._packages, self._lines = packages, lines

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The package's own spec, with a loader that listens; None for all others."""
        if name not in self._packages:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._lines)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, lines: list[str]) -> None:
        self._loader, self._lines = loader, lines

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the package's own loader does."""
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Import it under its own loader, which the module keeps."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with captured(descriptors_only=True) as said:
            self._loader.exec_module(module)
        self._lines += said.lines
