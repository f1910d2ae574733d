"""`run.json`: what a run folder says to `export`, so that our own families take the same door as a user's model.

`onnxpress train` writes it last; a folder without it is an unfinished run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from onnxpress.core import dotted
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.files import read_regular, write_atomically
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import TensorSpec

FILE_NAME = "run.json"
_FAMILY = re.compile(r"onnxpress\.training\.(pytorch|tensorflow)\.models\.[a-z][a-z0-9_]*:build")
_SHOWN = 200
_MOST_BYTES = 64 << 20
Framework = Literal["pytorch", "tensorflow"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model: how to build it again, its weights, and its contract with the outside.

    `network_*` describe the bare network that `model(**settings)` builds; `inputs` and `outputs` are what callers
    send and receive once `processing` stands around it.
    """

    format: int = 1
    name: str
    framework: Framework
    model: str
    """dotted path of a factory that returns the network, e.g. `onnxpress.training.pytorch.models.autoencoder:build`"""
    settings: dict[str, Any] = {}
    weights: str
    """file beside this one: `.safetensors` (PyTorch state dict) or `.weights.h5` (Keras)"""
    samples: str
    """file beside this one: `.npz` of held-out raw rows, one entry per input, and `target` where known"""
    network_inputs: list[TensorSpec]
    network_outputs: list[TensorSpec]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    processing: Processing = Processing()
    labels: dict[str, list[str]] = {}
    thresholds: dict[str, float] = {}
    parameters: int | None = None
    seed: int | None = None


def factory(run: Run, folder: Path, *, trusted: bool = False) -> Any:
    """What builds the run's bare network, to be called with its settings: that of one of onnxpress's own families.

    `run.json` can name any function there is, with any keywords. So another one is called only where whoever runs the
    command trusts the folder. Raises UsageError.
    """
    if not trusted and not _FAMILY.fullmatch(run.model):
        keywords = ", ".join(f"{name}={value!r}" for name, value in run.settings.items())
        raise UsageError(
            f"this run would call {run.model}({keywords[:_SHOWN]}), which is none of onnxpress's families",
            where=str(folder),
            hint="it runs that code; add --trust-run if the run is your own",
        )
    return dotted.load_factory(run.model)


def write(folder: Path, run: Run) -> None:
    """Write `run.json` atomically."""
    write_atomically(folder / FILE_NAME, indented(run))


def read(folder: Path) -> Run:
    """Read a finished run. Raises BadData when the folder is none, or its description is wrong."""
    path = folder / FILE_NAME
    try:
        return msgspec.json.decode(read_regular(path, _MOST_BYTES), type=Run)
    except FileNotFoundError:
        raise BadData(f"no {FILE_NAME} here: not a finished run", where=str(folder), hint="train it again") from None
    except (msgspec.MsgspecError, OSError, ValueError, RecursionError) as error:
        raise BadData(f"the run cannot be read: {error}", where=str(path), hint="train it again") from None
