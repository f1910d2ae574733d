"""The recipes that onnxpress carries, by name and by family: in the wheel, or in the checkout it is run from."""

from __future__ import annotations

from pathlib import Path

import onnxpress.training
from onnxpress.core.errors import UsageError
from onnxpress.core.spelling import did_you_mean

OF_FAMILY = {
    "autoencoder": "transactions",
    "cnn-lstm-attention": "domains",
    "tabular": "penguins",
    "document": "news",
    "cnn14": "seizures",
}
"""family → the recipe that shows it best"""


def folder() -> Path:
    """Where they lie. Raises UsageError where this installation has none."""
    package = Path(str(onnxpress.training.__file__)).parent
    for place in (package / "recipes", package.parents[2] / "recipes"):
        if place.is_dir():
            return place
    raise UsageError("this installation carries no recipes", hint="install onnxpress from its wheel or its checkout")


def names() -> list[str]:
    """Those that can be asked for."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a recipe, by its name or its family's. Raises UsageError, with the nearest, for another name."""
    path = folder() / f"{OF_FAMILY.get(name, name)}.yaml"
    if path.stem not in names():
        known = [*OF_FAMILY, *names()]
        raise UsageError(f"there is no recipe {name!r}", hint=did_you_mean(name, known, "there are"))
    return path
