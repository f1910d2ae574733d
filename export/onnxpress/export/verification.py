"""Checking what is already published: replay its golden samples, or measure it again against its source."""

from __future__ import annotations

from pathlib import Path

import msgspec

from onnxpress.core.errors import BadModel, NotEquivalent
from onnxpress.core.optional import require
from onnxpress.core.version_folder import check_files, locate_one, read_manifest
from onnxpress.export import stage
from onnxpress.export.equivalence.measure import measure
from onnxpress.export.equivalence.report import Report, multiple
from onnxpress.export.rungs import Rung
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples of one version, answered again on this machine."""

    model: str
    version: int
    files: int
    worst_multiple: float
    limit: float
    provider: str

    def __str__(self) -> str:
        return (
            f"{self.model} version {self.version}: {self.files} files intact; golden samples within "
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
    )


def against_source(model: Path, source: Source, provider: str) -> Report:
    """The whole measurement between a model file and a source; raises NotEquivalent where they cannot be compared."""
    require("onnx", needed_by="comparing a model with its source")
    import onnx

    _, _, path = locate_one(model)
    prepared = stage.prepare(source)
    engine = Engine.load(path, provider=provider, self_test=False)
    names = {spec.name for spec in prepared.inputs}
    if {spec.name for spec in engine.inputs} != names:
        raise NotEquivalent(
            f"the model takes {', '.join(spec.name for spec in engine.inputs)}; the source takes "
            f"{', '.join(sorted(names))}",
            where=str(path),
        )
    rungs = {f"{provider}, as served": Rung(lambda: engine)}
    found = measure(
        prepared.reference,
        rungs,
        prepared.cases,
        engine.outputs,
        checks=prepared.checks,
        environment=stage.environment(provider),
        graph=onnx.load(path),
        parameters=prepared.network.parameters(),
    )
    return found.report
