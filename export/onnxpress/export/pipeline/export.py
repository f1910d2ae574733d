"""The export stage: source → network → ONNX → composed graph → measured equivalence → published version.

Each step says on stderr what it does and how long it took. Whatever fails before the last one, nothing is published.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from onnxpress.core import golden as goldens
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.core.manifest import EquivalenceSummary, Manifest, SessionSettings
from onnxpress.core.manifest import Source as ManifestSource
from onnxpress.core.optional import require
from onnxpress.core.processing import apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.core.version_folder import MODEL_FILE, staging
from onnxpress.export import memory
from onnxpress.export.child_process import parent as child
from onnxpress.export.equivalence import accepted_sizes as sizes
from onnxpress.export.equivalence.cases import (
    Case,
    cases,
    generate,
    largest_batch,
)
from onnxpress.export.equivalence.layerwise.recording import Layered
from onnxpress.export.equivalence.measurement import Measurement, measure
from onnxpress.export.equivalence.preflight import repeatable
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report import page
from onnxpress.export.equivalence.report import schema as reports
from onnxpress.export.equivalence.report.schema import Check, Report
from onnxpress.export.equivalence.runtime import no_rows, optimizers
from onnxpress.export.equivalence.runtime.rungs import Turns
from onnxpress.export.graph import deduplicate as initializers
from onnxpress.export.graph import external_data
from onnxpress.export.graph import tidy as graph
from onnxpress.export.graph.compose import compose
from onnxpress.export.network import LARGE, Network
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.pipeline import refused
from onnxpress.export.pipeline.explain import explained
from onnxpress.export.sources.resolve import Source

if TYPE_CHECKING:
    import onnx

CONVERSION_LOG = "conversion.txt"
"""what the converter said, in the version folder where it said anything"""
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
    external_above: int = LARGE,
) -> Published:
    """Convert, measure and publish `source` as the next version of model `name` in `repository`.

    More than `external_above` bytes of weights are written beside the graph. Raises NotEquivalent when the export
    cannot be shown to say the same, BadModel when it cannot be converted; nothing is published then.
    """
    with _step("asking the original"):
        prepared = prepare(source)
    with tempfile.TemporaryDirectory(prefix="onnxpress-convert-") as temporary:
        folder = Path(temporary)
        with _step(f"converting ({prepared.network.converter})"):
            proto, outputs = convert(prepared, folder, limits, external_above=external_above)
        with _step("measuring equivalence"):
            measured, settings = compare(prepared, proto, outputs, folder, provider=provider)
        called = name or source.name
        if not measured.report.equivalent:
            with _step("looking for the layer"):
                report = explained(prepared, proto, outputs, measured.report)
            measured = replace(measured, report=report)
            kept = refused.keep(
                lambda place: _publish(prepared, proto, outputs, measured, settings, folder, place, called).folder,
                repository,
                called,
            )
            raise NotEquivalent(
                f"the export is refused, nothing was published\n{report}",
                where=source.reference,
                hint=f"the export differs from the original by more than rounding explains; {kept}",
            )
        with _step("publishing"):
            return _publish(prepared, proto, outputs, measured, settings, folder, repository, called)


def prepare(source: Source) -> Prepared:
    """Wrap the network, choose the inputs to measure on, and ask the original for answers it must be able to repeat."""
    network = wrap(source)
    inputs = source.inputs or network.inputs
    samples = source.samples or network.examples(8) or {}
    reference = Reference(network, source.processing, inputs)
    parameters = sum(value.size for value in network.parameters().values())
    chosen = cases(inputs, samples, largest=largest_batch(parameters, network.inputs, network.examples(1) or {}))
    _refuse_unfed(source, network, chosen[0])
    chosen, left_out = sizes.accepted(reference, chosen, inputs)
    checks = [Check(name="inference mode", passed=True, detail=note) for note in network.notes]
    checks += [repeatable(reference, network, chosen), *left_out]
    return Prepared(source, network, reference, inputs, samples, chosen, checks)


def convert(
    prepared: Prepared, folder: Path, limits: child.Limits | None = None, *, external_above: int = LARGE
) -> tuple[onnx.ModelProto, list[TensorSpec]]:
    """The composed, tidied and checked graph, and the specs of its outputs with their named dimensions.

    In `folder`, which must be empty, large weights are left as `external_data.FILE`.
    """
    require("onnx", needed_by="exporting")
    import onnx

    source, network = prepared.source, prepared.network
    if source.origin is not None:
        proto = child.convert(network, source.origin, limits or child.Limits(), folder, external_above)
    else:  # an object handed over from Python: no other process can resolve it again
        proto = network.convert(folder)
        external_data.put_beside(proto, folder, above=external_above)
    problems = graph.fixed_dimensions(proto, network.inputs)
    if problems:
        raise NotEquivalent(
            f"the converter fixed a dimension that should vary: {'; '.join(problems)}",
            where=source.reference,
            hint="the model works at the size it was traced with only; take sizes from the input's shape in forward",
        )
    graph.set_signature(proto.graph.input, network.inputs)
    graph.refuse_unservable(proto, source.allowed_operators)
    if source.processing.before or source.processing.after:
        outputs = source.outputs or _described_outputs(prepared)
        proto = compose(proto, source.processing, prepared.inputs, outputs)
    else:
        outputs = source.outputs or _observed_outputs(proto, prepared, folder)
        graph.set_signature(proto.graph.output, outputs)
    layers = network.layer_names() if isinstance(network, Layered) else ()
    graph.tidy(proto, metadata=_metadata(source, prepared.inputs, outputs), layers=layers)
    if not external_data.is_beside(proto):
        proto = initializers.deduplicated(proto)
    try:
        external_data.check(proto, folder)
    except onnx.checker.ValidationError as error:
        raise BadModel(f"the converted graph is invalid: {error}", where=source.reference) from error
    memory.give_back()
    return proto, outputs


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


def _refuse_unfed(source: Source, network: Network, case: Case) -> None:
    """Raise UsageError where the described steps do not make what the network takes."""
    if not source.processing.before:
        return
    tensors = apply(source.processing.before, case.feeds)
    absent = [spec.name for spec in network.inputs if spec.name not in tensors]
    if absent:
        raise UsageError(
            f"the network takes {', '.join(absent)}; the steps before it make {', '.join(tensors)}",
            where=source.reference,
            hint="name the last step's output after the network's input",
        )


def _described_outputs(prepared: Prepared) -> list[TensorSpec]:
    """The specs of what the described pipeline answers, observed on the original itself."""
    source, reference, generator = prepared.source, prepared.reference, np.random.default_rng(0)
    feeds = prepared.cases[0].feeds
    known = reference.run(feeds)
    before = apply(source.processing.before, feeds).keys() | set(prepared.network.output_names)
    made = [name for name in known if name not in before]
    names = source.answers or made or prepared.network.output_names
    absent = [name for name in names if name not in known]
    if absent:
        raise UsageError(f"no step makes the output {absent[0]!r}; there is {', '.join(known)}", where=source.reference)

    def observe(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
        return _seen(reference.run(generate(prepared.inputs, prepared.samples, sizes, generator)))

    return graph.infer_outputs(names, prepared.inputs, observe, _usual(prepared))


def _observed_outputs(proto: onnx.ModelProto, prepared: Prepared, folder: Path) -> list[TensorSpec]:
    rung = Turns(external_data.loadable(proto, folder), "cpu").rung(SessionSettings())
    generator = np.random.default_rng(0)

    def observe(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
        return _seen(rung.run(generate(prepared.inputs, prepared.samples, sizes, generator)))

    return graph.infer_outputs(prepared.network.output_names, prepared.inputs, observe, _usual(prepared))


def _seen(answers: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name: ("string" if value.dtype.kind in "UO" else str(value.dtype), value.shape)
        for name, value in answers.items()
    }


def _usual(prepared: Prepared) -> dict[str, int]:
    """The sizes of the named dimensions in the author's rows."""
    found = {
        name: size
        for spec in prepared.inputs
        if spec.name in prepared.samples
        for name, size in zip(spec.shape, prepared.samples[spec.name].shape, strict=True)
        if isinstance(name, str)
    }
    found.pop("batch", None)
    return found


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
    folder: Path,
    repository: Path,
    name: str,
) -> Published:
    source, network, report = prepared.source, prepared.network, measured.report
    with staging(repository, name) as draft:
        (draft.folder / MODEL_FILE).write_bytes(proto.SerializeToString(deterministic=True))
        if external_data.is_beside(proto):
            shutil.move(folder / external_data.FILE, draft.folder / external_data.FILE)
        if network.talk:
            (draft.folder / CONVERSION_LOG).write_text("\n".join(map(_without_folders, network.talk)) + "\n")
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
            no_rows=any(check.name == "no rows" and check.detail == no_rows.ANSWERED for check in report.checks),
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


def _without_folders(line: str) -> str:
    """The line with files named without the folders of this machine."""
    return re.sub(r"(?:(?<![\w.])|\b[A-Za-z]:)[/\\](?:[^\s/\\:'\"]+[/\\])+", "", line)


@contextlib.contextmanager
def _step(label: str) -> Iterator[None]:
    """Say on stderr what is under way, and how long it took once it is done."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    print(f"{label} …", end="" if terminal else "\n", file=sys.stderr, flush=True)
    yield
    seconds = f"{time.monotonic() - started:.1f} s"
    print(f" {seconds}" if terminal else f"  {label}: {seconds}", file=sys.stderr, flush=True)
