"""Every option that a model is served with, its value, and why it is that."""

from __future__ import annotations

from pathlib import Path

import msgspec

from onnxpress.serving.engine import Engine
from onnxpress.serving.engine.provider_options import provider_options
from onnxpress.serving.engine.sessions import SPIN_MICROSECONDS
from onnxpress.serving.engine.signature import share_rows
from onnxpress.serving.models.profiles import Chosen
from onnxpress.serving.protocol.requests import Reader

_OF_PROVIDER = "told to the execution provider; float32 keeps its bits unless it was measured without"
_PLACED = "of the optimised graph, by the runtime's own account"


class Choice(msgspec.Struct, frozen=True):
    """One option: its value, and the reason in a sentence."""

    option: str
    value: str
    why: str


def explain(engine: Engine, chosen: Chosen, model: Path) -> list[Choice]:
    """What `serve` would choose for the engine of this model file."""
    manifest = engine.manifest
    measured = "it was measured so; the manifest says" if manifest else "ONNX Runtime's default; there is no manifest"
    session = chosen.settings
    (provider, settings), *others = provider_options(engine.provider, str(model), tf32=session.tf32)
    found = [
        Choice("execution provider", provider, "--provider"),
        Choice("nodes", ", ".join(f"{count} on {name}" for name, count in engine.placement().items()), _PLACED),
        *(Choice(f"  {name}", value, _OF_PROVIDER) for name, value in settings.items()),
        *(Choice("  then", other, "for nodes that the first does not run") for other, _ in others),
        Choice("profile", "in use" if chosen.tuned else "none in use", chosen.profile),
        Choice("graph optimization", session.optimization, chosen.optimization_why),
        Choice("disabled optimizers", ", ".join(session.disabled_optimizers), measured),
        Choice("intra-op threads", str(chosen.threads), chosen.threads_why),
        Choice("inter-op threads", "1", "requests are run one batch after another, nodes in order"),
        Choice(
            "spinning", f"{SPIN_MICROSECONDS} µs", "ONNX Runtime's own default keeps most of the CPU busy when idle"
        ),
        *(Choice(name, value, measured) for name, value in session.config.items()),
        Choice("batching", *_batching(engine, chosen)),
        Choice("reading JSON", *_reading(engine)),
    ]
    return [choice for choice in found if choice.value] + [_self_test(engine)]


def _batching(engine: Engine, chosen: Chosen) -> tuple[str, str]:
    if not engine.rows.apart:
        return "off", engine.rows.why
    if not share_rows(engine.inputs, engine.outputs):
        return "off", "the inputs and outputs do not share one open first dimension"
    if chosen.max_rows == 1:
        return "off", f"at most one row: {chosen.max_rows_why}"
    return f"up to {chosen.max_rows} rows", f"{engine.rows.why}; {chosen.max_rows_why}"


def _reading(engine: Engine) -> tuple[str, str]:
    reader = Reader(engine.inputs, engine.outputs)
    if reader.one_pass:
        value, why = "in one pass", "one input, every size fixed but the first"
    else:
        value, why = "in two passes", "several inputs, or open sizes besides the first: shapes are read before data"
    if reader.reads_long:
        return f"{value}; long lists by simdjson", why
    return value, f'{why}; pip install "onnxpress[simd]" reads long lists of numbers in half the time'


def _self_test(engine: Engine) -> Choice:
    test = engine.self_test
    if test is None:
        return Choice("self-test", "none", "there are no golden samples")
    seconds = engine.seconds_per_value
    run = "" if seconds is None else f"; a run takes {seconds * 1e9:.3g} ns for each input value"
    value = f"{test.worst_multiple:.2g} of {test.limit:g} noise floors"
    return Choice("self-test", value, f"{test.cases} golden samples replayed here just now{run}")
