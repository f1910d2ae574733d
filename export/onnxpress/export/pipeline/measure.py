"""The graph measured on every rung, with the engine that will serve it."""

from __future__ import annotations

from dataclasses import dataclass

from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT, Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.progress import step
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence import measurement, special_values
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.export.equivalence.measurement import Measurement
from onnxpress.export.equivalence.report.schema import Check, Report
from onnxpress.export.equivalence.runtime import no_rows, optimizers
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.environment import environment
from onnxpress.export.pipeline.prepare import Prepared

_SPECIAL_ROWS = 3
"""of the case in which NaN and infinity are put"""


@dataclass(frozen=True)
class Measured:
    """The evidence, the golden samples, and how the graph is to be served."""

    report: Report
    goldens: list[Golden]
    session: SessionSettings
    answers_no_rows: bool
    inputs: list[TensorSpec]
    """with what each refuses"""


def measure(prepared: Prepared, converted: Converted, *, provider: str = "cpu") -> Measured:
    """Measure the graph on every rung, with the engine that will serve it.

    Where only the optimised graph is wrong, the runtime's guilty optimisers are found and switched off.
    """
    content = external_data.loadable(converted.graph, converted.folder)
    whole = not external_data.is_beside(converted.graph)  # else the weights would be loaded once more to look at them
    known = {check.detail for check in prepared.checks}
    checks = [*prepared.checks, Check(name="dimensions", passed=True, detail="every named dimension varies")]
    checks += [Check(name="conversion", passed=True, detail=n) for n in prepared.network.notes if n not in known]
    plain, served = f"{provider}, optimisations off", f"{provider}, as served"

    def measured(settings: SessionSettings) -> Measurement:
        pool = EnginePool(content, provider)
        return measurement.measure(
            prepared.reference,
            {plain: pool.rung(SessionSettings(optimization="none")), served: pool.rung(settings)},
            prepared.cases,
            converted.outputs,
            served=served,
            checks=checks,
            environment=environment(provider),
            graph=converted.graph if whole else None,
            parameters=prepared.network.parameters(),
            release=pool.release,
            proof=proof_of(content),
        )

    settings, answers_no_rows = SessionSettings(), False
    if whole:
        first = prepared.cases[0]
        told = no_rows.ask(prepared.reference, content, settings, first, converted.outputs, converted.folder)
        answers_no_rows = told.answered
        checks.append(told.check)
    pool = EnginePool(content, provider)
    question = next((case for case in prepared.cases if case.batch == _SPECIAL_ROWS), prepared.cases[0])
    inputs, told_special = special_values.ask(
        prepared.reference, pool.rung(settings), question, prepared.inputs, converted.outputs, LIMIT
    )
    pool.release()
    checks += told_special
    result = measured(settings)
    report = result.report
    if report.rung(plain) <= report.limit < report.rung(served):
        with step("looking for the optimiser that changes the answer"):
            guilty = optimizers.guilty(content, _worst_feeds(prepared, report), provider)
        if guilty:
            settings = SessionSettings(disabled_optimizers=guilty)
            note = f"the runtime's {', '.join(guilty)} changed the answer {report.rung(served):,.0f} floors; served "
            checks.append(Check(name="optimisers", passed=True, detail=f"{note}with it switched off"))
            result = measured(settings)
    return Measured(result.report, result.goldens, settings, answers_no_rows, inputs)


def _worst_feeds(prepared: Prepared, report: Report) -> dict[str, Array]:
    """The inputs of the case that is furthest off."""
    worst = max(report.cases, key=lambda figure: max(figure.multiples.values(), default=0.0))
    return next(case.feeds for case in prepared.cases if case.name == worst.name)
