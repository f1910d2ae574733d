"""`equivalence.html`: the report to look at. One file, no script, nothing fetched; light and dark, narrow and wide."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from onnxpress.core.html_page import page, scrolling
from onnxpress.core.manifest import Manifest
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.report.pictures import curve, distribution
from onnxpress.export.equivalence.report.schema import CaseFigure, OutputFigure, Report, multiple

FILE_NAME = "equivalence.html"
_FEW = 12
"""values or labels that are listed"""

_STYLE = """
.verdict { border-left: .35rem solid var(--good); background: var(--box); padding: 1rem 1.2rem; border-radius: .3rem; }
.verdict.refused { border-color: var(--bad); }
code { font-size: .92em; } table { width: 100%; }
th, td { padding: .3rem .7rem .3rem 0; min-width: 4.5rem; vertical-align: top; }
th code, .number { white-space: nowrap; }
.track { position: relative; min-width: 9rem; height: .9rem; margin-top: .3rem; background: var(--box);
  border-radius: .2rem; overflow: hidden; }
.fill { position: absolute; inset: 0 auto 0 0; background: var(--bar); } .fill.over { background: var(--bad); }
.heat td { padding: .2rem .5rem; } .heat .cell { text-align: right; font-variant-numeric: tabular-nums;
  border-radius: .2rem; }
ul { padding-left: 1.1rem; }
svg.curve { width: 100%; min-width: 32rem; height: auto; } svg text { font: 10px system-ui, sans-serif;
  fill: var(--soft); } svg line { stroke: var(--line); } svg line.one { stroke: var(--soft); stroke-dasharray: 4 3; }
svg .under { fill: var(--bar); } svg .over { fill: var(--bad); } svg.bars { max-width: 100%; height: auto; }
"""


def render(report: Report, manifest: Manifest, *, more: Iterable[str] = ()) -> str:
    """The page for one report on the version that the manifest is of.

    `more` stands below the verdict, as HTML: what was measured of a version in fewer bits.
    """
    verdict = "Equivalent" if report.equivalent else "Derived" if report.derived else "Not equivalent"
    kept = _kept(report)
    name = f"{manifest.name}, {'refused and not published' if kept else f'version {manifest.version}'}"
    body = [
        f'<p class="soft">{_origin(manifest)}</p>',
        *(_derived(report) if report.derived else _verdict(report, verdict)),
        *_next(report, manifest),
        *_signature(manifest),
        *more,
        *_power(report),
        *_outputs(report),
        *_distributions(report),
        *_cases(report),
        *_ladder(report),
        *_along(report),
        *_checks(report),
        *_environment(report, manifest),
    ]
    return page(f"{name}: {verdict.lower()}", name, body, style=_STYLE)


def _origin(manifest: Manifest) -> str:
    """Where and when it was made."""
    when = escape(manifest.created.replace("T", " ").replace("+00:00", " UTC").replace("Z", " UTC"))
    if (derived := manifest.derived_from) is not None:
        return f"derived from version {derived.version} as {escape(derived.precision)} on {when}"
    source = manifest.source
    framework = f"{escape(source.framework)} {escape(source.framework_version)}".strip()
    return f"exported from <code>{escape(source.reference)}</code> ({framework}) on {when}"


def _kept(report: Report) -> bool:
    """Whether it was refused, and is kept to be looked at only."""
    return not (report.equivalent or report.derived or report.accepted)


def _next(report: Report, manifest: Manifest) -> Iterable[str]:
    """What its reader can do with it."""
    name, version, kept = escape(manifest.name), manifest.version, _kept(report)
    place = f"models/{'.refused/' if kept else ''}{name}/{version}"
    yield "<h2>What to do next</h2><ul>"
    if report.derived:
        yield "<li>See below what it costs, and what else was tried.</li><li>Serve the quickest version that passes its"
        yield f"self-test: <code>onnxpress serve models/{name} --variant auto</code></li>"
    elif report.equivalent:
        yield f"<li>Serve it: <code>onnxpress serve {place}</code></li>"
    elif report.accepted:
        yield "<li>Mend what is named above, and export again. A server says of this version that it was refused, and "
        yield "does not take it with <code>--require-equivalence</code>.</li>"
    else:
        yield "<li>Nothing was published. Mend what is named above, and export again.</li>"
        yield "<li>Publish it knowingly: export with <code>--accept-refusal &quot;REASON&quot;</code></li>"
    again = "See the refusal" if kept else "Measure it on another machine"
    yield f"<li>{again}, without a framework: <code>onnxpress verify {place}</code></li>"
    if manifest.derived_from is None and not kept:
        against = f"<code>onnxpress verify {place} --against {escape(manifest.source.reference)}</code>"
        yield f"<li>Measure it against its source again: {against}</li>"
    yield "</ul>"


def _signature(manifest: Manifest) -> Iterable[str]:
    yield f"<h2>Signature</h2>{scrolling('Signature')}<table><tr><th>side</th><th>name</th><th>values</th>"
    yield "<th>shape</th><th>known of it</th></tr>"
    for side, specs in (("input", manifest.inputs), ("output", manifest.outputs)):
        for spec in specs:
            shape = f"[{', '.join(map(str, spec.shape))}]"
            yield f"<tr><td>{side}</td><td><code>{escape(spec.name)}</code></td><td>{spec.dtype}</td>"
            yield f"<td><code>{escape(shape)}</code></td><td>{escape(_known(spec, manifest))}</td></tr>"
    yield "</table></div>"


def _known(spec: TensorSpec, manifest: Manifest) -> str:
    """Ranges, labels and thresholds in words."""
    told = []
    if spec.domain is not None:
        values = spec.domain.values
        listed = str(spec.domain) if values is None or len(values) <= _FEW else f"one of {len(values)} values"
        told.append(f"{'only' if spec.domain.enforced else 'measured with'} {listed}")
    if spec.refuses:
        told.append(f"no {' or '.join(spec.refuses)}")
    if labels := manifest.labels.get(spec.name):
        told.append(f"labels {', '.join(labels)}" if len(labels) <= _FEW else f"{len(labels)} labels")
    if spec.name in manifest.thresholds:
        told.append(f"decided at {manifest.thresholds[spec.name]:.4g}")
    return "; ".join(told)


def _verdict(report: Report, verdict: str) -> Iterable[str]:
    state, box = ("good", "verdict") if report.equivalent else ("bad", "verdict refused")
    yield f'<div class="{box}">'
    if report.accepted:
        yield f'<p><strong class="bad">Published knowingly though refused:</strong> {escape(report.accepted)}</p>'
    yield f'<p><strong class="{state}">{verdict}.</strong> The export differs from the original by at most'
    yield f"<strong>{multiple(report.worst_multiple)}</strong> noise floors; {report.limit:g} are accepted.</p>"
    if report.power is not None:
        yield f"<p>{_sentence(str(report.power))}</p>"
    known = f" ({escape(report.rows)})" if report.rows else ""
    batch = (
        f"A row gets the same answer alone and in a batch{known}, so the server may batch."
        if report.batch_safe
        else f"A row's answer depends on others{known}, or has no row of its own, so the server will not batch."
    )
    yield f"<p>{batch}</p>"
    if report.explanation is not None:
        detail = report.explanation.detail
        yield f"<p>{escape(detail[:1].upper() + detail[1:])}.</p>"
        yield f'<p class="soft">Seen on: {escape(report.explanation.case)}.</p>'
    for check in report.checks:
        if not check.passed:
            yield f'<p class="bad">Failed: {escape(check.name)}: {escape(check.detail)}.</p>'
    for missing in report.not_measured:
        yield f'<p class="bad">Not measured: {escape(missing)}</p>'
    yield "</div>"
    how = (
        "the original's own float32 answer is from the same model run in float64"
        if report.floor == "float64"
        else "the original's answer moves when its inputs move by one unit in the last place"
    )
    yield f'<p class="soft">One noise floor is how far {how}: the difference that rounding alone explains.</p>'


def _derived(report: Report) -> Iterable[str]:
    yield f'<div class="verdict"><p><strong>Derived: {escape(report.derived)}.</strong></p>'
    yield f"<p>On the golden samples of its parent it is {multiple(report.worst_multiple)} noise floors from the "
    yield "original. That is the price of its precision, not of an error.</p>"
    together = (
        f"A row gets the same answer alone and in a batch ({escape(report.rows)}), so the server may batch."
        if report.batch_safe
        else f"A row's answer depends on its neighbours ({escape(report.rows)}), so the server will not batch."
    )
    yield f"<p>{together}</p></div>"


def _sentence(text: str) -> str:
    return f"{escape(text[:1].upper() + text[1:])}."


def _power(report: Report) -> Iterable[str]:
    power = report.power
    if power is None or not power.planted:
        return
    weak, weak_shown = power.planted - power.strong, power.shown - power.strong_shown
    yield '<h2>The power of the questions</h2><p class="soft">Small faults, planted in copies of this graph one at a'
    yield "time. Those count that change an answer by more than one noise floor on some input that was tried.</p>"
    yield scrolling("The power of the questions")
    yield '<table><tr><th>the fault changes an answer by</th><th class="number">planted</th>'
    yield '<th class="number">shown</th></tr>'
    for name, planted, shown in (
        ("more than 10 noise floors", power.strong, power.strong_shown),
        ("1 to 10 noise floors", weak, weak_shown),
    ):
        yield f'<tr><td>{name}</td><td class="number">{planted}</td><td class="number">{shown}</td></tr>'
    yield "</table></div>"
    if power.survivors:
        yield "<p>Not shown:</p><ul>"
        for one in power.survivors:
            where = f" in {one.layer}" if one.layer else ""
            far = f"it changes an answer by {multiple(one.multiple)} floors on inputs that are not among the questions"
            yield f"<li>{escape(one.kind + where)} (<code>{escape(one.place)}</code>): {far}</li>"
        if rest := power.planted - power.shown - len(power.survivors):
            yield f"<li>and {rest} more</li>"
        yield "</ul>"
    told = [
        (power.below, "changed an answer by less than one noise floor"),
        (power.without_effect, "changed no answer, whatever was tried"),
        (power.questions, "questions were asked besides, as too many faults had survived the others"),
    ]
    yield f'<p class="soft">{"; ".join(f"{count} {what}" for count, what in told if count)}</p>'


def _outputs(report: Report) -> Iterable[str]:
    yield f"<h2>Outputs</h2>{scrolling('Outputs')}"
    yield "<table><tr><th>output</th><th>worst, in noise floors</th><td></td>"
    yield '<th class="number">largest error</th><th class="number">one floor there</th><th>seen on</th></tr>'
    for figure in report.outputs:
        yield f"<tr><td><code>{escape(figure.name)}</code><br><span class=soft>{escape(figure.dtype)}</span></td>"
        yield f"<td>{_track(figure.worst_multiple, report.limit)}</td>"
        yield f'<td class="number">{multiple(figure.worst_multiple)}</td>{_error_cells(figure)}'
        yield f"<td>{escape(figure.worst_case)}</td></tr>"
    yield "</table></div>"
    yield f'<p class="soft">A full bar is the accepted limit, {report.limit:g} noise floors.</p>'


def _distributions(report: Report) -> Iterable[str]:
    if report.derived:  # its decisions stand on the first screen, over many more rows
        return
    yield f"<h2>How far every element is</h2>{scrolling('How far every element is')}<table><tr><th>output</th>"
    yield "<th>elements by noise floors, all cases</th><th>decisions</th></tr>"
    for figure in report.outputs:
        drawn = "".join(distribution(figure.distribution)) if figure.distribution else ""
        yield f"<tr><td><code>{escape(figure.name)}</code></td><td>{drawn}</td><td>{_decided(figure)}</td></tr>"
    yield "</table></div>"
    yield '<p class="soft">The height of a bar follows the logarithm of the count. A flip is a decision that the '
    yield "export takes otherwise; a near-tie is one that the original's own rounding could take otherwise too.</p>"


def _decided(figure: OutputFigure) -> str:
    decisions = figure.decisions
    if decisions is None:
        return '<span class="soft">none to take</span>'
    real = decisions.flips - decisions.near_ties
    state = f'<span class="{"bad" if real else "good"}">{real:,} flips</span>'
    what = "highest class" if decisions.kind == "top-1" else "value"
    return f"{state}, {decisions.near_ties:,} near-ties in {decisions.count:,} <span class=soft>({what})</span>"


def _along(report: Report) -> Iterable[str]:
    if report.curve:
        yield "<h2>Along the graph</h2><p class='soft'>Every tensor that a layer of the original is known to compute, "
        yield "in float64, against that layer's own noise floor; the dashed line is one floor.</p>"
        yield f"{scrolling('Along the graph')}{''.join(curve(report.curve))}</div>"


def _error_cells(figure: OutputFigure) -> str:
    if figure.dtype.startswith(("float", "bfloat")):
        return f'<td class="number">{figure.largest_error:.3g}</td><td class="number">{figure.floor:.3g}</td>'
    ties = f", {figure.near_ties} near-ties" if figure.near_ties else ""
    return f'<td class="number">{figure.largest_error:g} differ{ties}</td><td></td>'


def _track(value: float, limit: float) -> str:
    width = min(100.0, 100 * value / limit) if math.isfinite(value) else 100.0
    over = " over" if not value <= limit else ""
    return f'<div class="track"><div class="fill{over}" style="width:{width:.1f}%"></div></div>'


def _cases(report: Report) -> Iterable[str]:
    yield f"<h2>Every case, every output</h2>{scrolling('Every case, every output')}"
    yield '<table class="heat"><tr><th>inputs</th>'
    names = [figure.name for figure in report.outputs]
    yield "".join(f'<th class="number"><code>{escape(name)}</code></th>' for name in names) + "</tr>"
    for case in report.cases:
        yield f"<tr><td>{escape(case.name)}</td>{''.join(_heat(case, name, report.limit) for name in names)}</tr>"
    yield "</table></div>"


def _heat(case: CaseFigure, name: str, limit: float) -> str:
    """A cell whose shade grows with the logarithm of its multiple, full at the limit, in another colour past it."""
    value = case.multiples[name]
    within = value <= limit
    share = math.log1p(value) / math.log1p(limit) if within else 1.0
    colour = "var(--bar)" if within else "var(--bad)"
    shade = f"background:color-mix(in srgb, {colour} {60 * share:.0f}%, transparent)"
    return f'<td><div class="cell" style="{shade}">{multiple(value)}</div></td>'


def _ladder(report: Report) -> Iterable[str]:
    yield '<h2>The ladder</h2><p class="soft">From the original, with optimisations off, to what is served.</p>'
    yield f"{scrolling('The ladder')}<table>"
    yield "<tr><th>rung</th><th>worst, in noise floors</th><td></td></tr>"
    yield "<tr><td>the original, float32</td><td></td><td></td></tr>"
    for rung in report.ladder:
        yield f"<tr><td>{escape(rung.name)}</td><td>{_track(rung.worst_multiple, report.limit)}</td>"
        yield f'<td class="number">{multiple(rung.worst_multiple)}</td></tr>'
    batch = multiple(report.batch_multiple)
    yield f"<tr><td>a row alone against the row in a batch</td><td>{_track(report.batch_multiple, report.limit)}</td>"
    yield f'<td class="number">{batch}</td></tr></table></div>'


def _checks(report: Report) -> Iterable[str]:
    yield "<h2>Checked besides</h2><ul>"
    for check in report.checks:
        state = '<span class="good">passed</span>' if check.passed else '<span class="bad">failed</span>'
        yield f"<li>{escape(check.name)}: {state}. <span class=soft>{escape(check.detail)}</span></li>"
    yield "</ul>"


def _environment(report: Report, manifest: Manifest) -> Iterable[str]:
    yield f"<h2>Where it was measured</h2>{scrolling('Where it was measured')}<table>"
    for key, value in report.environment.items():
        yield f"<tr><td>{escape(key)}</td><td><code>{escape(value)}</code></td></tr>"
    yield "</table></div>"
    yield f'<p class="soft">Graph: opset {manifest.opset}, IR {manifest.ir_version}.</p>'
