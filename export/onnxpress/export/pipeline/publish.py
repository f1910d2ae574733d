"""A measured export written as the next version of a model."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onnxpress.core import golden as goldens
from onnxpress.core.manifest import EquivalenceSummary, Manifest, PowerSummary
from onnxpress.core.manifest import Source as ManifestSource
from onnxpress.core.version_folder import MODEL_FILE, staging
from onnxpress.export.equivalence.report import page
from onnxpress.export.equivalence.report import schema as reports
from onnxpress.export.equivalence.report.schema import Power, Report
from onnxpress.export.graph import external_data
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.environment import installed_versions
from onnxpress.export.pipeline.measure import Measured
from onnxpress.export.pipeline.prepare import Prepared

CONVERSION_LOG = "conversion.txt"
"""what the converter said, in the version folder where it said anything"""


@dataclass(frozen=True)
class Published:
    """What the stage made: the version folder, its manifest and the evidence."""

    folder: Path
    manifest: Manifest
    report: Report


def publish(prepared: Prepared, converted: Converted, measured: Measured, repository: Path, name: str) -> Published:
    """Write the graph, its weights and its evidence as the next version of model `name` in `repository`."""
    source, network, report, graph = prepared.source, prepared.network, measured.report, converted.graph
    with staging(repository, name) as draft:
        (draft.folder / MODEL_FILE).write_bytes(graph.SerializeToString(deterministic=True))
        if external_data.is_beside(graph):
            shutil.move(converted.folder / external_data.FILE, draft.folder / external_data.FILE)
        if network.talk:
            (draft.folder / CONVERSION_LOG).write_text("\n".join(map(_without_folders, network.talk)) + "\n")
        (draft.folder / reports.FILE_NAME).write_bytes(reports.encode(report))
        goldens.write(draft.folder / goldens.FILE_NAME, measured.goldens)
        manifest = Manifest(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            inputs=measured.inputs,
            outputs=converted.outputs,
            labels=source.labels,
            thresholds=source.thresholds,
            batch_safe=report.batch_safe,
            rows=report.rows,
            rows_together=max((case.batch for case in report.cases), default=0),
            no_rows=measured.answers_no_rows,
            opset=next(opset.version for opset in graph.opset_import if opset.domain in ("", "ai.onnx")),
            ir_version=graph.ir_version,
            session=measured.session,
            equivalence=EquivalenceSummary(
                power=_summary(report.power),
                equivalent=report.equivalent,
                worst_multiple=report.worst_multiple,
                limit=report.limit,
                floor=report.floor,
                accepted=report.accepted,
            ),
            source=ManifestSource(
                reference=source.reference,
                framework=source.framework,
                framework_version=network.framework_version,
                converter=network.converter,
                parameters=source.parameters,
                seed=source.seed,
            ),
            versions=installed_versions(),
        )
        folder, manifest = draft.publish(manifest, lambda made: {page.FILE_NAME: page.render(report, made)})
    return Published(folder, manifest, report)


def _summary(power: Power | None) -> PowerSummary | None:
    return None if power is None else PowerSummary(told=str(power), planted=power.planted, shown=power.shown)


def _without_folders(line: str) -> str:
    """The line with files named without the folders of this machine."""
    return re.sub(r"(?:(?<![\w.])|\b[A-Za-z]:)[/\\](?:[^\s/\\:'\"]+[/\\])+", "", line)
