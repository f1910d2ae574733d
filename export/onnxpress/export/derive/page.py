"""What a derived version costs and what else was tried: a part of its page, and a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from onnxpress.core.html_page import scrolling
from onnxpress.export.derive.figures import OutputJudged, Tried
from onnxpress.export.equivalence.report.schema import LayerCost

_DEAREST = 20
"""layers that the page shows"""


def sections(taken: Tried, everything: Sequence[Tried], costs: Sequence[LayerCost]) -> Iterable[str]:
    """HTML: the outputs, the metrics, the layers, and every candidate with its verdict."""
    yield "<h2>Against its parent, on the held-out rows</h2>"
    yield f"{scrolling('Against its parent')}<table><tr><th>output</th>"
    yield "<th>decided by</th><th>what differs</th><th>how far</th></tr>"
    for one in taken.outputs:
        yield f"<tr><td><code>{escape(one.name)}</code></td><td>{one.kind}</td><td>{escape(differs(one))}</td>"
        yield f"<td>{escape(far(one))}</td></tr>"
    yield "</table></div>"
    if taken.metrics:
        yield "<ul>"
        for metric in taken.metrics:
            yield f"<li>{escape(metric.name)} of <code>{escape(metric.output)}</code>: {metric.parent:.4g} before, "
            yield f"{metric.derived:.4g} after; worse by {metric.loss:.3g} "
            yield f"(95 %: {metric.low:.3g} to {metric.high:.3g})</li>"
        yield "</ul>"
    yield from _layers(costs)
    yield f"<h2>Everything that was tried</h2>{scrolling('Everything that was tried')}<table>"
    head, *rows = cells(everything)
    yield f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</table></div>"


def _layers(costs: Sequence[LayerCost]) -> Iterable[str]:
    if not costs:
        return
    yield '<h2>What every layer costs</h2><p class="soft">Each alone in fewer bits, all others as they were; the '
    yield "dearest first. The cost is the mean KL of classes, 1 - cosine of embeddings, the error of regressions, or "
    yield f"else the share of decisions that differ.</p>{scrolling('Layers')}<table><tr><th>layer</th><th>nodes</th>"
    yield '<th class="number">cost</th></tr>'
    for one in costs[:_DEAREST]:
        yield f"<tr><td>{escape(one.layer)}</td><td><code>{escape(', '.join(one.nodes[:4]))}</code></td>"
        yield f'<td class="number">{one.cost:.2g}</td></tr>'
    yield "</table></div>"
    if (rest := len(costs) - _DEAREST) > 0:
        yield f'<p class="soft">{rest} more cost less.</p>'


def cells(everything: Sequence[Tried]) -> list[list[str]]:
    """A head and a row for each candidate."""
    batches = sorted({batch for one in everything for batch in one.timings})
    head = ["candidate", "smaller", *(f"quicker at {batch}" for batch in batches), "differs", "how far", "verdict"]
    return [head, *([one.method, *_row(one, batches)] for one in everything)]


def _row(one: Tried, batches: Sequence[int]) -> list[str]:
    if one.failed:
        return ["-"] * (len(batches) + 3) + [one.failed]
    return [
        f"{one.smaller:.2f}",
        *(f"{one.timings[batch].quicker:.2f}" if batch in one.timings else "-" for batch in batches),
        "; ".join(map(differs, one.outputs)),
        "; ".join(map(far, one.outputs)),
        "inside the gate" if one.inside else "; ".join(one.refused),
    ]


def differs(one: OutputJudged) -> str:
    """How many decisions differ, and how many may."""
    if one.kind == "regression":
        return "-"
    ties = f" + {one.near_ties} near-ties" if one.near_ties else ""
    return f"{one.flips}/{one.decisions}{ties} (≤ {100 * (one.bound or 0):.2g} %)"


def far(one: OutputJudged) -> str:
    """By how much the answers themselves differ."""
    if one.kl_mean is not None and one.kl_worst is not None:
        return f"KL {one.kl_mean:.1e}, worst {one.kl_worst:.1e}"
    if one.cosine_mean is not None and one.cosine_worst is not None:
        return f"cosine {one.cosine_mean:.4f}, worst {one.cosine_worst:.4f}"
    if one.error is not None and one.error_worst is not None:
        return f"{one.error:.2g}, worst {one.error_worst:.2g} of {one.unit}"
    return "-"


def table(everything: Sequence[Tried]) -> str:
    """The same as lines of text; the verdict, which may be long, stands below each candidate."""
    head, *rows = cells(everything)
    lines = [[*row[:-1]] for row in [head, *rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    told = []
    for line, row in zip(lines, [head, *rows], strict=True):
        told.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if row is not head:
            told.append(f"    {row[-1]}")
    return "\n".join(told)
