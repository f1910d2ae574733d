"""docs/sweeps.md: what became of every model of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = """# Sweeps: whole model families through `onnxpress export`

Written by `python -m benchmarks.sweeps keras` and `python -m benchmarks.sweeps transformers`. Do not edit it. Each
model is exported by a process of its own. *equal* means published: no answer lies further from the original than 10
noise floors. The figure is the worst one seen.

Each model is measured at batch 1, 2, 3, 7 and 64 (16 for large models), and at every size of its other named
dimensions.
"""
_FAMILY = {
    "keras": (
        "keras.applications",
        "Every model with fewer than 60 million parameters, `weights=None`, images of 80 x 80, logits as output. "
        "The weights of normalisations and the layer scales are drawn at random, as fresh ones do nothing.",
    ),
    "transformers": (
        "transformers",
        "Tiny random configurations. Texts are dynamic in batch and sequence. Their attention mask holds any zeros and "
        "ones. Speech is dynamic in batch and time, images in batch.",
    ),
}


def render(families: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The page, as Markdown: family → model → row."""
    parts = [_HEAD]
    for family, rows in families.items():
        if not rows:
            continue
        title, about = _FAMILY[family]
        equal = [row for row in rows.values() if row["state"] == "equal"]
        newest = max(rows.values(), key=lambda row: str(row["date"]))
        older = [row for row in rows.values() if row["date"] != newest["date"]]
        versions = ", ".join(f"{name} {number}" for name, number in newest["versions"].items())
        counted = f"{len(equal)} of {len(rows)} equal.{_proven(equal)} {newest['date']}, {versions}."
        if older:
            counted += f" Of {len(older)} the row is older: {', '.join(_dated(older))}."
        parts.append(f"## {title}\n\n{about}\n\n{counted}\n")
        parts.append("\n".join(_table(rows)) + "\n")
        others = [row for row in rows.values() if row["state"] != "equal"]
        if others:
            parts.append("### Not published\n")
            parts += [f"- `{row['model']}`: {_sentence(row['reason'])}" for row in others]
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _proven(equal: Sequence[Mapping[str, Any]]) -> str:
    """How many are batched because the proof shows that their rows do not look at each other."""
    safe = [row for row in equal if row.get("batch_safe") and "rows" in row]
    proven = sum(row["rows"] == "proven" for row in safe)
    return f" {proven} of {len(safe)} that are batched are proven in their rows." if safe else ""


def _dated(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"{row['model']} ({row['date']})" for row in rows]


def _table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    lines = [
        "| model | state | worst, in floors | floor | remarks | seconds |",
        "| --- | --- | ---: | --- | --- | ---: |",
    ]
    for row in rows.values():
        worst = "" if row["worst"] is None else f"{row['worst']:.2g}"
        lines.append(
            f"| {row['model']} | {row['state']} | {worst} | {row['floor']} | {'; '.join(_remarks(row))} "
            f"| {row['seconds']:.0f} |"
        )
    return lines


def _remarks(row: Mapping[str, Any]) -> list[str]:
    found = []
    if row["switched_off"]:
        found.append(f"the runtime's {', '.join(row['switched_off'])} switched off")
    if row.get("batch_safe") is False:
        found.append("rows are not answered alone as in a batch")
    elif row.get("rows", "proven") != "proven":
        found.append(f"rows {row['rows']}")
    if "TorchScript" in row.get("converter", ""):
        found.append("by the TorchScript exporter")
    return found


def _sentence(reason: str) -> str:
    """One paragraph, without our own `error:` and the reference, which the line begins with already."""
    text = " ".join(line.strip() for line in reason.splitlines() if line.strip()).replace("|", "\\|")
    text = text.removeprefix("error: ").replace("the export is refused, nothing was published ", "")
    text = text.partition(" hint: the export differs")[0]
    return text.split(": ", 1)[1] if text.startswith("benchmarks.sweeps.") and ": " in text else text
