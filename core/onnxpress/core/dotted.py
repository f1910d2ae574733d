"""Loading a user's object by dotted path: `my_pkg.models:build`, or `folder/file.py:build`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from onnxpress.core.errors import UsageError


def load(path: str, *, search: Path | None = None) -> Any:
    """The object that `module:attribute` names, with `search` (default: the working directory) importable.

    The attribute may itself be dotted (`nets:Encoder.build`). Raises UsageError when the module or attribute does not
    exist, listing what does. An exception raised while the user's module is imported is the user's own: it is chained
    and its text shown.
    """
    module_name, separator, attribute = path.partition(":")
    if not separator or not module_name or not attribute:
        raise UsageError(f"{path!r} is not of the form module:attribute", hint="for example my_package.models:build")
    module = _import(module_name, search or Path.cwd())
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = sorted(name for name in getattr(found, "__dict__", {}) if not name.startswith("_"))
            near = difflib.get_close_matches(part, public, n=1)
            raise UsageError(
                f"{module_name} has no attribute {part!r}",
                where=path,
                hint=(f"did you mean {near[0]!r}? " if near else "") + f"it has: {', '.join(public) or 'nothing'}",
            )
        found = getattr(found, part)
    return found


def _import(name: str, search: Path) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    # The user's folder comes first, as with `python -m`, so that a repository with a package called `training`
    # (or anything else that is installed here too) finds its own.
    entry = str(search.resolve())
    if entry not in sys.path:
        sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(
                f"no module {error.name!r} on the path",
                where=name,
                hint=f"run from the folder that holds it (now {search}), or install it in this environment",
            ) from error
        raise UsageError(f"importing it failed: {error}", where=name, hint="mend the import, or install it") from error
    except Exception as error:
        raise UsageError(f"importing it raised {type(error).__name__}: {error}", where=name) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError("no such file", where=str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(path.stem, None)
        raise UsageError(f"importing it raised {type(error).__name__}: {error}", where=str(path)) from error
    return module
