"""`onnxpress.export`: the whole stage as one call, for a model in this process or one that words name."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.child_process.parent import ConversionLimits
from onnxpress.export.graph.opset import OPSET
from onnxpress.export.pipeline.export import export as export_source
from onnxpress.export.pipeline.publish import Published
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.framework import framework_of
from onnxpress.export.sources.resolve import from_object, resolve
from onnxpress.export.sources.samples import checked_samples, read_samples

_GIB = 1 << 30
_TOUCHED = ("CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL")
"""what resolving sets for the frameworks, and this process gets back as it was"""


def export(
    model: Any,
    *,
    name: str | None = None,
    repository: str | Path = "models",
    inputs: Sequence[str | TensorSpec] = (),
    domains: Sequence[str] = (),
    example: Any = None,
    samples: Mapping[str, Array] | str | Path | None = None,
    preprocess: str | Path | None = None,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    against: str | None = None,
    signature: str | None = None,
    opset: int = OPSET,
    allow_operators: Sequence[str] = (),
    provider: str = "cpu",
    trust_pickle: bool = False,
    trust_run: bool = False,
    time_limit: float = 1800.0,
    memory_limit: float | None = None,
    accept_refusal: str | None = None,
) -> Published:
    """Convert a model to ONNX, measure that it says the same, and publish it; the version's folder and its evidence.

    `model` is a torch module or ExportedProgram, a Keras model, a tf.function or a fitted scikit-learn estimator, which
    comes back as it was; or what the command `onnxpress export` takes: a run folder, a model file, or
    `package.module:attribute`. It becomes the next version of `name` (by default the run's, the file's, the
    attribute's or the class's name) in `repository`.

    `inputs` name the inputs, as TensorSpec or text: `x:float32[batch,3,224,224]`, where a name stands for a size that
    varies. Of a Keras model and an estimator they are known. `domains` say the values that they take, `x:[0,255]` or
    `colour:{red,green}`: nothing else is asked, and the server refuses all else. `example` is what the model is called
    with (an array, a tuple, a dict by name), whose first axis is the batch. `samples` are real rows for the
    measurement, input name → array (or an `.npz` of them), rows on the first axis, in the dtypes of the inputs; of an
    estimator, the inputs take the dtypes of the samples or the example. They are the best questions there are: without
    them, rows are made up.

    The other arguments are the command's options, see docs/exporting.md; `memory_limit` is in GiB. A model that words
    name is converted in a child process within both limits; one in this process is converted here, without them.

    Steps are told on stderr. Raises NotEquivalent where the export does not say the same (nothing is published then),
    BadModel where it cannot be converted, UsageError and BadData for arguments that do not fit, MissingExtra where the
    framework's converter is not installed.

    >>> published = onnxpress.export(estimator, name="flowers", samples={"features": rows})
    >>> published.folder
    PosixPath('models/flowers/1')
    >>> published.report.equivalent
    True
    """
    if opset < 0 or time_limit <= 0 or (memory_limit is not None and memory_limit <= 0):
        raise UsageError("time_limit and memory_limit must be more than 0, and opset a number of an opset")
    with _environment_kept(), tempfile.TemporaryDirectory(prefix="onnxpress-samples-") as folder:
        if isinstance(model, str | os.PathLike):
            if example is not None:
                raise UsageError(
                    "an example is for a model in this process",
                    where=str(model),
                    hint="return (model, example_inputs) from the factory, or give samples",
                )
            source = resolve(
                SourceRef(
                    reference=os.fspath(model),
                    inputs=list(inputs),
                    domains=list(domains),
                    samples=_as_file(samples, Path(folder)),
                    preprocess=_path(preprocess),
                    weights=_path(weights),
                    weights_key=weights_key,
                    against=against,
                    signature=signature,
                    opset=opset,
                    allow_operators=list(allow_operators),
                    trust_pickle=trust_pickle,
                    trust_run=trust_run,
                    hide_gpus=provider == "cpu",
                )
            )
        else:
            of_words = {
                "weights": weights,
                "weights_key": weights_key,
                "against": against,
                "signature": signature,
                "trust_pickle": trust_pickle,
                "trust_run": trust_run,
            }
            for option, given in of_words.items():
                if given:
                    raise UsageError(f"{option} is for a model that words name; this one is here already")
            source = _in_this_process(model, inputs, domains, example, samples, preprocess, opset, allow_operators)
        limits = ConversionLimits(seconds=time_limit, memory=None if memory_limit is None else int(memory_limit * _GIB))
        return export_source(
            source,
            repository=Path(repository),
            name=name,
            provider=provider,
            limits=limits,
            accept_refusal=accept_refusal,
        )


def _in_this_process(
    model: Any,
    inputs: Sequence[str | TensorSpec],
    domains: Sequence[str],
    example: Any,
    samples: Mapping[str, Array] | str | Path | None,
    preprocess: str | Path | None,
    opset: int,
    allow_operators: Sequence[str],
) -> Source:
    if framework_of(model) is None:
        raise UsageError(
            f"{type(model).__name__} is no torch module, Keras model, tf.function or scikit-learn estimator",
            hint="give the model itself, or the words that name it: a path, or package.module:attribute",
        )
    ref = SourceRef(
        reference=f"{type(model).__module__}.{type(model).__qualname__}, handed over in Python",
        inputs=list(inputs),
        domains=list(domains),
        preprocess=_path(preprocess),
        opset=opset,
        allow_operators=list(allow_operators),
    )
    if isinstance(samples, Mapping):
        rows = checked_samples(samples, "samples")
    else:
        rows = {} if samples is None else read_samples(Path(samples))
    return from_object(model, type(model).__name__, ref, rows, example)


def _as_file(samples: Mapping[str, Array] | str | Path | None, folder: Path) -> Path | None:
    """Samples where the child process can read them too."""
    if not isinstance(samples, Mapping):
        return _path(samples)
    rows = checked_samples(samples, "samples")
    path = folder / "samples.npz"
    np.savez(path, allow_pickle=False, **{name: _without_objects(value) for name, value in rows.items()})
    return path


def _without_objects(value: Array) -> Array:
    return value.astype(np.str_) if value.dtype == object else value


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _TOUCHED}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
