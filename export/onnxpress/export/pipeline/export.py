"""The export stage: source → network → ONNX → composed graph → measured equivalence → published version.

Each step says on stderr what it does and how long it took. Whatever fails before the last one, nothing is published.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from onnxpress.core.errors import NotEquivalent
from onnxpress.core.progress import step
from onnxpress.core.version_folder import check_place
from onnxpress.export.child_process.parent import ConversionLimits
from onnxpress.export.graph.external_data import LARGE
from onnxpress.export.pipeline import refused
from onnxpress.export.pipeline.accepted import accepted, reason_of
from onnxpress.export.pipeline.choices import with_exact_answers, with_exact_scores, without_ties
from onnxpress.export.pipeline.convert import Converted, convert
from onnxpress.export.pipeline.explain import explained
from onnxpress.export.pipeline.measure import Measured, measure
from onnxpress.export.pipeline.nan import answering_nan
from onnxpress.export.pipeline.prepare import Prepared, prepare
from onnxpress.export.pipeline.publish import Published, publish
from onnxpress.export.pipeline.questions import widened
from onnxpress.export.source import Source


def export(
    source: Source,
    *,
    repository: Path,
    name: str | None = None,
    provider: str = "cpu",
    limits: ConversionLimits | None = None,
    external_above: int = LARGE,
    accept_refusal: str | None = None,
) -> Published:
    """Convert, measure and publish `source` as the next version of model `name` in `repository`.

    More than `external_above` bytes of weights are written beside the graph. `accept_refusal` is the reason why a
    version that the measurement refuses is published all the same; everything that shows it says so.

    Raises NotEquivalent when the export cannot be shown to say the same, BadModel when it cannot be converted; nothing
    is published then.
    """
    # What is cheap to know comes before what takes minutes.
    reason, model = reason_of(accept_refusal), name or source.name
    check_place(repository, model)
    with step("asking the original"):
        prepared = prepare(source)
    check_place(repository, model, sum(value.nbytes for value in prepared.network.parameters().values()))
    with tempfile.TemporaryDirectory(prefix="onnxpress-convert-") as temporary:
        folder = Path(temporary)
        with step(f"converting ({prepared.network.converter})"):
            converted = convert(prepared, folder, limits, external_above=external_above)
        prepared = widened(prepared, converted.graph)
        converted = answering_nan(prepared, converted, provider)
        prepared, measured = _measured(prepared, converted, provider)
        converted = measured.converted
        prepared = replace(prepared, cases=measured.cases)
        if not measured.report.equivalent:
            with step("looking for the layer"):
                report = explained(prepared, converted, measured.report)
            evidence = replace(measured, report=report)
            if reason:
                with step("publishing, though refused"):
                    knowingly = accepted(evidence, converted, reason, provider)
                    return publish(prepared, converted, knowingly, repository, model)
            kept = refused.keep(
                lambda place: publish(prepared, converted, evidence, place, model).folder, repository, model
            )
            raise NotEquivalent(
                f"the export is refused, nothing was published\n{report}",
                where=source.reference,
                hint=f"the export differs from the original by more than rounding explains; {kept}\n  to publish it "
                'knowingly: --accept-refusal "REASON"',
            )
        with step("publishing"):
            return publish(prepared, converted, measured, repository, model)


def _measured(prepared: Prepared, converted: Converted, provider: str) -> tuple[Prepared, Measured]:
    """The measurement, and what it was of: as converted, or changed by `choices` where the answers are scores."""
    exact = with_exact_answers(prepared, converted)
    with step("measuring equivalence"):
        measured = measure(*(exact or (prepared, converted)), provider=provider)
    if exact and measured.report.equivalent:
        prepared, converted = exact
    elif exact:
        with step("measuring as it was converted"):
            measured = measure(prepared, converted, provider=provider)
    if not measured.report.equivalent and (exact := with_exact_scores(prepared, measured.converted)):
        with step("measuring with exact scores"):
            prepared, converted = exact
            measured = measure(prepared, converted, provider=provider)
    if not measured.report.equivalent and (apart := without_ties(prepared, measured.converted)):
        with step("measuring without ties"):
            again = measure(apart, converted, provider=provider)
        if again.report.equivalent:
            prepared, measured = apart, again
    return prepared, measured
