"""The graph measured on every rung, with the engine that will serve it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT, Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.progress import step
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence import measurement, special_values
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.export.equivalence.measurement import Measurement
from onnxpress.export.equivalence.power.planting import Original
from onnxpress.export.equivalence.power.stating import stated, without_power
from onnxpress.export.equivalence.report.schema import Check, Report
from onnxpress.export.equivalence.runtime import defaults, no_rows, optimizers
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.export.equivalence.ties import untied
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.environment import environment
from onnxpress.export.pipeline.prepare import Prepared

if TYPE_CHECKING:
    import onnx

_DEFAULTS = "the runtime's defaults"
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
    converted: Converted
    """the graph that was measured: rewritten where the runtime's defaults would answer it wrongly"""
    cases: list[Case]
    """all that were asked"""


def measure(prepared: Prepared, converted: Converted, *, provider: str = "cpu") -> Measured:
    """Measure the graph on every rung, with the engine that will serve it.

    Where only the optimised graph is wrong, the runtime's guilty optimisers are found and switched off.
    """
    started = time.monotonic()
    content = external_data.loadable(converted.graph, converted.folder)
    whole = not external_data.is_beside(converted.graph)  # else the weights would be loaded once more to look at them
    known = {check.detail for check in prepared.checks}
    checks = [*prepared.checks, Check(name="dimensions", passed=True, detail="every named dimension varies")]
    checks += [Check(name="conversion", passed=True, detail=n) for n in prepared.network.notes if n not in known]
    plain, served, stock = (
        f"{provider}, {how}" for how in ("optimisations off", "as served", "the runtime's defaults")
    )

    def measured(
        settings: SessionSettings, graph: onnx.ModelProto, cases: Sequence[Case], *, as_stock: bool = False
    ) -> Measurement:
        content = external_data.loadable(graph, converted.folder)
        pool = EnginePool(content, provider)
        rungs = {plain: pool.rung(SessionSettings(optimization="none")), served: pool.rung(settings)}
        if as_stock:
            rungs[stock] = pool.rung(SessionSettings())
        return measurement.measure(
            prepared.reference,
            rungs,
            cases,
            converted.outputs,
            served=served,
            checks=checks,
            environment=environment(provider),
            graph=graph if whole else None,
            parameters=prepared.network.parameters(),
            release=pool.release,
            proof=proof_of(content),
        )

    settings, answers_no_rows = SessionSettings(), False
    if whole:
        first = prepared.cases[0]
        empty = no_rows.ask(prepared.reference, content, settings, first, converted.outputs, converted.folder)
        answers_no_rows = empty.answered
        checks.append(empty.check)
    pool = EnginePool(content, provider)
    question = next((case for case in prepared.cases if case.batch == _SPECIAL_ROWS), prepared.cases[0])
    inputs, told_special = special_values.ask(
        prepared.reference, pool.rung(settings), question, prepared.inputs, converted.outputs, LIMIT
    )
    pool.release()
    checks += told_special
    began = time.monotonic()
    result, graph, as_stock = measured(settings, converted.graph, prepared.cases), converted.graph, False
    took = time.monotonic() - began
    report = result.report
    if report.rung(plain) <= report.limit < report.rung(served):
        feeds = _worst_feeds(prepared, report)
        with step("looking for the optimiser that changes the answer"):
            guilty = optimizers.guilty(content, feeds, provider)
        if guilty:
            settings = SessionSettings(disabled_optimizers=guilty)
            note = f"the runtime's {', '.join(guilty)} changed the answer {report.rung(served):,.0f} floors; served "
            checks.append(Check(name="optimisers", passed=True, detail=f"{note}with it switched off"))
            with step("rewriting the graph for the runtime's defaults"):
                found = defaults.rewritten(
                    graph, lambda one: external_data.loadable(one, converted.folder), feeds, provider
                )
            elsewhere = "other servers must switch it off too: with the runtime's defaults this file answers otherwise"
            if found is not None:
                told = f"the file is right with the runtime's defaults too, as {found[1]}"
                checks.append(Check(name=_DEFAULTS, passed=True, detail=told))
                result, graph = measured(settings, found[0], prepared.cases, as_stock=True), found[0]
                as_stock = True
            if found is None or result.report.rung(stock) > result.report.limit:
                checks = [check for check in checks if check.name != _DEFAULTS]
                checks.append(Check(name=_DEFAULTS, passed=True, detail=elsewhere))
                result, graph = measured(settings, converted.graph, prepared.cases), converted.graph
                as_stock = False
    if whole:
        result = stated(
            result,
            graph,
            Original(prepared.reference, prepared.inputs, prepared.samples, prepared.network.parameters()),
            converted.outputs,
            lambda cases: measured(settings, graph, untied(graph, cases) or prepared.cases[:1], as_stock=as_stock),
            measuring_s=time.monotonic() - started,
            question_s=took / len(prepared.cases),
        )
    else:
        result = without_power(result, "the weights lie beside the graph, and would be copied for each")
    external_data.loadable(graph, converted.folder)  # where it lies in a file, that of the graph that was chosen
    cases = [case.case for case in result.results]
    converted = replace(converted, graph=graph)
    return Measured(result.report, result.goldens, settings, answers_no_rows, inputs, converted, cases)


def _worst_feeds(prepared: Prepared, report: Report) -> dict[str, Array]:
    """The inputs of the case that is furthest off."""
    worst = max(report.cases, key=lambda figure: max(figure.multiples.values(), default=0.0))
    return next(case.feeds for case in prepared.cases if case.name == worst.name)
