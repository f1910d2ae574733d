"""The graph measured on every rung, with the engine that will serve it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.golden import LIMIT, Golden
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.progress import step
from onnxpress.core.rows import Dependent, Proven
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
    started = time.process_time()
    content = external_data.loadable(converted.graph, converted.folder)
    if external_data.is_beside(converted.graph):  # the weights would be loaded once more to look at them
        return _measured(prepared, converted, provider, content, None, started)
    reference, first = prepared.reference, prepared.cases[0]
    with no_rows.ask(reference, content, SessionSettings(), first, converted.outputs, converted.folder) as without_rows:
        if isinstance(content, Path):
            without_rows.answer()  # first: large weights are not held by two processes at once
        return _measured(prepared, converted, provider, content, without_rows, started)


class _Graphs:
    """The engines and the proof of each graph that is measured; those of small graphs are made once."""

    def __init__(self, folder: Path, provider: str) -> None:
        self._folder, self._provider = folder, provider
        self._known: list[tuple[onnx.ModelProto, EnginePool, Proven | Dependent]] = []

    def of(self, graph: onnx.ModelProto) -> tuple[EnginePool, Proven | Dependent]:
        """A large graph lies in a file, over which another one is written: it is written and read anew."""
        for known, pool, proof in self._known:
            if known is graph:
                return pool, proof
        content = external_data.loadable(graph, self._folder)
        pool, proof = EnginePool(content, self._provider), proof_of(content)
        if isinstance(content, bytes):
            self._known.append((graph, pool, proof))
        return pool, proof


def _measured(
    prepared: Prepared,
    converted: Converted,
    provider: str,
    content: bytes | Path,
    without_rows: no_rows.Asked | None,
    started: float,
) -> Measured:
    """`content` is the graph to be loaded; `without_rows` is asked besides, None where the weights lie beside it."""
    whole = without_rows is not None
    known = {check.detail for check in prepared.checks}
    checks = [*prepared.checks, Check(name="dimensions", passed=True, detail="every named dimension varies")]
    checks += [Check(name="conversion", passed=True, detail=n) for n in prepared.network.notes if n not in known]
    plain, served, stock = (
        f"{provider}, {how}" for how in ("optimisations off", "as served", "the runtime's defaults")
    )
    graphs = _Graphs(converted.folder, provider)

    def measured(
        settings: SessionSettings, graph: onnx.ModelProto, cases: Sequence[Case], *, as_stock: bool = False
    ) -> Measurement:
        pool, proof = graphs.of(graph)
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
            proof=proof,
        )

    settings, answers_no_rows = SessionSettings(), False
    question = next((case for case in prepared.cases if case.batch == _SPECIAL_ROWS), prepared.cases[0])
    pool, _ = graphs.of(converted.graph)
    inputs, told_special = special_values.ask(
        prepared.reference, pool.rung(settings), question, prepared.inputs, converted.outputs, LIMIT
    )
    pool.release()
    checks += told_special
    began = time.process_time()
    result, graph, as_stock = measured(settings, converted.graph, prepared.cases), converted.graph, False
    took = time.process_time() - began
    if without_rows is not None:
        told = without_rows.answer()
        answers_no_rows = told.answered
        checks.append(Check(name="no rows", passed=True, detail=told.detail))  # few models are sent such a batch
        result = replace(result, report=_with(result.report, checks[-1]))
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
                right = f"the file is right with the runtime's defaults too, as {found[1]}"
                checks.append(Check(name=_DEFAULTS, passed=True, detail=right))
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
            measuring_s=time.process_time() - started,
            question_s=took / len(prepared.cases),
        )
    else:
        result = without_power(result, "the weights lie beside the graph, and would be copied for each")
    external_data.loadable(graph, converted.folder)  # where it lies in a file, that of the graph that was chosen
    cases = [case.case for case in result.results]
    converted = replace(converted, graph=graph)
    return Measured(result.report, result.goldens, settings, answers_no_rows, inputs, converted, cases)


def _with(report: Report, check: Check) -> Report:
    return msgspec.structs.replace(report, checks=[*report.checks, check])


def _worst_feeds(prepared: Prepared, report: Report) -> dict[str, Array]:
    """The inputs of the case that is furthest off."""
    worst = max(report.cases, key=lambda figure: max(figure.multiples.values(), default=0.0))
    return next(case.feeds for case in prepared.cases if case.name == worst.name)
