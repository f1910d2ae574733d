"""docs/derived-precisions.md, made of the lines that the measuring left."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.derive.names import NAMES
from onnxpress.export.derive.figures import Tried
from onnxpress.export.derive.page import differs, far


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One subject in one precision."""

    subject: str
    precision: str
    parent_bytes: int = 0
    tried: Tried | None = None
    """what was published, or the nearest of what was refused"""
    candidates: int = 0
    published: bool = False
    failed: str = ""


def page(lines: Sequence[Line], where: dict[str, str], today: str) -> str:
    """The page: where it was measured, and a table."""
    told = [
        "# Precisions, measured",
        "",
        f"Written by `python -m benchmarks.derive` on {today}, on {where['processor']} with {where['cpus']} CPUs "
        f"({where['features']}) at a load of {where['load']}, ONNX Runtime {where['onnxruntime']}. "
        "The models are trained for seconds on made-up classes; the sentence encoder has random weights, and each of "
        "its sentences a paraphrase that shares three quarters of its words. Every version is held against its parent "
        "on rows that it never saw, by the default gate of [`onnxpress derive`](derive.md). Speeds are ratios to the "
        "parent, of runs in turns: another machine has others. Of refused precisions the nearest candidate is shown. "
        "`minilm` is judged by nearest neighbours, the others by decisions.",
        "",
        "| model | precision | smaller | quicker at 1 | at 32 | differs | how far | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    told += [_row(line) for line in lines]
    count = sum(line.published for line in lines)
    outside = sum(line.published and not (line.tried and line.tried.inside) for line in lines)
    absent = [name for name in NAMES if name not in {line.subject for line in lines}]
    if absent:
        told += ["", f"Not measured in this run: {', '.join(absent)}."]
    told += ["", f"{count} of {len(lines)} were published, {outside} of them outside their gate."]
    return "\n".join(told) + "\n"


def _row(line: Line) -> str:
    tried = line.tried
    if line.failed or tried is None or tried.failed:
        why = line.failed or (tried.failed if tried else "nothing was tried")
        return f"| {line.subject} | {line.precision} | | | | | | {_cell(why)} |"
    quicker = [f"{tried.timings[batch].quicker:.2f}" if batch in tried.timings else "" for batch in (1, 32)]
    verdict = f"**published**: {tried.method}" if line.published else f"refused: {'; '.join(tried.refused)}"
    told = ["; ".join(map(each, tried.outputs)) for each in (differs, far)]
    cells = [line.subject, line.precision, f"{tried.smaller:.2f}", *quicker, *told, _cell(verdict)]
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
