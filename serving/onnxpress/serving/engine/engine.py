"""Engine: a model loaded under the session settings it was measured with, replaying its golden samples first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from onnxpress.core.errors import BadData, BadModel, CorruptVersion
from onnxpress.core.manifest import Manifest, SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine.runtime import onnxruntime, provider_options
from onnxpress.serving.engine.signature import agreed, declared

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
SPIN_MICROSECONDS = "1000"
"""ONNX Runtime's own default keeps 75-80 % of the CPUs busy at 50 requests a second; this 11 %, at the same latency"""
_SMOOTHING = 0.2
_MESSAGE_CHARACTERS = 500


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples replayed on this machine: the worst error in noise floors, against the accepted limit."""

    cases: int
    worst_multiple: float
    limit: float


class Engine:
    """A loaded model. `run` and `run_all` are safe to call from several threads."""

    name: str
    version: int
    manifest: Manifest | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    self_test: SelfTest | None = None
    seconds_per_value: float | None = None
    """smoothed run time over the number of input values; None until the first timed run"""

    def __init__(self, session: Any, manifest: Manifest | None, *, name: str, version: int, provider: str) -> None:
        self._session: Any = session
        self.name, self.version = name, version
        self.manifest, self.provider = manifest, provider
        inputs, outputs = declared(session.get_inputs()), declared(session.get_outputs())
        self.inputs = agreed(inputs, manifest.inputs) if manifest else inputs
        self.outputs = agreed(outputs, manifest.outputs) if manifest else outputs
        if any(spec.dtype == "bfloat16" for spec in (*inputs, *outputs)):
            from onnxpress.serving.engine import bfloat16

            self._session = bfloat16.Session(session, {spec.name for spec in inputs if spec.dtype == "bfloat16"})
        self.runs, self.run_seconds = 0, 0.0  # of run_all
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

        The manifest beside a file gives name, version and, unless they are given, the session settings; its golden
        samples are replayed unless `self_test` is off. `threads` defaults to the CPUs that this process may use.
        Raises BadModel where the runtime refuses the model, the provider is not usable or the self-test fails,
        CorruptVersion where manifest or goldens cannot be read or contradict the model.
        """
        if isinstance(model, bytes):
            return cls._open(model, None, provider, settings or SessionSettings(), threads, name="model", version=1)
        manifest = read_manifest(model.parent)
        name, version = (manifest.name, manifest.version) if manifest else (model.stem, 1)
        settings = settings or (manifest.session if manifest else SessionSettings())
        try:
            engine = cls._open(str(model), manifest, provider, settings, threads, name=name, version=version)
        except BadModel as error:
            error.where = error.where or str(model)
            raise
        if self_test and manifest is not None:
            engine._replay(model.parent, manifest)
        return engine

    @classmethod
    def _open(
        cls,
        model: str | bytes,
        manifest: Manifest | None,
        provider: str,
        settings: SessionSettings,
        threads: int | None,
        *,
        name: str,
        version: int,
    ) -> Engine:
        runtime = onnxruntime()
        providers = provider_options(provider)
        options = _session_options(settings, provider, threads)
        try:
            # enable_fallback=0: by default the runtime's Python layer prints a line and goes on without the provider.
            session = runtime.InferenceSession(
                model,
                options,
                providers=providers,
                disabled_optimizers=settings.disabled_optimizers,
                enable_fallback=0,
            )
        except Exception as error:  # the runtime's exceptions share no base of their own
            raise BadModel(f"ONNX Runtime cannot load it: {plain(error)}") from error
        wanted = providers[0][0]
        if wanted not in session.get_providers():
            raise BadModel(f"ONNX Runtime loaded it without {wanted}; its libraries or the device are missing here")
        return cls(session, manifest, name=name, version=version, provider=provider)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Output name → array, for all outputs or those named.

        Raises BadData where names are wrong or the runtime refuses the values, in its words without its source lines.
        """
        names = self.output_names if outputs is None else list(outputs)
        for kind, given, known in (
            ("input", list(feeds), [spec.name for spec in self.inputs]),
            ("output", names, self.output_names),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise BadData(f"there is no {kind} {unknown[0]!r}; there is: {', '.join(known)}", where=self.name)
        absent = [str(spec) for spec in self.inputs if spec.name not in feeds]
        if absent:
            raise BadData(f"the input {absent[0]} is missing", where=self.name)
        try:
            return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))
        except Exception as error:
            raise BadData(f"the model cannot answer this: {plain(error)}", where=self.name) from error

    def run_all(self, feeds: dict[str, Array], values: int) -> list[Array]:
        """Every output in order, timed for `expected_seconds`. For the server's hot path: the runtime's own exceptions.

        `values` is the number of values in all inputs together.
        """
        started = perf_counter()
        answers: list[Array] = self._session.run(self.output_names, feeds)
        took = perf_counter() - started
        self.runs += 1
        self.run_seconds += took
        seconds = took / max(values, 1)
        known = self.seconds_per_value
        # The first run sets the estimate; later ones move it, so that one slow run does not change the course.
        self.seconds_per_value = seconds if known is None else known + (min(seconds, 10 * known) - known) * _SMOOTHING
        return answers

    def expected_seconds(self, values: int) -> float:
        """How long a run over so many input values will take, as far as is known; infinite before the first run."""
        known = self.seconds_per_value
        return float("inf") if known is None else known * values

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
            try:
                answers = self.run(case.inputs)
            except BadData as error:
                raise CorruptVersion(f"the samples do not fit the model: {error.what}", where=str(path)) from None
            multiples = golden.worst_multiple(case, answers)
            name = max(multiples, key=lambda output: multiples[output])
            worst = max(worst, multiples[name])
            if not multiples[name] <= limit:
                raise BadModel(
                    f"the self-test failed: {name} is {multiples[name]:.3g} noise floors from the reference on this "
                    f"machine, {limit:g} are accepted",
                    where=str(folder),
                    hint="the model file or the runtime is not what was measured; export it again with this runtime",
                )
        if cases:
            # The runtime prepares itself in the first run; this one, warm, tells the server how long a run takes.
            first = cases[0].inputs
            self.run_all(first, sum(value.size for value in first.values()))
        self.self_test = SelfTest(cases=len(cases), worst_multiple=worst, limit=limit)


def _session_options(settings: SessionSettings, provider: str, threads: int | None) -> Any:
    from onnxpress.serving.engine.threads import available_cpus

    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once, by us
    options.graph_optimization_level = runtime.GraphOptimizationLevel(_LEVELS[settings.optimization])
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    if provider != "cpu":
        # What cannot run where it was asked to is an error, not a silent fall to the CPU.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    for key, value in settings.config.items():
        options.add_session_config_entry(key, value)
    return options


def plain(error: Exception) -> str:
    """The runtime's message in one line, without its error class, code and C++ source position."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    text = re.sub(r"(/\S+\.(cc|h):\d+ )\S.*?(?=[A-Z][a-z]+ )", "", text)
    return " ".join(text.split())[:_MESSAGE_CHARACTERS] or type(error).__name__
