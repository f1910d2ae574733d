"""The graph measured on every rung, with the engine that will serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.core.manifest import SessionSettings
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.measurement import Measurement, measure
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.equivalence.runtime import no_rows, optimizers
from onnxpress.export.equivalence.runtime.rungs import Turns
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.environment import environment
from onnxpress.export.pipeline.prepare import Prepared
from onnxpress.export.pipeline.progress import step

if TYPE_CHECKING:
    import onnx


def compare(
    prepared: Prepared, proto: onnx.ModelProto, outputs: list[TensorSpec], folder: Path, *, provider: str = "cpu"
) -> tuple[Measurement, SessionSettings]:
    """Measure the graph on every rung, with the engine that will serve it; also gives the settings to serve it with.

    Where only the optimised graph is wrong, the runtime's guilty optimisers are found and switched off.
    """
    content = external_data.loadable(proto, folder)
    whole = not external_data.is_beside(proto)  # else the weights would be loaded once more to look at them
    known = {check.detail for check in prepared.checks}
    checks = [*prepared.checks, Check(name="dimensions", passed=True, detail="every named dimension varies")]
    checks += [Check(name="conversion", passed=True, detail=n) for n in prepared.network.notes if n not in known]

    def measured(settings: SessionSettings, notes: list[Check]) -> Measurement:
        turns = Turns(content, provider)
        rungs = {
            label: turns.rung(chosen)
            for label, chosen in (
                (f"{provider}, optimisations off", SessionSettings(optimization="none")),
                (f"{provider}, as served", settings),
            )
        }
        return measure(
            prepared.reference,
            rungs,
            prepared.cases,
            outputs,
            checks=[*checks, *notes],
            environment=environment(provider),
            graph=proto if whole else None,
            parameters=prepared.network.parameters(),
            release=turns.release,
        )

    settings = SessionSettings()
    if whole:
        first = prepared.cases[0]
        checks.append(no_rows.ask(prepared.reference, content, settings, first, prepared.inputs, outputs, folder))
    found = measured(settings, [])
    plain, served = (rung.worst_multiple for rung in found.report.ladder)
    if not plain <= found.report.limit or served <= found.report.limit:
        return found, settings
    with step("looking for the optimiser that changes the answer"):
        guilty = optimizers.guilty(content, prepared.cases, provider, found)
    if not guilty:
        return found, settings
    settings = SessionSettings(disabled_optimizers=guilty)
    note = f"the runtime's {', '.join(guilty)} changed the answer {served:,.0f} floors; served with it switched off"
    return measured(settings, [Check(name="optimisers", passed=True, detail=note)]), settings
