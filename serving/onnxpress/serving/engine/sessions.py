"""What runs a model: ONNX Runtime's session in this process, or whatever else keeps to the `Session` protocol.

Every option of the runtime is set on purpose, and every failure of it is a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from onnxpress.core.arrays import Array
from onnxpress.core.device import PROVIDERS, Device, parse
from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine.provider_options import provider_options
from onnxpress.serving.engine.runtime import onnxruntime
from onnxpress.serving.engine.session_config import checked

Run = Callable[..., list[Array]]
"""names of outputs, input name → array, and perhaps ONNX Runtime's RunOptions; the outputs in that order"""
SPIN_MICROSECONDS = "1000"
"""ONNX Runtime's own default keeps 75-80 % of the CPUs busy at 50 requests a second; this 11 %, at the same latency"""
_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
_MESSAGE_CHARACTERS = 500


class Down(BadModel):
    """What runs the model is not there now, or was ended for taking too long; it comes back by itself."""


class Session(Protocol):
    """What an engine runs. `run` may be called from several threads."""

    @property
    def inputs(self) -> Sequence[Any]:
        """Name, type and shape of each input, as the runtime's NodeArg has them."""

    @property
    def outputs(self) -> Sequence[Any]:
        """The same of each output."""

    @property
    def optional(self) -> Sequence[Any]:
        """The same of each initializer that a run may override."""

    @property
    def apart(self) -> bool:
        """Whether it runs outside this process: then nobody can tell when an answer comes."""

    @property
    def down(self) -> str:
        """What it does instead of answering; empty while it answers."""

    @property
    def restarts(self) -> int | None:
        """How often its process was started again; None where it is this one."""

    @property
    def process_id(self) -> int | None:
        """Of its own process while that answers; None where it has none."""

    def run(self, names: list[str], feeds: dict[str, Array], options: Any = None, /) -> list[Array]:
        """The named outputs, in that order; `options` are ONNX Runtime's RunOptions, by which a run can be ended.

        Raises Down; and where the model refuses the values, whatever the runtime raises.
        """

    def placement(self) -> dict[str, int]:
        """Execution provider → how many nodes of the optimised graph it runs; empty where it cannot tell."""

    def close(self) -> None:
        """End what outlives the object; a run under way is finished first."""

    def abandon(self) -> None:
        """End what outlives the object at once, and with it any run: nobody waits for an answer."""


OpenSession = Callable[[str, str, SessionSettings, int | None, bool, Sequence[str]], Session]
"""model file, provider, settings, threads, whether to prepack, libraries of custom operators → what runs it"""


class LocalSession:
    """ONNX Runtime's own session, in this process. bfloat16 inputs and outputs are float32 arrays.

    `rows_apart` says that a row's answer is the same in any batch: a GPU's batches may be padded then, see `padding`.
    """

    apart, down, restarts, process_id = False, "", None, None

    def __init__(self, raw: Any, device: Device | None = None, *, rows_apart: bool = False) -> None:
        self._raw = raw
        self.inputs, self.outputs = raw.get_inputs(), raw.get_outputs()
        # A GPU's runs may be padded to other batches, or captured with all initializers within.
        self.optional = raw.get_overridable_initializers() if device is None or device.provider == "cpu" else []
        self.run: Run = _run_of(raw, device or Device(), rows_apart=rows_apart)

    def placement(self) -> dict[str, int]:
        """See Session."""
        found: dict[str, int] = {}
        for part in self._raw.get_provider_graph_assignment_info():
            found[part.ep_name] = found.get(part.ep_name, 0) + len(part.get_nodes())
        return found

    def close(self) -> None:
        """Nothing: it ends with the object."""

    def abandon(self) -> None:
        """Nothing: runs here are ended one by one, see `Engine.end_long_run`."""


def local_session(
    model: str | bytes,
    provider: str,
    settings: SessionSettings,
    threads: int | None,
    prepack: bool,
    custom_ops: Sequence[str] = (),
    *,
    rows_apart: bool = False,
) -> LocalSession:
    """The model in this process. Raises BadModel; see `runtime_session`."""
    raw = runtime_session(model, provider, settings, threads, prepack, custom_ops)
    if any(value.type.startswith("seq(map(") for value in raw.get_outputs()):
        from onnxpress.serving.engine import zip_maps

        if (content := zip_maps.unwrapped(model)) is not None:
            raw = runtime_session(content, provider, settings, threads, prepack, custom_ops)
    session = LocalSession(raw, parse(provider), rows_apart=rows_apart)
    if provider != "cpu":
        require_placed(session.placement(), PROVIDERS[parse(provider).provider])
    return session


def require_placed(found: Mapping[str, int], wanted: str) -> None:
    """Raise BadModel where no node of the graph runs where it was asked to: that would be the CPU under another name.

    Some always run on the CPU, and rightly: the runtime puts what computes shapes there, and strings know no other
    place. So `session.disable_cpu_ep_fallback` is not used: it refuses every graph with such a node.
    """
    if found and wanted not in found:
        raise BadModel(
            f"none of its {sum(found.values())} nodes runs on {wanted}",
            hint="run it on the CPU: its operators have no kernels there",
        )


def runtime_session(
    model: str | bytes,
    provider: str,
    settings: SessionSettings,
    threads: int | None,
    prepack: bool,
    custom_ops: Sequence[str] = (),
) -> Any:
    """ONNX Runtime's own session, with the operators of these libraries besides its own.

    Raises BadModel where the runtime refuses the model or a library, or has not the provider.
    """
    runtime = onnxruntime()
    providers = provider_options(provider, model, tf32=settings.tf32)
    options = _options(settings, threads)
    for library in custom_ops:
        try:
            options.register_custom_ops_library(library)
        except Exception as error:
            raise BadModel(
                f"the custom operators cannot be loaded: {plain(error)}",
                where=library,
                hint="it must be a shared library for this machine that exports RegisterCustomOps",
            ) from error
    if not prepack:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        # enable_fallback=0: by default the runtime's Python layer prints a line and goes on without the provider.
        session = runtime.InferenceSession(
            model, options, providers=providers, disabled_optimizers=settings.disabled_optimizers, enable_fallback=0
        )
    except Exception as error:  # the runtime's exceptions share no base of their own
        unknown = "is not a registered function/op" in str(error)
        hint = "serve --custom-ops LIBRARY adds operators that are not ONNX Runtime's own" if unknown else None
        raise BadModel(f"ONNX Runtime cannot load it: {plain(error)}", hint=hint) from error
    wanted = providers[0][0]
    if wanted not in session.get_providers():
        raise BadModel(f"ONNX Runtime loaded it without {wanted}; run with --debug for the runtime's own words")
    return session


def _run_of(session: Any, device: Device, *, rows_apart: bool) -> Run:
    """`session.run`, spared the runtime's Python layer; with bfloat16, which numpy has not, as float32.

    Where CUDA graphs were asked for, their replay; raises BadModel for them and bfloat16 at once.

    That layer looks again whether every input is there and what each is, and runs elsewhere where a provider fails,
    which is switched off here: 1 µs of a tiny model's 5, and more when the caches are cold.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    bfloat = any(value.type == "tensor(bfloat16)" for value in (*inputs, *outputs))
    if device.graphs:
        if bfloat:
            raise BadModel("bfloat16 inputs or outputs cannot be captured in CUDA graphs", hint="leave graphs out")
        from onnxpress.serving.engine import cuda_graphs

        return cuda_graphs.replayed(session, device, rows_apart=rows_apart).run
    if bfloat:
        from onnxpress.serving.engine import bfloat16

        taken = (*inputs, *session.get_overridable_initializers())
        return bfloat16.run_of(session, {value.name for value in taken if value.type == "tensor(bfloat16)"})
    call = session._sess.run

    def run(names: list[str], feeds: dict[str, Array], options: Any = None) -> list[Array]:
        answers: list[Array] = call(names, feeds, options)
        return answers

    if device.provider == "cuda" and rows_apart:
        from onnxpress.serving.engine import padding

        if padding.searches(_operators(session)) and not padding.obstacle(session):
            return padding.PaddedRuns(run).run
    return run


def _operators(session: Any) -> list[str]:
    """Of the optimised graph's nodes."""
    return [node.op_type for part in session.get_provider_graph_assignment_info() for node in part.get_nodes()]


def _options(settings: SessionSettings, threads: int | None) -> Any:
    from onnxpress.serving.engine.threads import available_cpus

    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said once, by us
    options.graph_optimization_level = runtime.GraphOptimizationLevel(_LEVELS[settings.optimization])
    options.intra_op_num_threads = threads or available_cpus()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    # Tells where the nodes went; half a millisecond for 2,000 of them.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for key, value in checked(settings.config).items():
        options.add_session_config_entry(key, value)
    return options


def plain(error: Exception) -> str:
    """The runtime's message in one line, without its error class, code and C++ source position."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    text = re.sub(r"(/\S+\.(cc|h):\d+ )\S.*?(?=[A-Z][a-z]+ )", "", text)
    return " ".join(text.split())[:_MESSAGE_CHARACTERS] or type(error).__name__
