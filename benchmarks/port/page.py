"""docs/port-coverage.md: what became of every model that was carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.port.subjects import Subject

TITLES = {
    "torch-corpus": ("The corpus, torch → Keras", "Awkward torch modules, of which each shows something unusual."),
    "torch-sound": ("Sound models, torch → Keras", "Trained heads, masks, caches, detection, tables in float64."),
    "torch-usual": ("Usual networks, torch → Keras", "Written as public projects write them."),
    "torch-families": ("The five families, torch → Keras", "Through the door that any module takes."),
    "transformers": ("transformers' encoders, torch → Keras", "Tiny random configurations: text, images, speech."),
    "keras-corpus": ("The corpus, Keras → torch", "Awkward Keras models, of which each shows something unusual."),
    "keras-sound": ("Sound models, Keras → torch", "Trained heads, masks, several answers, tables in float64."),
    "keras-usual": ("Usual networks, Keras → torch", "Written as public projects write them."),
    "keras-families": ("The five families, Keras → torch", "Through the door that any model takes."),
    "keras-applications": (
        "keras.applications → torch",
        "Each architecture once, with random weights: the smallest images that it takes, and ten classes.",
    ),
    "onnx-torch": (
        "Files → torch",
        "What `export` makes of the corpus's torch models. A file holds no training, so the fourth rung is not asked.",
    ),
    "onnx-keras": ("Files → Keras", "The same files, by way of torch."),
}
AIMS = {
    "torch-corpus": 85,
    "transformers": 70,
    "torch-families": 100,
    "keras-corpus": 85,
    "keras-families": 100,
    "keras-applications": 90,
}
"""per cent"""
RUNGS = ("answers", "parameters", "gradients", "training")


def page(every: Sequence[Subject], rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, as Markdown."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# What can be ported",
        "",
        f"Written by `python -m benchmarks.port` on {today}. Do not edit it. Each model goes through `onnxpress port`. "
        "*ported* means that every rung of [the proof](porting.md#what-is-proven) holds, and that the written model, "
        "with the written weights, answers as the source does on inputs of this command's own. The latter comparison "
        "shares no code with `port`. Seconds are processors' time.",
        "",
        "| family | models | writable | ported | share | aim | wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    families = list(dict.fromkeys(subject.family for subject in every))
    for family in families:
        own = [subject for subject in every if subject.family == family]
        writable = [s for s in own if not s.unwritable]
        states = [rows.get(s.label, {}).get("state") for s in writable]
        share = 100 * states.count("ported") / len(writable)
        aim = f"{AIMS[family]} %" if family in AIMS else ""
        lines.append(
            f"| {TITLES[family][0]} | {len(own)} | {len(writable)} | {states.count('ported')} | {share:.0f} % "
            f"| {aim} | {states.count('wrong')} |"
        )
    for family in families:
        own = [subject for subject in every if subject.family == family]
        lines += ["", f"## {TITLES[family][0]}", "", TITLES[family][1], ""]
        lines += _table([(s, rows[s.label]) for s in own if s.label in rows and rows[s.label]["state"] == "ported"])
        lines += _others([(s, rows.get(s.label)) for s in own])
    return "\n".join(lines) + "\n"


def _table(found: list[tuple[Subject, Mapping[str, Any]]]) -> list[str]:
    if not found:
        return ["None was ported."]
    lines = [
        "| model | answers, in floors | gradients | training | own comparison | lines | seconds |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    for subject, row in found:
        figures = [_figure(row["rungs"].get(name)) for name in ("answers", "gradients", "training")]
        lines.append(
            f"| {subject.name} | {' | '.join(figures)} | {row['judged']} | {row['lines']} | {row['seconds']:.0f} |"
        )
    return lines


def _figure(rung: Any) -> str:
    return "" if rung is None or rung[1] is None else f"{rung[1]:.1g}"


def _others(found: list[tuple[Subject, Mapping[str, Any] | None]]) -> list[str]:
    lines = []
    for subject, row in found:
        if subject.unwritable:
            lines.append(f"- `{subject.name}`: nobody could write it, {subject.unwritable}")
        elif row is None:
            lines.append(f"- `{subject.name}`: not asked yet")
        elif row["state"] != "ported":
            where = f"{row.get('where')}: " if row.get("where") else ""
            said = row.get("judged") if row["state"] == "wrong" else row["reason"]
            lines.append(f"- `{subject.name}`, {row['state']}: {where}{_plain(str(said))}")
    return ["", "Not ported:", "", *lines] if lines else []


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")[:300]


def faults_page(rows: Sequence[Mapping[str, Any]]) -> str:
    """docs/port-faults.md: which rung caught which kind."""
    faults = [(row["model"], *fault) for row in rows for fault in row.get("faults", [])]
    alarms = [row for row in rows if row["state"].startswith("false alarm")]
    caught = [fault for fault in faults if fault[3]]
    kinds = sorted({fault[1] for fault in faults})
    share = f"{100 * len(caught) / len(faults):.1f} %" if faults else "–"
    lines = [
        "# Faults planted in ported code",
        "",
        f"Written by `python -m benchmarks.port --faults` on {datetime.now(UTC).date().isoformat()}. Do not edit it. "
        "One fault at a time is planted in the Keras code of a port that is sound, or in how its weights are put. Then "
        "[the proof](porting.md#what-is-proven) is asked. The rung that is named is the first that fails.",
        "",
        f"{len(caught)} of {len(faults)} faults in {len(rows)} models are caught: {share}. "
        f"{len(alarms)} sound ports are refused.",
        "",
        f"| fault | planted | {' | '.join(RUNGS)} | missed |",
        "| --- |" + " ---: |" * (len(RUNGS) + 2),
    ]
    for kind in kinds:
        own = [fault[3] for fault in faults if fault[1] == kind]
        counts = [own.count(rung) or "" for rung in RUNGS]
        lines.append(f"| {kind} | {len(own)} | {' | '.join(map(str, counts))} | {own.count('') or ''} |")
    missed = [fault for fault in faults if not fault[3]]
    lines += ["", "## Missed", ""]
    lines += [f"- {kind}, {model}: `{_plain(place)}`" for model, kind, place, _ in missed] or ["Nothing."]
    if alarms:
        lines += ["", "## Refused although sound", "", *(f"- {row['model']}, {row['state']}" for row in alarms)]
    return "\n".join(lines) + "\n"
