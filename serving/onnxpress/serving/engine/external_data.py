"""Where a model file says that its weights lie, and that this is inside its own folder.

A repository may come from somebody else. ONNX Runtime refuses `..` and absolute paths in external data. It follows
symbolic links into the folder of the model file's name, and into that where the file itself lies: so Hugging Face's
cache and Kubernetes' `..data` can be served. The same holds here. A hard link it follows too, and with it any file of
the machine could be made a weight and read out through the answers.
"""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnxpress.core.errors import BadModel
from onnxpress.core.onnx_graph import Model, held, mapped, open_model

_LOCATION = b"location"
_MUCH = 64 << 20
"""bytes of a model file"""
_IN_MEMORY = "*/_ORT_"
"""how the runtime marks a tensor that a program has in memory; in a file it would be any place in this process"""


def locations(model: Model) -> frozenset[str]:
    """The files that the model's tensors name as the place of their data, those of every tensor in the file."""
    # Most models name none; walking through a forest's attributes would cost tens of milliseconds.
    if not model.holds(_LOCATION):
        return frozenset()
    return frozenset(location for tensor in model.tensors() for location in tensor.locations)


def check(path: Path, model: Model | None = None) -> list[Path]:
    """The files beside the model that hold its external data; `model` is what was read in the file already.

    Raises BadModel for one that is not a regular file of its own inside the model's folder, or is not there.
    """
    if model is None:
        with mapped(path) as content:
            # Where there is much, it is weights, and reading the messages around them is quicker.
            if len(content) < _MUCH and not held(content, _LOCATION, 0, len(content)):
                return []
        with open_model(path) as model:
            return check(path, model)
    found = []
    for location in sorted(locations(model)):
        why = _outside(path, location)
        if why is not None:
            raise BadModel(
                f"its external data {location!r} {why}",
                where=str(path),
                hint="external data must be a file of its own in the version's folder; copy it there",
            )
        found.append(path.parent / location)
    return found


def _outside(model: Path, location: str) -> str | None:
    """What is wrong with a location; None where nothing is."""
    if location.startswith(_IN_MEMORY):
        return "is a place in memory, which no file has"
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location or PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor:
        return "is not a path inside the version's folder"
    if ".." in parts or ".." in PureWindowsPath(location).parts:
        return "leads out of the version's folder"
    try:
        real = (model.parent / location).resolve(strict=True)
        found = real.stat()
        folders = {model.parent.resolve(), model.resolve().parent}
    except FileNotFoundError:
        return "is missing"
    except (OSError, RuntimeError) as error:  # a link to itself, a name too long
        return f"cannot be reached: {error}"
    if not any(real.is_relative_to(folder) for folder in folders):
        return "is reached by a symbolic link that leads out of the model file's folder"
    if not stat.S_ISREG(found.st_mode):
        return "is not a file"
    if found.st_nlink != 1:
        return f"is a hard link: the same file has {found.st_nlink} names"
    return None
