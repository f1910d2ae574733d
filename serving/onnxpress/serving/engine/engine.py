"""Engine: a model loaded under the session settings it was measured with, replaying its golden samples first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import get_ident
from time import perf_counter
from typing import Any, Self

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, OnnxpressError
from onnxpress.core.manifest import Manifest, SessionSettings
from onnxpress.core.onnx_graph import Model, open_model
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine import external_data, fatal, rows_apart, self_tests, value_dependent
from onnxpress.serving.engine.arena import ArenaShrinkage
from onnxpress.serving.engine.feeds import as_arrays
from onnxpress.serving.engine.rows_apart import RowsApart
from onnxpress.serving.engine.runtime import onnxruntime
from onnxpress.serving.engine.sessions import Down, OpenSession, Session, local_session, plain
from onnxpress.serving.engine.signature import agreed, carried, check_ranks, declared
from onnxpress.serving.timing import RunTimes

_SMOOTHING = 0.2
Shapes = tuple[tuple[int, ...], ...] | None
"""of the inputs, or what is open of them; None where nothing but the number of rows is"""
_MOST_SHAPES = 1024
_LONG_SECONDS = 0.05
"""a first run that takes so long is no matter of preparation; a second would only delay the start"""


_MANY_VALUES = 4096
_SECONDS_TO_WRITE = 1e-7
"""a number as JSON"""


class Engine:
    """A loaded model. `run` and `run_all` are safe to call from several threads."""

    name: str
    version: int
    manifest: Manifest | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    self_test: self_tests.SelfTest | None = None
    seconds_per_value: float | None = None
    """smoothed run time over the number of input values; None before the first run, and where runs are elsewhere"""
    seconds_of_a_run = 0.0
    """of every run whatever its size, beside those: what launching it takes on a GPU, see `sample_inputs.warm_up`"""

    fatal_when_empty: tuple[str, ...] = ()
    """operators in the graph that a tensor of no values must not reach; see `fatal`"""

    findings = value_dependent.Findings()
    """what the graph does with values that their shapes do not tell; see `value_dependent`"""

    rows = RowsApart(False, "its file was not read")
    """whether a row's answer is the same in every batch, and how that is known"""

    run_limit = 300.0
    """seconds that a run may take where `run_all` is told to limit it"""

    def __init__(self, session: Session, manifest: Manifest | None, *, name: str, version: int, provider: str) -> None:
        """Raises BadModel for inputs and outputs that requests cannot carry, CorruptVersion where the manifest errs."""
        self._session, self._run = session, session.run
        self.name, self.version, self.manifest, self.provider = name, version, manifest, provider
        inputs, outputs = declared(session.inputs), declared(session.outputs)
        self.inputs = agreed(inputs, manifest.inputs) if manifest else inputs
        self.outputs = agreed(outputs, manifest.outputs) if manifest else outputs
        self.optional = () if manifest else carried(session.optional)
        """inputs with a default, which initializers are; none where answers were measured with the defaults alone"""
        self.runs, self.run_seconds = 0, 0.0  # of run_all
        self.output_names = [spec.name for spec in self.outputs]
        self._measured: dict[Shapes, float] = {}
        """seconds for each value in runs of these shapes"""
        self._arena = ArenaShrinkage(provider)
        self._under_way: dict[int, tuple[float, Any]] = {}
        """thread → when its limited run began, and that one's RunOptions"""

    @classmethod
    def load(
        cls,
        model: Path | bytes,
        *,
        provider: str = "cpu",
        settings: SessionSettings | None = None,
        threads: int | None = None,
        self_test: bool = True,
        prepack: bool = True,
        open_session: OpenSession | None = None,
        custom_ops: Sequence[str] = (),
    ) -> Self:
        """Load an `.onnx` file, or a serialized model.

        The manifest beside a file gives name, version and, unless they are given, the session settings; its golden
        samples are replayed unless `self_test` is off. `threads` defaults to the CPUs that this process may use.
        Without `prepack`, weights are not copied into the layout that kernels like best: external data is used as it is
        mapped from its file, so that loading takes milliseconds, and batches take up to twice as long.
        `open_session` opens what runs the model; without it that is the runtime in this process. `custom_ops` are
        shared libraries whose operators the model may use. Raises BadModel where the runtime refuses the model, the
        provider is not usable or the self-test fails, CorruptVersion where manifest or goldens do not fit the model.
        """
        manifest = None if isinstance(model, bytes) else read_manifest(model.parent)
        settings = settings or (manifest.session if manifest else SessionSettings())
        if isinstance(model, bytes):
            session: Session = local_session(model, provider, settings, threads, prepack)
            engine = cls(session, None, name="model", version=1, provider=provider)
            read = Model(model)
            check_ranks(read)
            engine.fatal_when_empty, engine.findings = fatal.when_empty(read), value_dependent.findings(read)
            return engine
        name, version = (manifest.name, manifest.version) if manifest else (model.stem, 1)
        with open_model(model) as read:  # before there are two of it in memory
            external_data.check(model, read)
            check_ranks(read)
            dangers, found = fatal.when_empty(read), value_dependent.findings(read)
            rows = rows_apart.told(manifest) if manifest else rows_apart.proven(read, where=str(model))
        opened = None
        try:
            open_session = open_session or partial(local_session, rows_apart=rows.apart)
            open_session = _looking(open_session, model.parent, manifest if self_test and provider == "cpu" else None)
            opened = open_session(str(model), provider, settings, threads, prepack, custom_ops)
            engine = cls(opened, manifest, name=name, version=version, provider=provider)
        except BadModel as error:
            if opened is not None:
                opened.close()
            error.where = error.where or str(model)
            raise
        engine.fatal_when_empty, engine.findings, engine.rows = dangers, found, rows
        if manifest is None and rows.apart:
            engine.outputs = rows_apart.named_alike(engine.inputs, engine.outputs)
        if self_test and manifest is not None:
            try:
                _replay(engine, model.parent, manifest)
            except Exception:
                engine.close()
                raise
        return engine

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Output name → array, for all outputs or those named.

        Raises BadData where names are wrong or the runtime refuses the values, in its words without its source lines.
        """
        names = self.output_names if outputs is None else list(outputs)
        for kind, given, known in (
            ("input", list(feeds), [spec.name for spec in (*self.inputs, *self.optional)]),
            ("output", names, self.output_names),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise BadData(f"there is no {kind} {unknown[0]!r}; there is: {', '.join(known)}", where=self.name)
        absent = [str(spec) for spec in self.inputs if spec.name not in feeds]
        if absent:
            raise BadData(f"the input {absent[0]} is missing", where=self.name)
        try:
            return dict(zip(names, self._run(names, dict(feeds)), strict=True))
        except OnnxpressError:
            raise
        except Exception as error:
            raise BadData(f"the model cannot answer this: {plain(error)}", where=self.name) from error

    def __call__(self, inputs: object = None, /, **named: object) -> dict[str, Array]:
        """Output name → array, for values by name (`engine(x=rows)`, `engine({"x": rows})`) or those of the one input.

        `inputs` and `outputs` say names, dtypes and shapes. Lists are taken too, and arrays of another dtype where no
        value would change but for a float's rounding. Strings are arrays of `str`, bfloat16 is float32. Raises BadData,
        with the input's name, for what does not fit, or that the model cannot answer.
        """
        if inputs is not None and named:
            raise BadData("inputs come by name or in one mapping, not both", where=self.name)
        given = named if inputs is None else inputs
        return self.run(as_arrays(self.inputs, given, where=self.name, optional=self.optional))

    def run_all(
        self,
        feeds: dict[str, Array],
        values: int,
        shapes: Shapes = None,
        *,
        limited: bool = False,
        times: RunTimes | None = None,
    ) -> list[Array]:
        """Every output in order, timed for `expected_seconds`. For the server's hot path: the runtime's own exceptions.

        `values` is the number of values in all inputs together, or 0 for a run that tells nothing of others; `shapes`
        tells runs apart whose time for a value may differ. A `limited` run can be ended from another thread, see
        `end_long_run`. `times` know when it is fed, and are told when it ran. Raises Down where it was ended, or where
        the session is not there.
        """
        started = perf_counter() if times is None else times.fed
        if limited and not self._session.apart:
            answers = self._run_limited(feeds, started)
        else:
            answers = self._run(self.output_names, feeds)
        ended = perf_counter()
        took = ended - started
        if times is not None:
            times.ran = ended
        self.runs += 1
        self.run_seconds += took
        if self._session.apart or not values:
            return answers
        if limited or self.seconds_per_value is None:  # who writes a long answer holds what he runs on
            took += sum([one.size for one in answers if getattr(one, "size", 0) > _MANY_VALUES]) * _SECONDS_TO_WRITE
        seconds = max(took - self.seconds_of_a_run, 0.0) / max(values, 1)
        known = self.seconds_per_value
        # The first run sets the estimate; later ones move it, so that one slow run does not change the course.
        self.seconds_per_value = seconds if known is None else known + (min(seconds, 10 * known) - known) * _SMOOTHING
        if shapes is not None:
            if len(self._measured) >= _MOST_SHAPES:
                self._measured.clear()
            known = self._measured.get(shapes)
            self._measured[shapes] = (
                seconds if known is None else known + (min(seconds, 10 * known) - known) * _SMOOTHING
            )
        return answers

    def _run_limited(self, feeds: dict[str, Array], started: float) -> list[Array]:
        options = onnxruntime().RunOptions()
        self._arena.hand_back(feeds, options)
        thread = get_ident()
        self._under_way[thread] = (started, options)
        try:
            return self._run(self.output_names, feeds, options)
        except Exception:
            if options.terminate:
                took = perf_counter() - started
                raise Down(f"the run was ended after {took:.3g} s; it may take {self.run_limit:g}") from None
            raise
        finally:
            del self._under_way[thread]

    def end_long_run(self, limit: float | None = None, *, thread: int | None = None) -> None:
        """Have limited runs that are under way end, in one thread or in all, if they have taken longer than `limit`.

        That is in seconds, `run_limit` by default. A run ends with the node that the runtime is at.
        """
        for identity, (started, options) in list(self._under_way.items()):
            if thread in (None, identity) and perf_counter() - started > (self.run_limit if limit is None else limit):
                options.terminate = True

    def abandon(self) -> None:
        """End every run that is under way: nobody waits for an answer any more. `close` is still to be called."""
        self.end_long_run(0.0)
        self._session.abandon()

    def adopt(self, other: Engine) -> None:
        """Run with another engine's session of the same model from now on; runs under way end in their own."""
        old = self._session
        self._session, self._run, self.self_test = other._session, other._run, other.self_test
        self.seconds_per_value, self.seconds_of_a_run = other.seconds_per_value, other.seconds_of_a_run
        self._measured = {}
        old.close()

    @property
    def down(self) -> str:
        """What it does instead of answering; empty while it answers."""
        return self._session.down

    @property
    def restarts(self) -> int | None:
        """How often the process that it runs in was started again; None where that is this one."""
        return self._session.restarts

    @property
    def process_id(self) -> int | None:
        """Of that process."""
        return self._session.process_id

    def placement(self) -> dict[str, int]:
        """Execution provider → how many nodes of the optimised graph it runs; empty where the session cannot tell."""
        return self._session.placement()

    def expected_seconds(self, values: int, shapes: Shapes = None) -> float:
        """How long a run over so many input values, of these shapes, will take; infinite where nothing tells.

        Nothing does before the first run of the shapes, and where the time follows the values themselves.
        """
        known = self.seconds_per_value if shapes is None else self._measured.get(shapes)
        return float("inf") if known is None or self.findings.unmeasured else self.seconds_of_a_run + known * values

    def close(self) -> None:
        """End the process of a model that has one of its own; a run under way is finished first."""
        self._session.close()


def _replay(engine: Engine, folder: Path, manifest: Manifest) -> None:
    """Raises BadModel where the golden samples do not come out; what they took tells how long a run takes."""
    found = self_tests.replay(engine.run, folder, manifest)
    if found is None:
        return
    engine.self_test, first = found
    if first is not None:
        values = sum(value.size for value in first.values())
        if engine.self_test.cases == 1 and engine.self_test.seconds > _LONG_SECONDS:
            if not engine._session.apart:
                engine.seconds_per_value = engine.self_test.seconds / max(values, 1)
        else:
            # The runtime prepares itself in the first run; this one, warm, tells the server how long a run takes.
            engine.run_all(first, values)


def _looking(open_session: OpenSession, folder: Path, manifest: Manifest | None) -> OpenSession:
    """The same; for a version that the runtime computes in 8 bits, one that looks whether this processor can."""
    if manifest is None or manifest.derived_from is None or not manifest.derived_from.fused:
        return open_session
    from onnxpress.serving.engine.saturation import looking

    return looking(open_session, folder, manifest.derived_from)
