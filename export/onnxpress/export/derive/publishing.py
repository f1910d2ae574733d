"""A candidate inside the gate, written as the next version of its parent's model, with its own evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.indented_json import indented
from onnxpress.core.manifest import Derived, EquivalenceSummary, Manifest, SessionSettings
from onnxpress.core.processor import features
from onnxpress.core.version_folder import MODEL_FILE, staging
from onnxpress.export.derive import own_precision, page
from onnxpress.export.derive.figures import Tried
from onnxpress.export.derive.trial import Made, Questions, farthest, largest, multiples_of
from onnxpress.export.equivalence.independence import Independence, judged
from onnxpress.export.equivalence.report import page as report_page
from onnxpress.export.equivalence.report import schema as reports
from onnxpress.export.equivalence.report.schema import CaseFigure, Check, LayerCost, OutputFigure, Report, Rung
from onnxpress.export.pipeline.environment import environment, installed_versions
from onnxpress.serving.engine import Engine, saturation
from onnxpress.serving.engine.sessions import LocalSession, local_session

FILE_NAME = "derived.json"
"""in the version folder: every candidate that was tried, with its figures"""
_LOUD = 50.0


@dataclass(frozen=True)
class Published:
    """The version folder, its manifest, and the candidate that it holds."""

    folder: Path
    manifest: Manifest
    tried: Tried


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured of the candidate that is published, besides what the gate asked."""

    session: SessionSettings
    goldens: list[golden.Golden]
    fused: dict[str, float]
    independence: Independence
    alone: float
    """rows alone against the same rows in a batch with loud neighbours, in its own floors"""
    ladder: list[Rung]
    multiples: list[dict[str, float]]
    """of each of the parent's golden samples, output → noise floors of the original"""
    costs: list[LayerCost]
    """its layers, the dearest first"""


def evidence(questions: Questions, made: Made, tried: Tried, costs: list[LayerCost]) -> Evidence:
    """Its golden samples, the session that it is served with, whether its rows may be batched, and its ladder.

    Raises BadModel where its products overflow on this processor whatever the session.
    """
    origin = questions.parent
    own = own_precision.floors({one.name: one.rms for one in tried.outputs}, origin.floors, made.answers)
    alone = _alone(questions, made, own)
    rows = judged(made.proof, alone <= 1.0 and origin.manifest.batch_safe and made.together)
    content = made.graph.SerializeToString(deterministic=True)

    def opened(settings: SessionSettings) -> Engine:
        return Engine.load(content, settings=settings, self_test=False)

    session, fused, rungs = made.session, {}, []
    goldens = own_precision.goldens(made.engine.run, questions.rows, own, together=rows.safe)
    if made.candidate.fuses:
        # Here nothing is known of how far apart both round, but full precision cannot saturate: it is the measure.
        plain = opened(saturation.unfused(session))
        careful = saturation.distances(opened(saturation.precise(session)).run, plain.run, goldens)

        def reopen(settings: SessionSettings) -> LocalSession:
            return local_session(content, "cpu", settings, None, True)

        session, settled = saturation.settled(reopen(session), reopen, session, goldens, careful, where=origin.name)
        served = Engine(settled, None, name=origin.name, version=1, provider="cpu")
        fused = saturation.distances(served.run, plain.run, goldens)
        goldens = own_precision.goldens(served.run, questions.rows, own, together=rows.safe)
        rungs.append(Rung(name="derived, every product in float32", worst_multiple=farthest(origin, plain)))
    else:
        served = made.engine
    multiples = multiples_of(origin, served)
    return Evidence(
        session=session,
        goldens=goldens,
        fused=fused,
        independence=rows,
        alone=alone,
        ladder=[
            Rung(name="the parent, as served", worst_multiple=farthest(origin, origin.engine)),
            *rungs,
            Rung(name="derived, as served", worst_multiple=largest(multiples)),
        ],
        multiples=multiples,
        costs=costs,
    )


def _alone(questions: Questions, made: Made, own: Mapping[str, float]) -> float:
    """The largest distance of a row's answer beside loud rows from its answer alone, in the version's own floors."""
    rows = {name: value[:4] for name, value in questions.rows.items()}
    loud = {name: _loud(value) for name, value in rows.items()}
    try:
        beside = made.engine.run({name: np.concatenate([value, loud[name]]) for name, value in rows.items()})
    except Exception:  # a model with a fixed batch, or that refuses such values, cannot be batched with them either
        return float("inf")
    worst = 0.0
    for number in range(len(next(iter(rows.values())))):
        single = made.engine.run({name: value[number : number + 1] for name, value in rows.items()})
        for name, answer in single.items():
            other = beside[name][number : number + 1]
            if other.shape != answer.shape:
                return float("inf")
            floor = np.full(answer.shape, own.get(name, 0.0))
            worst = max(
                worst, golden.worst_multiple(golden.Golden({}, {name: answer}, {name: floor}), {name: other})[name]
            )
    return worst


def _loud(value: Array) -> Array:
    return (value * _LOUD).astype(value.dtype) if value.dtype.kind == "f" else value[::-1]


def publish(
    questions: Questions, made: Made, tried: Tried, everything: Sequence[Tried], precision: str, found: Evidence
) -> Published:
    """Write the version. Its contract is the parent's."""
    origin, manifest = questions.parent, questions.parent.manifest
    report = _report(questions, tried, found)
    with staging(origin.repository, origin.name) as draft:
        (draft.folder / MODEL_FILE).write_bytes(made.graph.SerializeToString(deterministic=True))
        (draft.folder / reports.FILE_NAME).write_bytes(reports.encode(report))
        more = list(page.sections(tried, everything, found.costs))
        (draft.folder / FILE_NAME).write_bytes(indented(list(everything)))
        golden.write(draft.folder / golden.FILE_NAME, found.goldens)
        folder, written = draft.publish(
            msgspec.structs.replace(
                manifest,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                batch_safe=found.independence.safe,
                rows=found.independence.rows,
                no_rows=manifest.no_rows and found.independence.safe,
                opset=next(one.version for one in made.graph.opset_import if one.domain in ("", "ai.onnx")),
                ir_version=made.graph.ir_version,
                session=found.session,
                equivalence=EquivalenceSummary(
                    equivalent=False,
                    worst_multiple=report.worst_multiple if np.isfinite(report.worst_multiple) else None,
                    limit=golden.LIMIT,
                    floor=manifest.equivalence.floor,
                    accepted=f"derived: {tried.told}",
                ),
                derived_from=_derived(questions, tried, precision, found),
                versions=installed_versions(),
            ),
            lambda made: {report_page.FILE_NAME: report_page.render(report, made, more=more)},
        )
    return Published(folder, written, tried)


def _derived(questions: Questions, tried: Tried, precision: str, found: Evidence) -> Derived:
    origin = questions.parent
    decided = [one for one in tried.outputs if one.decisions]
    worst = max(decided, key=lambda one: one.bound or 0.0, default=None)
    return Derived(
        version=origin.version,
        sha256=origin.manifest.files[origin.path.name].sha256,
        precision=precision,
        method=tried.method,
        told=tried.told,
        rows=questions.count,
        decisions=worst.decisions if worst else 0,
        flips=worst.flips if worst else 0,
        near_ties=worst.near_ties if worst else 0,
        bound=worst.bound if worst else None,
        smaller=round(tried.smaller, 3),
        quicker={str(batch): round(timing.quicker, 3) for batch, timing in tried.timings.items()},
        kept_float=tried.kept_float,
        processor=list(features() or ()),
        fused=found.fused,
    )


def _report(questions: Questions, tried: Tried, found: Evidence) -> Report:
    origin = questions.parent
    names = [spec.name for spec in origin.engine.outputs]
    worst = {name: max((case[name] for case in found.multiples if name in case), default=0.0) for name in names}
    rms = {one.name: one.rms for one in tried.outputs}
    figures = [
        OutputFigure(
            name=spec.name,
            dtype=spec.dtype,
            worst_multiple=worst[spec.name],
            worst_case="the parent's golden samples",
            largest_error=rms.get(spec.name, 0.0),
            floor=origin.floors.get(spec.name, 0.0),
        )
        for spec in origin.engine.outputs
    ]
    checks = [
        found.independence.check,
        Check(name="derived", passed=True, detail=f"{tried.method}, from version {origin.version}"),
    ]
    if found.fused:
        detail = ", ".join(f"{name} {distance:.2g}" for name, distance in found.fused.items())
        told = f"fused and unfused kernels are apart by {detail} of its own floors here"
        checks.append(Check(name="saturation", passed=True, detail=told))
    if precise := found.session.config.get(saturation.PRECISE):
        told = f"this processor's quick kernels overflow: {saturation.PRECISE}={precise} is set"
        checks.append(Check(name="processor", passed=True, detail=told))
    return Report(
        equivalent=False,
        worst_multiple=largest(found.multiples),
        limit=golden.LIMIT,
        floor=origin.manifest.equivalence.floor,
        batch_safe=found.independence.safe,
        batch_multiple=found.alone,
        rows=found.independence.rows,
        outputs=figures,
        cases=[
            CaseFigure(name=f"golden sample {number} of its parent", batch=_batch(case), multiples=multiples)
            for number, (case, multiples) in enumerate(zip(origin.goldens, found.multiples, strict=True))
        ],
        ladder=found.ladder,
        checks=checks,
        accepted=f"derived: {tried.told}",
        derived=tried.told,
        costs=found.costs,
        environment=environment("cpu"),
    )


def _batch(case: golden.Golden) -> int:
    return next((len(value) for value in case.inputs.values() if value.ndim), 1)
