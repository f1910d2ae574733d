"""Engine: a model loaded under the session settings it was measured with, replaying its golden samples first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from onnxpress.core.errors import BadData, BadModel, CorruptVersion
from onnxpress.core.manifest import Manifest, SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine.runtime import onnxruntime, provider_options
from onnxpress.serving.engine.threads import available_cpus

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
_DTYPES = {"float": "float32", "double": "float64"}
_SPIN_MICROSECONDS = "1000"
"""ONNX Runtime's own default keeps 75-80 % of the CPUs busy at 50 requests a second; this 11 %, at the same latency"""


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples replayed on this machine: the worst error in noise floors, against the accepted limit."""

    cases: int
    worst_multiple: float
    limit: float


class Engine:
    """A loaded model. `run` is safe to call from several threads."""

    manifest: Manifest | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    self_test: SelfTest | None = None

    def __init__(self, session: Any, manifest: Manifest | None, provider: str) -> None:
        self._session = session
        self.manifest, self.provider = manifest, provider
        declared = {spec.name: spec for spec in (*manifest.inputs, *manifest.outputs)} if manifest else {}
        self.inputs = tuple(_spec(value, declared) for value in session.get_inputs())
        self.outputs = tuple(_spec(value, declared) for value in session.get_outputs())
        self.output_names = [spec.name for spec in self.outputs]

    @classmethod
    def load(
        cls,
        model: Path | bytes,
        *,
        provider: str = "cpu",
        settings: SessionSettings | None = None,
        threads: int | None = None,
        self_test: bool = True,
    ) -> Engine:
        """Load an `.onnx` file, or a serialized model.

        The manifest beside a file gives the session settings, unless they are given, and its golden samples are
        replayed unless `self_test` is off. Raises BadModel where the runtime refuses the model or the self-test fails,
        CorruptVersion where manifest or goldens cannot be read.
        """
        manifest = read_manifest(model.parent) if isinstance(model, Path) else None
        where = str(model) if isinstance(model, Path) else None
        settings = settings or (manifest.session if manifest else SessionSettings())
        runtime = onnxruntime()
        options = _session_options(settings, provider, threads)
        content = model if isinstance(model, bytes) else str(model)
        try:
            session = runtime.InferenceSession(
                content, options, providers=provider_options(provider), disabled_optimizers=settings.disabled_optimizers
            )
        except BadModel:
            raise
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise BadModel(f"ONNX Runtime cannot load it: {_plain(error)}", where=where) from error
        engine = cls(session, manifest, provider)
        if self_test and manifest is not None:
            assert isinstance(model, Path)
            engine._replay(model.parent, manifest)
        return engine

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Output name → array. Raises BadData where the feeds do not fit, in the runtime's words without its source."""
        names = self.output_names if outputs is None else list(outputs)
        try:
            return dict(zip(names, self._session.run(names, feeds), strict=True))
        except Exception as error:
            raise BadData(_plain(error)) from error

    def run_all(self, feeds: dict[str, Array]) -> list[Array]:
        """Every output in order; the runtime's own exceptions. For the server's hot path."""
        answers: list[Array] = self._session.run(self.output_names, feeds)
        return answers

    def _replay(self, folder: Path, manifest: Manifest) -> None:
        from onnxpress.core import golden

        path = folder / golden.FILE_NAME
        if not path.exists():
            if golden.FILE_NAME in manifest.files:
                raise CorruptVersion(f"{golden.FILE_NAME} is missing", where=str(folder), hint="export it again")
            return
        cases = golden.read(path)
        worst, limit = 0.0, manifest.equivalence.limit
        for case in cases:
            multiples = golden.worst_multiple(case, self.run(case.inputs))
            name = max(multiples, key=lambda output: multiples[output])
            worst = max(worst, multiples[name])
            if not multiples[name] <= limit:
                raise BadModel(
                    f"the self-test failed: {name} is {multiples[name]:.3g} noise floors from the reference on this "
                    f"machine, {limit:g} are accepted",
                    where=str(folder),
                    hint="the model file or the runtime is not what was measured; export it again with this runtime",
                )
        self.self_test = SelfTest(cases=len(cases), worst_multiple=worst, limit=limit)


def _session_options(settings: SessionSettings, provider: str, threads: int | None) -> Any:
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel(_LEVELS[settings.optimization])
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_MICROSECONDS)
    if provider != "cpu":
        # What cannot run where it was asked to is an error, not a silent fall to the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in settings.config.items():
        options.add_session_config_entry(key, value)
    return options


def _spec(value: Any, declared: Mapping[str, TensorSpec]) -> TensorSpec:
    """The runtime's word for an input or output, with the manifest's dimension names and domain where they agree."""
    match = re.fullmatch(r"tensor\((\w+)\)", value.type)
    if match is None:
        raise BadModel(
            f"{value.name!r} is {value.type}; only tensors can be served",
            hint="export it with tensor inputs and outputs",
        )
    dtype = _DTYPES.get(match[1], match[1])
    shape = tuple(
        size if isinstance(size, int) else (size or ("batch" if axis == 0 else f"{value.name}_{axis}"))
        for axis, size in enumerate(value.shape)
    )
    known = declared.get(value.name)
    if known is not None and known.dtype == dtype and len(known.shape) == len(shape):
        return known
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)


def _plain(error: Exception) -> str:
    """The runtime's message without its error class, code and C++ source position."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    text = re.sub(r"(/\S+\.(cc|h):\d+ )\S.*?(?=[A-Z][a-z]+ )", "", text)
    return text.splitlines()[0] if text else type(error).__name__
