"""What `export` takes: a run folder or a dotted path, resolved to a network, its contract and sample inputs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from onnxpress.core import dotted
from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]
Framework = Literal["pytorch", "tensorflow"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model to export: the network object, and everything known about it before it is converted.

    `network_inputs` and `outputs` are None where the network itself must tell; `samples` maps the names of raw inputs
    to arrays with a common first axis.
    """

    reference: str
    name: str
    framework: Framework
    network: Any
    example_inputs: Any = None
    network_inputs: list[TensorSpec] | None = None
    network_outputs: list[TensorSpec] | None = None
    inputs: list[TensorSpec] | None = None
    outputs: list[TensorSpec] | None = None
    processing: Processing = field(default_factory=Processing)
    samples: dict[str, Array] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    seed: int | None = None


def resolve(
    reference: str, *, inputs: Sequence[TensorSpec] = (), samples: Path | None = None, hide_gpus: bool = True
) -> Source:
    """A run folder, or `module:attr` naming a model, a class or a factory → Source.

    `inputs` (from --input) and `samples` (from --samples) add to, and override, what the source itself tells.
    `hide_gpus` is off only where the equivalence is to be measured on a GPU in this process.
    Raises UsageError or BadData, saying what was looked for.
    """
    # Both must stand before the user's module imports TensorFlow: its C++ log writes to stderr from the first import
    # on, and with a GPU in sight Keras traces CudnnRNNV3, which has no ONNX form.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    path = Path(reference)
    if path.is_dir():
        return _from_run(path, reference)
    if ":" not in reference:
        raise UsageError(
            "neither a run folder nor a dotted path",
            where=reference,
            hint="give the folder that `onnxpress train` wrote, or module:attribute, e.g. my_package.models:build",
        )
    return _from_dotted(reference, list(inputs), read_samples(samples) if samples else {})


def read_samples(path: Path) -> dict[str, Array]:
    """Read an `.npz` of sample inputs without pickle: input name → array with the rows on its first axis."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            loaded = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UsageError("no such file", where=str(path)) from None
    except Exception as error:  # numpy raises many kinds for a torn or foreign file
        raise BadData(f"cannot be read as .npz: {error}", where=str(path)) from None
    rows = {name: array.shape[0] if array.ndim else 0 for name, array in loaded.items()}
    if not rows or min(rows.values()) == 0:
        raise BadData("holds no sample rows", where=str(path), hint="save one array per input, rows first")
    if len(set(rows.values())) > 1:
        raise BadData(f"the inputs have different numbers of rows: {rows}", where=str(path))
    return loaded


def _from_run(folder: Path, reference: str) -> Source:
    run = runs.read(folder)
    network = dotted.load(run.model)(**run.settings)
    weights = folder / run.weights
    if not weights.is_file():
        raise BadData(f"the weights {run.weights} are missing", where=str(folder), hint="train it again")
    if run.framework == "pytorch":
        from onnxpress.export import from_torch

        from_torch.load_weights(network, weights)
    else:
        from onnxpress.export import from_keras

        from_keras.load_weights(network, weights)
    samples = read_samples(folder / run.samples)
    names = {spec.name for spec in run.inputs}
    absent = names - samples.keys()
    if absent:
        raise BadData(f"no samples of the input {', '.join(sorted(absent))}", where=str(folder / run.samples))
    return Source(
        reference=reference,
        name=run.name,
        framework=run.framework,
        network=network,
        network_inputs=run.network_inputs,
        network_outputs=run.network_outputs,
        inputs=run.inputs,
        outputs=run.outputs,
        processing=run.processing,
        samples={name: samples[name] for name in names},
        labels=run.labels,
        thresholds=run.thresholds,
        parameters=run.parameters,
        seed=run.seed,
    )


def _from_dotted(reference: str, inputs: list[TensorSpec], samples: dict[str, Array]) -> Source:
    found = dotted.load(reference)
    framework = framework_of(found)
    examples = None
    if framework is None:
        if not callable(found):
            raise UsageError(f"this is {type(found).__name__}, not a model, a class or a factory", where=reference)
        try:
            found = found()
        except TypeError as error:
            raise UsageError(
                f"calling it without arguments failed: {error}",
                where=reference,
                hint="name a factory that takes no arguments",
            ) from error
        if isinstance(found, tuple) and len(found) == 2:
            found, examples = found
        framework = framework_of(found)
    if framework is None:
        raise UsageError(
            f"it returned {type(found).__name__}, which is neither a torch.nn.Module nor a Keras model",
            where=reference,
            hint="return the model, or (model, example_inputs)",
        )
    return Source(
        reference=reference,
        name=_model_name(reference),
        framework=framework,
        network=found,
        example_inputs=examples,
        network_inputs=inputs or None,
        samples=samples,
    )


def framework_of(value: object) -> Framework | None:
    """The framework that `value` is a model of, told by its class's ancestry, so that neither has to be imported."""
    for ancestor in type(value).__mro__:
        module = ancestor.__module__
        if ancestor.__name__ == "Module" and module.startswith("torch.nn."):
            return "pytorch"
        if ancestor.__name__ == "Model" and (module.startswith("keras.") or module == "keras"):
            return "tensorflow"
    return None


def _model_name(reference: str) -> str:
    """`my_pkg.nets:Encoder.build` → `Encoder.build`; a bare `build` takes its module's name."""
    module, _, attribute = reference.partition(":")
    stem = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    return stem if attribute in {"build", "model", "main", "create", "get_model", "build_model"} else attribute
