"""ONNX Runtime sessions as the engine wants them: every option set on purpose, every failure a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine.runtime import missing_for, onnxruntime, provider_options

OpenSession = Callable[[str, str, SessionSettings, int | None, bool, Sequence[str]], Any]
"""model file, provider, settings, threads, whether to prepack, libraries of custom operators → what stands for the
runtime's session"""
SPIN_MICROSECONDS = "1000"
"""ONNX Runtime's own default keeps 75-80 % of the CPUs busy at 50 requests a second; this 11 %, at the same latency"""
_LEVELS = {"none": 0, "basic": 1, "extended": 2, "all": 99}
_MESSAGE_CHARACTERS = 500


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
    providers = provider_options(provider)
    options = _options(settings, provider, threads)
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
        raise BadModel(f"ONNX Runtime loaded it without {wanted}: {missing_for(provider)}")
    return session


def placement(session: Any) -> dict[str, int]:
    """Execution provider → how many nodes of the optimised graph it runs; empty where the session cannot tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    found: dict[str, int] = {}
    for part in tell() if tell is not None else ():
        found[part.ep_name] = found.get(part.ep_name, 0) + len(part.get_nodes())
    return found


def numpy_session(session: Any) -> Any:
    """The session, or where it has bfloat16 inputs or outputs, which numpy has not, one around it."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if all(value.type != "tensor(bfloat16)" for value in (*inputs, *outputs)):
        return session
    from onnxpress.serving.engine import bfloat16

    return bfloat16.Session(session, {value.name for value in inputs if value.type == "tensor(bfloat16)"})


def quick_run(session: Any) -> Callable[[list[str], dict[str, Any]], list[Any]]:
    """`session.run` of all that is asked for, spared the runtime's Python layer where it is the runtime's own.

    That layer looks again whether every input is there and what each is, and runs elsewhere where a provider fails,
    which is switched off here: 1 µs of a tiny model's 5, and more when the caches are cold.
    """
    inner = getattr(session, "_sess", None)
    if inner is None:
        run: Callable[[list[str], dict[str, Any]], list[Any]] = session.run
        return run
    call = inner.run
    return lambda names, feeds: call(names, feeds, None)


def _options(settings: SessionSettings, provider: str, threads: int | None) -> Any:
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
    # Tells where the nodes went; half a millisecond for 2,000 of them.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for key, value in settings.config.items():
        if key.endswith("path"):
            # Whoever wrote the manifest must not name files of this machine.
            raise BadModel(f"the manifest's session setting {key} names a file", hint="export it again")
        options.add_session_config_entry(key, value)
    return options


def plain(error: Exception) -> str:
    """The runtime's message in one line, without its error class, code and C++ source position."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip())
    text = re.sub(r"(/\S+\.(cc|h):\d+ )\S.*?(?=[A-Z][a-z]+ )", "", text)
    return " ".join(text.split())[:_MESSAGE_CHARACTERS] or type(error).__name__
