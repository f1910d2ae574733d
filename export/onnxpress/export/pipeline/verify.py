"""Checking what is already published: replay its golden samples, or measure it again against its source."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, OnnxpressError
from onnxpress.core.optional import require
from onnxpress.core.tensors import Domain
from onnxpress.core.version_folder import Located, check_files, locate_one, read_manifest
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.independence import proof_of
from onnxpress.export.equivalence.measurement import Measurement, Runnable, measure
from onnxpress.export.equivalence.power.planting import Original
from onnxpress.export.equivalence.power.stating import stated
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report import page
from onnxpress.export.equivalence.report import schema as reports
from onnxpress.export.equivalence.report.schema import Report, multiple
from onnxpress.export.equivalence.runtime.rungs import Rung
from onnxpress.export.equivalence.ties import untied
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.pipeline.choices import without_ties
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.environment import environment
from onnxpress.export.pipeline.explain import explained
from onnxpress.export.pipeline.prepare import Prepared, prepare
from onnxpress.export.pipeline.questions import widened
from onnxpress.export.pipeline.renamed import alike, as_in
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine


class _Told(msgspec.Struct, frozen=True):
    detail: str


class _Refusal(msgspec.Struct, frozen=True):
    """What is told of a report that refused."""

    checks: list[reports.Check] = []
    explanation: _Told | None = None


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples of one version, answered again on this machine."""

    model: str
    version: int
    files: int
    worst_multiple: float
    limit: float
    provider: str
    accepted: str = ""
    """why it was published though refused; the samples then hold what it answered itself"""
    derived: str = ""
    """of a version in fewer bits: what differs from its parent; the samples then are its own, as are the floors"""

    def __str__(self) -> str:
        knowingly = f"NOT equivalent, published knowingly ({self.accepted}): " if self.accepted else ""
        if self.derived:
            knowingly = f"derived ({self.derived}): "
        return (
            f"{knowingly}{self.model} version {self.version}: {self.files} files intact; golden samples within "
            f"{multiple(self.worst_multiple)} of {self.limit:g} noise floors on {self.provider}"
        )


def replay(model: Path, provider: str) -> Replay:
    """Check the files' digests and replay the golden samples; raises CorruptVersion or BadModel where they differ."""
    name, version, path = locate_one(model)
    manifest = read_manifest(path.parent)
    if manifest is None:
        raise BadModel(
            "there is no manifest, so there is nothing to verify",
            where=str(path),
            hint="compare it with its source: onnxpress verify MODEL --against SOURCE",
        )
    check_files(path.parent, manifest)
    summary = manifest.equivalence
    if not summary.equivalent and not summary.accepted:
        raise _refused_again(path, provider)
    engine = Engine.load(path, provider=provider)
    if engine.self_test is None:
        raise BadModel("the version has no golden samples", where=str(path.parent), hint="export it again")
    return Replay(
        model=name,
        version=version,
        files=len(manifest.files),
        worst_multiple=engine.self_test.worst_multiple,
        limit=engine.self_test.limit,
        provider=provider,
        accepted=summary.accepted,
        derived=manifest.derived_from.told if manifest.derived_from else "",
    )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one version of a repository."""

    model: str
    version: int
    replay: Replay | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.replay is not None:
            return str(self.replay)
        first, *_ = (self.error or "").splitlines()
        return f"{self.model} version {self.version}: FAILED: {first}"


def replay_all(located: Located, provider: str) -> Iterator[Outcome]:
    """Every version, one after the other, as `replay`; a failure is told and ends nothing."""
    for name, numbered in located.models.items():
        for version, path in numbered.items():
            try:
                found = replay(path.parent, provider)
            except OnnxpressError as error:
                yield Outcome(model=name, version=version, error=str(error))
            else:
                # A folder that was copied under another name is called as it is found here.
                here = msgspec.structs.replace(found, model=name, version=version)
                yield Outcome(model=name, version=version, replay=here)


def _refused_again(path: Path, provider: str) -> NotEquivalent:
    """The refusal of an export that was kept as evidence: what was measured then, and what its samples show here."""
    report = msgspec.json.decode((path.parent / reports.FILE_NAME).read_bytes(), type=_Refusal)
    try:
        Engine.load(path, provider=provider)
        here = "its samples are within the limit here; what failed is not seen in the outputs"
    except BadModel as error:
        here = error.what
    failed = [f"{check.name}: {check.detail}" for check in report.checks if not check.passed]
    explained = [report.explanation.detail] if report.explanation is not None else []
    return NotEquivalent(
        "\n  ".join(["this export was refused", *failed, *explained, here]),
        where=str(path.parent),
        hint=f"look at {path.parent / page.FILE_NAME}",
    )


def against_source(
    model: Path, source: Source, provider: str, *, others: Sequence[Source] = (), explain: bool = False
) -> Report:
    """The whole measurement between a model file and a source; raises NotEquivalent where they cannot be compared.

    `others` are the same model elsewhere, such as a run that was ported to the other framework: each becomes a rung.
    Inputs and outputs are paired by name, what is left by place where types and sizes agree; the report says so. With
    `explain`, a report that refuses names the layer.
    """
    require("onnx", needed_by="comparing a model with its source")
    import onnx

    _, _, path = locate_one(model)
    engine = Engine.load(path, provider=provider, self_test=False)
    original = prepare(source if source.domains else replace(source, domains=_enforced(engine)))
    prepared = as_in(engine, original)
    rungs: dict[str, Runnable] = {
        f"{one.framework}, {one.reference}": _Other(one, original, prepared.reference) for one in others
    }
    served = f"{provider}, as served"
    rungs[served] = Rung(lambda: engine)
    graph = onnx.load(path)
    prepared = widened(prepared, graph)
    parameters = prepared.network.parameters()
    whole = Converted(graph, list(engine.outputs), path.parent)

    def measured(cases: Sequence[Case], of: Prepared = prepared) -> Measurement:
        return measure(
            of.reference,
            rungs,
            cases,
            engine.outputs,
            served=served,
            checks=of.checks,
            environment=environment(provider),
            graph=graph,
            parameters=parameters,
            proof=proof_of(path),
        )

    began = time.process_time()
    result = measured(prepared.cases)
    took = time.process_time() - began
    if not result.report.equivalent and (apart := without_ties(prepared, whole)):
        again = measured(apart.cases, apart)
        if again.report.equivalent:
            prepared, result = apart, again
    asked = Original(prepared.reference, prepared.inputs, prepared.samples, parameters)
    per_case = took / len(prepared.cases)

    def more(cases: list[Case]) -> Measurement:
        return measured(untied(graph, cases) or prepared.cases[:1], prepared)

    result = stated(result, graph, asked, engine.outputs, more, measuring_s=took, question_s=per_case)
    report = result.report
    if explain and not report.equivalent:
        prepared = replace(prepared, cases=[one.case for one in result.results])
        return explained(prepared, whole, report)
    return report


def _enforced(engine: Engine) -> list[str | tuple[str, Domain]]:
    """The domains that the published version enforces: it is measured again where it is asked."""
    return [(spec.name, spec.domain) for spec in engine.inputs if spec.domain is not None and spec.domain.enforced]


class _Other:
    """The same model in another framework, or another run of it, as a rung of the ladder."""

    def __init__(self, source: Source, prepared: Prepared, renamed: Reference) -> None:
        """`prepared` is the first source under its own names, `renamed` its reference under the model's."""
        network = wrap(source)
        inputs = source.inputs or network.inputs
        if {spec.name for spec in inputs} != {spec.name for spec in prepared.inputs}:
            raise NotEquivalent(
                f"it takes {', '.join(spec.name for spec in inputs)}; the first source takes "
                f"{', '.join(spec.name for spec in prepared.inputs)}",
                where=source.reference,
            )
        self._reference = alike(renamed, Reference(network, source.processing, inputs))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._reference.run(dict(feeds))
