"""A run folder, a model file or a dotted path, resolved to a model and its contract."""

from __future__ import annotations

import copy
import os
import random
import sys
import sysconfig
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import dotted
from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, OnnxpressError, UsageError
from onnxpress.core.raised import own_frame, place
from onnxpress.export.graph import zip_maps
from onnxpress.export.graph.opset import OPSETS
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources import model_files, preprocessing
from onnxpress.export.sources.framework import framework_of
from onnxpress.export.sources.import_talk import import_talk
from onnxpress.export.sources.samples import read_samples

_SEED = 0
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
"""folders of Python's own modules and of what is installed"""


def resolve(ref: SourceRef | str) -> Source:
    """The Source that `ref` names; a text alone is a SourceRef without options.

    Raises UsageError or BadData, saying what was looked for.
    """
    with import_talk() as talk:
        source = _resolved(ref)
    return replace(source, talk=[*talk, *source.talk])


def _resolved(ref: SourceRef | str) -> Source:
    ref = SourceRef(reference=ref) if isinstance(ref, str) else ref
    ref, reference = msgspec.structs.replace(ref, inputs=ref.input_specs), ref.reference
    # Both must stand before the user's module imports TensorFlow: its C++ log writes to stderr from the first import
    # on, and with a GPU in sight Keras traces CudnnRNNV3, which has no ONNX form.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if ref.hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if ref.opset not in OPSETS:
        raise UsageError(f"opset {ref.opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}", where=reference)
    path = Path(reference)
    if ref.against is not None and path.suffix != ".onnx":
        raise UsageError("--against compares an .onnx file with its source", where=reference)
    if ref.weights is not None and ":" not in reference:
        raise UsageError("--weights fills the model of a module:attribute; this has its own", where=reference)
    if ref.weights_key is not None and ref.weights is None:
        raise UsageError("--weights-key says where in the file of --weights", where=reference)
    rows = read_samples(ref.samples) if ref.samples else {}
    if ":" not in reference and model_files.is_model_file(path):
        source = _from_object(model_files.load(path, trust_pickle=ref.trust_pickle), path.stem, ref, rows)
        return source if ref.against is None else replace(source, against=_compared(ref, ref.against))
    if path.is_dir():
        if ref.preprocess is not None:
            raise UsageError("a run has its own steps around the network; --preprocess is for other sources")
        source = _from_run(path, reference, trusted=ref.trust_run)
        return replace(source, ref=ref, opset=ref.opset, domains=list(ref.domains))
    if ":" not in reference:
        raise UsageError(
            "neither a run folder, a model file nor a dotted path",
            where=reference,
            hint="give the folder that `onnxpress train` wrote, a file ending in "
            f"{', '.join(model_files.ENDINGS)}, a SavedModel folder, or module:attribute, e.g. my_package.models:build",
        )
    return _from_dotted(ref, rows)


def _compared(ref: SourceRef, against: str) -> Source:
    """The framework's model that an .onnx file is compared with: on the same inputs and rows."""
    return resolve(
        SourceRef(
            reference=against,
            inputs=ref.inputs,
            domains=ref.domains,
            samples=ref.samples,
            signature=ref.signature,
            trust_pickle=ref.trust_pickle,
            trust_run=ref.trust_run,
            hide_gpus=ref.hide_gpus,
        )
    )


def _from_run(folder: Path, reference: str, *, trusted: bool) -> Source:
    run = runs.read(folder)
    network = runs.factory(run, folder, trusted=trusted)(**run.settings)
    weights = folder / run.weights
    if not weights.is_file():
        raise BadData(f"the weights {run.weights} are missing", where=str(folder), hint="train it again")
    if run.framework == "pytorch":
        from onnxpress.export.networks.pytorch import weights as torch_weights

        torch_weights.load_weights(network, weights)
    else:
        from onnxpress.export.networks.tensorflow import weights as keras_weights

        keras_weights.load_weights(network, weights, run.network_inputs)
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


def _from_dotted(ref: SourceRef, samples: dict[str, Array]) -> Source:
    reference = ref.reference
    _seed()
    model = dotted.load(reference)
    examples = None
    if framework_of(model) is None:
        if not callable(model):
            raise UsageError(f"this is {type(model).__name__}, not a model, a class or a factory", where=reference)
        _seed()
        try:
            model = model()
        except (OnnxpressError, MemoryError):
            raise
        except Exception as error:
            raise _failed(error, reference) from error
        if isinstance(model, tuple) and len(model) == 2:
            model, examples = model
    if framework_of(model) is None:
        raise UsageError(
            f"it returned {type(model).__name__}, which is no torch module, Keras model, tf.function or scikit-learn "
            "estimator",
            where=reference,
            hint="return the model, or (model, example_inputs)",
        )
    if ref.weights is not None:
        _fill(model, ref, (samples or None) if examples is None else examples)
    source = _from_object(model, _model_name(reference), ref, samples, examples)
    # What the evidence names is what `verify --against` is to be called with.
    if ref.weights is None:
        return source
    key = "" if ref.weights_key is None else f" --weights-key {ref.weights_key}"
    return replace(source, reference=f"{reference} --weights {ref.weights}{key}")


def _fill(model: Any, ref: SourceRef, given: Any) -> None:
    """Load weights that lie in a file of their own into a torch module or a Keras model, which `given` is for."""
    weights, key, reference = ref.weights, ref.weights_key, ref.reference
    assert weights is not None
    if not weights.is_file():
        raise UsageError("no such file of weights", where=str(weights))
    framework = framework_of(model)
    if framework == "pytorch" and hasattr(model, "load_state_dict"):
        from onnxpress.export.networks.pytorch import weights as torch_weights

        torch_weights.load_weights(model, weights, key)
    elif key is not None:
        raise UsageError("--weights-key is for the checkpoints of torch", where=reference, hint="leave it out")
    elif framework == "tensorflow" and hasattr(model, "load_weights"):
        from onnxpress.export.networks.tensorflow import weights as keras_weights

        keras_weights.load_weights(model, weights, ref.input_specs, given)
    else:
        raise UsageError(f"{type(model).__name__} takes no --weights", where=reference, hint="leave them out")


def _from_object(model: Any, name: str, ref: SourceRef, samples: dict[str, Array], examples: Any = None) -> Source:
    framework = framework_of(model)
    if framework is None:
        raise BadModel(f"it holds {type(model).__name__}, which is no model", where=ref.reference)
    labels: dict[str, list[str]] = {}
    if framework == "onnx" and any(node.op_type == "ZipMap" for node in model.graph.node):
        model = copy.deepcopy(model)
        labels = zip_maps.unwrap(model)
    source = Source(
        reference=ref.reference,
        name=name,
        framework=framework,
        network=model,
        example_inputs=examples,
        network_inputs=ref.input_specs or None,
        domains=list(ref.domains),
        samples=samples,
        labels=labels,
        opset=ref.opset,
        allowed_operators=ref.allow_operators,
        signature=ref.signature,
        ref=ref,
    )
    return source if ref.preprocess is None else preprocessing.around(source, ref.preprocess)


def from_object(model: Any, name: str, ref: SourceRef, samples: dict[str, Array], example_inputs: Any = None) -> Source:
    """The Source of a model in this process; of `ref` the options count, as no other process can resolve it again.

    Raises BadModel for what is no model, UsageError for options that cannot be read.
    """
    if ref.opset not in OPSETS:
        raise UsageError(f"opset {ref.opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}", where=ref.reference)
    ref = msgspec.structs.replace(ref, inputs=ref.input_specs)
    return replace(_from_object(model, name, ref, samples, example_inputs), ref=None)


def _failed(error: Exception, reference: str) -> UsageError:
    """That the user's factory fails, and where; or that it cannot be called."""
    inside = traceback.extract_tb(error.__traceback__)[1:]
    if isinstance(error, TypeError) and not inside:
        return UsageError(
            f"calling it without arguments failed: {error}",
            where=reference,
            hint="name a factory that takes no arguments",
        )
    own = own_frame(error, lambda file: file == __file__ or file.startswith(_LIBRARIES))
    at = place(own or (inside[-1] if inside else None))
    return UsageError(f"it failed: {type(error).__name__}: {error}{f' ({at})' if at else ''}", where=reference)


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
