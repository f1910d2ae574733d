"""The written module, imported from its file, and the model that it builds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def built(path: Path, name: str) -> Any:
    """What `build()` of the module at `path` makes; the module is called `name`, and is imported anew each time."""
    return imported(path, name).build()


def imported(path: Path, name: str) -> Any:
    """The module at `path`."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
