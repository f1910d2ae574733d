"""A run folder, a model file or a dotted path, resolved to a model and its contract."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core import dotted
from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.opset import OPSET, OPSETS
from onnxpress.export.source import Origin, Source
from onnxpress.export.sources import model_files, preprocessing
from onnxpress.export.sources.framework import framework_of
from onnxpress.export.sources.samples import read_samples

_SEED = 0


def resolve_again(origin: Origin) -> Source:
    """The source that `origin` names, as in the process that wrote it."""
    return resolve(
        origin.reference,
        inputs=origin.inputs,
        samples=Path(origin.samples) if origin.samples else None,
        hide_gpus=origin.hide_gpus,
        trust_pickle=origin.trust_pickle,
        against=origin.against,
        preprocess=Path(origin.preprocess) if origin.preprocess else None,
        weights=Path(origin.weights) if origin.weights else None,
        opset=origin.opset,
        allowed_operators=origin.allowed_operators,
    )


def resolve(
    reference: str,
    *,
    inputs: Sequence[TensorSpec] = (),
    samples: Path | None = None,
    hide_gpus: bool = True,
    trust_pickle: bool = False,
    against: str | None = None,
    preprocess: Path | None = None,
    weights: Path | None = None,
    opset: int = OPSET,
    allowed_operators: Sequence[str] = (),
) -> Source:
    """A run folder, a model file, or `module:attr` naming a model, a class or a factory → Source.

    `inputs` (from --input) and `samples` (from --samples) add to, and override, what the source itself tells.
    `hide_gpus` is off only where the equivalence is to be measured on a GPU in this process.
    `against` names the framework's model that an .onnx file is compared with; `preprocess` a file that describes steps
    around the network, see `preprocessing`; `weights` a state dict, or Keras's `.weights.h5`, for the model that
    `module:attr` makes. Raises UsageError or BadData, saying what was looked for.
    """
    # Both must stand before the user's module imports TensorFlow: its C++ log writes to stderr from the first import
    # on, and with a GPU in sight Keras traces CudnnRNNV3, which has no ONNX form.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    origin = Origin(
        reference=reference,
        inputs=list(inputs),
        samples=str(samples) if samples else None,
        hide_gpus=hide_gpus,
        trust_pickle=trust_pickle,
        against=against,
        preprocess=str(preprocess) if preprocess else None,
        weights=str(weights) if weights else None,
        opset=opset,
        allowed_operators=list(allowed_operators),
    )
    if opset not in OPSETS:
        raise UsageError(f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}", where=reference)
    path = Path(reference)
    if against is not None and path.suffix != ".onnx":
        raise UsageError("--against compares an .onnx file with its source", where=reference)
    if weights is not None and ":" not in reference:
        raise UsageError("--weights fills the model of a module:attribute; this has its own", where=reference)
    arrays = read_samples(samples) if samples else {}
    if ":" not in reference and model_files.is_model_file(path):
        source = _from_object(model_files.load(path, trust_pickle=trust_pickle), path.stem, origin, arrays)
        if against is not None:
            compared = resolve(against, inputs=inputs, samples=samples, hide_gpus=hide_gpus, trust_pickle=trust_pickle)
            return replace(source, against=compared)
        return source
    if path.is_dir():
        if preprocess is not None:
            raise UsageError("a run has its own steps around the network; --preprocess is for other sources")
        return replace(_from_run(path, reference), origin=origin, opset=opset)
    if ":" not in reference:
        raise UsageError(
            "neither a run folder, a model file nor a dotted path",
            where=reference,
            hint="give the folder that `onnxpress train` wrote, a file ending in "
            f"{', '.join(model_files.ENDINGS)}, a SavedModel folder, or module:attribute, e.g. my_package.models:build",
        )
    return _from_dotted(reference, origin, arrays)


def _from_run(folder: Path, reference: str) -> Source:
    run = runs.read(folder)
    network = dotted.load(run.model)(**run.settings)
    weights = folder / run.weights
    if not weights.is_file():
        raise BadData(f"the weights {run.weights} are missing", where=str(folder), hint="train it again")
    if run.framework == "pytorch":
        from onnxpress.export.networks.pytorch import weights as torch_weights

        torch_weights.load_weights(network, weights)
    else:
        from onnxpress.export.networks.tensorflow import weights as keras_weights

        keras_weights.load_weights(network, weights)
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


def _from_dotted(reference: str, origin: Origin, samples: dict[str, Array]) -> Source:
    _seed()
    found = dotted.load(reference)
    examples = None
    if framework_of(found) is None:
        if not callable(found):
            raise UsageError(f"this is {type(found).__name__}, not a model, a class or a factory", where=reference)
        _seed()
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
    if framework_of(found) is None:
        raise UsageError(
            f"it returned {type(found).__name__}, which is no torch module, Keras model, tf.function or scikit-learn "
            "estimator",
            where=reference,
            hint="return the model, or (model, example_inputs)",
        )
    if origin.weights is not None:
        _fill(found, Path(origin.weights), reference)
    source = _from_object(found, _model_name(reference), origin, samples, examples)
    # What the evidence names is what `verify --against` is to be called with.
    return source if origin.weights is None else replace(source, reference=f"{reference} --weights {origin.weights}")


def _fill(model: Any, weights: Path, reference: str) -> None:
    """Load weights that lie in a file of their own into a torch module or a Keras model."""
    if not weights.is_file():
        raise UsageError("no such file of weights", where=str(weights))
    framework = framework_of(model)
    if framework == "pytorch" and hasattr(model, "load_state_dict"):
        from onnxpress.export.networks.pytorch import weights as torch_weights

        torch_weights.load_weights(model, weights)
    elif framework == "tensorflow" and hasattr(model, "load_weights"):
        from onnxpress.export.networks.tensorflow import weights as keras_weights

        keras_weights.load_weights(model, weights)
    else:
        raise UsageError(f"{type(model).__name__} takes no --weights", where=reference, hint="leave them out")


def _from_object(found: Any, name: str, origin: Origin, samples: dict[str, Array], examples: Any = None) -> Source:
    framework = framework_of(found)
    if framework is None:
        raise BadModel(f"it holds {type(found).__name__}, which is no model", where=origin.reference)
    source = Source(
        reference=origin.reference,
        name=name,
        framework=framework,
        network=found,
        example_inputs=examples,
        network_inputs=list(origin.inputs) or None,
        samples=samples,
        opset=origin.opset,
        allowed_operators=origin.allowed_operators,
        origin=origin,
    )
    return source if origin.preprocess is None else preprocessing.around(source, Path(origin.preprocess))


def _seed() -> None:
    """The same weights from an unseeded factory every time: export is deterministic, and a child builds the same."""
    random.seed(_SEED)
    np.random.seed(_SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(_SEED)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(_SEED)


def _model_name(reference: str) -> str:
    """`my_pkg.nets:Encoder.build` → `Encoder.build`; a bare `build` takes its module's name."""
    module, _, attribute = reference.partition(":")
    stem = Path(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    return stem if attribute in {"build", "model", "main", "create", "get_model", "build_model"} else attribute
