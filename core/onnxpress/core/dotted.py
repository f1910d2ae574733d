"""Loading a user's object by dotted path: `my_pkg.models:build`, or `folder/file.py:build`."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from onnxpress.core.errors import UsageError
from onnxpress.core.spelling import did_you_mean

_LISTED = 20


def load(path: str, *, search: Path | None = None) -> Any:
    """The object that `module:attribute` names, with `search` (default: the working directory) importable.

    The attribute may itself be dotted (`nets:Encoder.build`); a file is taken relative to `search`. Raises UsageError
    when the module or attribute does not exist, listing what does. An exception raised while the user's module is
    imported is the user's own: it is chained and its text shown.
    """
    module_name, separator, attribute = path.rpartition(":")
    if not separator or not module_name or not attribute:
        raise UsageError(f"{path!r} is not of the form module:attribute", hint="for example my_package.models:build")
    module = _import(module_name, search or Path.cwd())
    value: Any = module
    for part in attribute.split("."):
        if not hasattr(value, part):
            public = sorted(name for name in getattr(value, "__dict__", {}) if not name.startswith("_"))
            raise UsageError(
                f"{module_name} has no attribute {part!r}",
                where=path,
                hint=did_you_mean(part, public, "there is", most=_LISTED),
            )
        value = getattr(value, part)
    return value


def load_factory(path: str) -> Callable[..., Any]:
    """The factory that `module:attribute` names, giving the model alone where it returns (model, example_inputs)."""
    made = load(path)

    def build(**settings: Any) -> Any:
        answer = made(**settings)
        return answer[0] if isinstance(answer, tuple) and len(answer) == 2 else answer

    return build


def _import(name: str, search: Path) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(search / name)
    # The user's folder comes first, as with `python -m`, so that a repository with a package called `training`
    # (or anything else that is installed here too) finds its own.
    _put_first(search)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            parent, _, last = error.name.rpartition(".")
            package = sys.modules.get(parent)
            folders = getattr(package, "__path__", []) if package else [str(search)]
            siblings = sorted(module.name for module in pkgutil.iter_modules(folders))
            place = f"in the package {parent}" if parent else f"in {search}, nor installed in this environment"
            hint = did_you_mean(last, siblings, "there is", most=_LISTED)
            raise UsageError(f"no module {last!r} {place}", where=name, hint=hint) from error
        raise UsageError(f"importing it failed: {error}", where=name, hint="mend the import, or install it") from error
    except (Exception, SystemExit) as error:  # SystemExit: a script without `if __name__ == "__main__"`
        raise UsageError(f"importing it raised {type(error).__name__}: {error}", where=name) from error


def _put_first(folder: Path) -> None:
    entry = str(folder.resolve())
    if sys.path[0] != entry:
        sys.path.insert(0, entry)
    importlib.invalidate_caches()


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError("no such file", where=str(path))
    _put_first(path.parent)  # as `python folder/file.py` does, so that the file finds its neighbours
    # Under a name of its own where the stem is taken: a user's `types.py` must not stand in for another module.
    name = path.stem if path.stem not in sys.modules else f"{path.stem}@{path.resolve()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"importing it raised {type(error).__name__}: {error}", where=str(path)) from error
    return module
