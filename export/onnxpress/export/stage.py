"""The export stage: source → network → ONNX → composed graph → measured equivalence → published version.

Each step says on stderr what it does and how long it took. Whatever fails before the last one, nothing is published.
"""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core import golden as goldens
from onnxpress.core.errors import BadData, BadModel, NotEquivalent
from onnxpress.core.manifest import EquivalenceSummary, Manifest, SessionSettings
from onnxpress.core.manifest import Source as ManifestSource
from onnxpress.core.optional import require
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import MODEL_FILE, staging
from onnxpress.export import child, graph, optimizers
from onnxpress.export.compose import compose
from onnxpress.export.conversion import Network
from onnxpress.export.equivalence import page
from onnxpress.export.equivalence import report as reports
from onnxpress.export.equivalence.inputs import Case, cases, generate
from onnxpress.export.equivalence.measure import Measurement, measure
from onnxpress.export.equivalence.preflight import repeatable
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report import Check, Report
from onnxpress.export.networks import wrap
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, np.dtype[Any]]
_VERSIONS = ("onnxpress", "onnx", "onnxruntime", "onnxruntime-gpu", "torch", "tensorflow", "keras", "tf2onnx", "numpy")


@dataclass(frozen=True)
class Published:
    """What the stage made: the version folder, its manifest and the evidence."""

    folder: Path
    manifest: Manifest
    report: Report


@dataclass(frozen=True)
class Prepared:
    """A source ready to be converted and measured: its reference, its cases, and what was checked so far."""

    source: Source
    network: Network
    reference: Reference
    inputs: list[TensorSpec]
    samples: dict[str, Array]
    cases: list[Case]
    checks: list[Check]


def export(
    source: Source,
    *,
    repository: Path,
    name: str | None = None,
    provider: str = "cpu",
    limits: child.Limits | None = None,
) -> Published:
    """Convert, measure and publish `source` as the next version of model `name` in `repository`.

    Raises NotEquivalent when the export cannot be shown to say the same, BadModel when it cannot be converted;
    nothing is published then.
    """
    with _step("asking the original"):
        prepared = prepare(source)
    with _step(f"converting ({prepared.network.converter})"):
        proto, outputs = convert(prepared, limits)
    with _step("measuring equivalence"):
        measured, settings = compare(prepared, proto, outputs, provider=provider)
    if not measured.report.equivalent:
        raise NotEquivalent(
            f"the export is refused, nothing was published\n{measured.report}",
            where=source.reference,
            hint="the export differs from the original by more than rounding explains",
        )
    with _step("publishing"):
        return _publish(prepared, proto, outputs, measured, settings, repository, name or source.name)


def prepare(source: Source) -> Prepared:
    """Wrap the network, choose the inputs to measure on, and ask the original for answers it must be able to repeat."""
    network = wrap(source)
    inputs = source.inputs or network.inputs
    samples = source.samples or network.examples(8) or {}
    reference = Reference(network, source.processing, inputs)
    chosen = cases(inputs, samples)
    checks = [Check(name="inference mode", passed=True, detail=note) for note in network.notes]
    checks.append(repeatable(reference, network, chosen))
    return Prepared(source, network, reference, inputs, samples, chosen, checks)


def convert(prepared: Prepared, limits: child.Limits | None = None) -> tuple[onnx.ModelProto, list[TensorSpec]]:
    """The composed, tidied and checked graph, and the specs of its outputs with their named dimensions."""
    require("onnx", needed_by="exporting")
    import onnx

    source, network = prepared.source, prepared.network
    if source.origin is not None:
        proto = child.convert(network, source.origin, limits or child.Limits())
    else:  # an object handed over from Python: no other process can resolve it again
        proto = network.convert()
    problems = graph.fixed_dimensions(proto, network.inputs)
    if problems:
        raise NotEquivalent(
            f"the converter fixed a dimension that should vary: {'; '.join(problems)}",
            where=source.reference,
            hint="the model works at the size it was traced with only; take sizes from the input's shape in forward",
        )
    graph.set_signature(proto.graph.input, network.inputs)
    graph.refuse_unservable(proto)
    if source.processing.before or source.processing.after:
        assert source.outputs is not None, "a processing description comes with its outputs"
        outputs = source.outputs
        proto = compose(proto, source.processing, prepared.inputs, outputs)
    else:
        outputs = source.outputs or _observed_outputs(proto, prepared)
        graph.set_signature(proto.graph.output, outputs)
    graph.tidy(proto, metadata=_metadata(source, prepared.inputs, outputs))
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise BadModel(f"the converted graph is invalid: {error}", where=source.reference) from error
    return proto, outputs


def compare(
    prepared: Prepared, proto: onnx.ModelProto, outputs: list[TensorSpec], *, provider: str = "cpu"
) -> tuple[Measurement, SessionSettings]:
    """Measure the graph on every rung, with the engine that will serve it; also gives the settings to serve it with.

    Where only the optimised graph is wrong, the runtime's guilty optimisers are found and switched off.
    """
    content = proto.SerializeToString(deterministic=True)
    known = {check.detail for check in prepared.checks}
    checks = [*prepared.checks, Check(name="dimensions", passed=True, detail="every named dimension varies")]
    checks += [Check(name="conversion", passed=True, detail=n) for n in prepared.network.notes if n not in known]

    def measured(settings: SessionSettings, notes: list[Check]) -> Measurement:
        rungs = {
            label: Rung(Engine.load(content, provider=provider, settings=chosen, self_test=False))
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
            graph=proto,
            parameters=prepared.network.parameters(),
        )

    settings = SessionSettings()
    found = measured(settings, [])
    plain, served = (rung.worst_multiple for rung in found.report.ladder)
    if not plain <= found.report.limit or served <= found.report.limit:
        return found, settings
    with _step("looking for the optimiser that changes the answer"):
        guilty = optimizers.guilty(content, prepared.cases, provider, found)
    if not guilty:
        return found, settings
    settings = SessionSettings(disabled_optimizers=guilty)
    note = f"the runtime's {', '.join(guilty)} changed the answer {served:,.0f} floors; served with it switched off"
    return measured(settings, [Check(name="optimisers", passed=True, detail=note)]), settings


def environment(provider: str) -> dict[str, str]:
    """Where a measurement was made: packages, Python, processor, provider."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "provider": provider}
    return found | installed_versions()


def installed_versions() -> dict[str, str]:
    """The versions of the packages that shape an export, as far as they are installed."""
    found = {}
    for package in _VERSIONS:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


class Rung:
    """An engine to be compared; a run that fails where the original answers is a difference, not a crash."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The engine's answer; raises NotEquivalent, with the shapes, where it has none."""
        try:
            return self._engine.run(feeds)
        except (BadData, BadModel) as error:
            shapes = {name: list(value.shape) for name, value in feeds.items()}
            raise NotEquivalent(
                f"the export fails where the original answers, on inputs of shape {shapes}: {error.what}",
                hint="a size or type was fixed by the conversion",
            ) from error


def _observed_outputs(proto: onnx.ModelProto, prepared: Prepared) -> list[TensorSpec]:
    content = proto.SerializeToString(deterministic=True)
    rung = Rung(Engine.load(content, settings=SessionSettings(), self_test=False))
    generator = np.random.default_rng(0)

    def observe(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
        answers = rung.run(generate(prepared.inputs, prepared.samples, sizes, generator))
        return {
            name: ("string" if value.dtype == object else str(value.dtype), value.shape)
            for name, value in answers.items()
        }

    return graph.infer_outputs(prepared.network.output_names, prepared.inputs, observe)


def _metadata(source: Source, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> dict[str, str]:
    """The contract inside the model file, for whoever has that file alone. Nothing here changes from run to run."""
    contract = {"inputs": inputs, "outputs": outputs, "labels": source.labels, "thresholds": source.thresholds}
    return {"onnxpress.contract": msgspec.json.encode(contract).decode(), "onnxpress.framework": source.framework}


def _publish(
    prepared: Prepared,
    proto: onnx.ModelProto,
    outputs: list[TensorSpec],
    measured: Measurement,
    settings: SessionSettings,
    repository: Path,
    name: str,
) -> Published:
    source, network, report = prepared.source, prepared.network, measured.report
    with staging(repository, name) as draft:
        (draft.folder / MODEL_FILE).write_bytes(proto.SerializeToString(deterministic=True))
        (draft.folder / reports.FILE_NAME).write_bytes(reports.encode(report))
        (draft.folder / page.FILE_NAME).write_text(page.render(report, name=name, source=source.reference))
        goldens.write(draft.folder / goldens.FILE_NAME, measured.goldens)
        manifest = Manifest(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            inputs=prepared.inputs,
            outputs=outputs,
            labels=source.labels,
            thresholds=source.thresholds,
            batch_safe=report.batch_safe,
            opset=next(opset.version for opset in proto.opset_import if opset.domain in ("", "ai.onnx")),
            ir_version=proto.ir_version,
            session=settings,
            equivalence=EquivalenceSummary(
                equivalent=report.equivalent,
                worst_multiple=report.worst_multiple,
                limit=report.limit,
                floor=report.floor,
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
        folder, manifest = draft.publish(manifest)
    return Published(folder, manifest, report)


@contextlib.contextmanager
def _step(label: str) -> Iterator[None]:
    """Say on stderr what is under way, and how long it took once it is done."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    print(f"{label} …", end="" if terminal else "\n", file=sys.stderr, flush=True)
    yield
    seconds = f"{time.monotonic() - started:.1f} s"
    print(f" {seconds}" if terminal else f"  {label}: {seconds}", file=sys.stderr, flush=True)
