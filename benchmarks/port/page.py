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
    "transformers-others": (
        "transformers' decoders and further encoders, torch → Keras",
        "Tiny random configurations: text without a cache, images.",
    ),
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


def page(
    every: Sequence[Subject], rows: Mapping[str, Mapping[str, Any]], large: Mapping[str, Any] | None = None
) -> str:
    """The page, as Markdown. `large` is the record of benchmarks.port.large."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# What can be ported",
        "",
        f"Written by `python -m benchmarks.port` on {today}. Do not edit it. Each model goes through `onnxpress port`. "
        "*ported* means that the first four rungs of [the proof](porting.md#what-is-proven) hold, and that the written "
        "model, with the written weights, answers as the source does on inputs of this command's own. The latter "
        "comparison shares no code with `port`. *and back* means that the fifth rung, the round trip, holds too: "
        "exported to ONNX again, and ported back, it is the same. Seconds are processors' time.",
        "",
        "| family | models | writable | ported | share | and back | share | aim | wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    families = list(dict.fromkeys(subject.family for subject in every))
    for family in families:
        own = [subject for subject in every if subject.family == family]
        writable = [s for s in own if not s.unwritable]
        states = [rows.get(s.label, {}).get("state") for s in writable]
        share = 100 * states.count("ported") / len(writable)
        back = sum(_is_back(rows[s.label]) for s in writable if s.label in rows)
        aim = f"{AIMS[family]} %" if family in AIMS else ""
        lines.append(
            f"| {TITLES[family][0]} | {len(own)} | {len(writable)} | {states.count('ported')} | {share:.0f} % "
            f"| {back} | {100 * back / len(writable):.0f} % | {aim} | {states.count('wrong')} |"
        )
    for family in families:
        own = [subject for subject in every if subject.family == family]
        lines += ["", f"## {TITLES[family][0]}", "", TITLES[family][1], ""]
        ported = [(s, rows[s.label]) for s in own if s.label in rows and rows[s.label]["state"] == "ported"]
        lines += _table(ported)
        lines += _not_back(ported)
        lines += _others([(s, rows.get(s.label)) for s in own])
    lines += _of_large(large) if large else []
    return "\n".join(lines) + "\n"


def _table(found: list[tuple[Subject, Mapping[str, Any]]]) -> list[str]:
    if not found:
        return ["None was ported."]
    lines = [
        "| model | answers, in floors | gradients | training | back, in floors | own comparison | lines | seconds |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    for subject, row in found:
        figures = [_figure(row["rungs"].get(name)) for name in ("answers", "gradients", "training", "round trip")]
        lines.append(
            f"| {subject.name} | {' | '.join(figures)} | {row['judged']} | {row['lines']} | {row['seconds']:.0f} |"
        )
    return lines


def _figure(rung: Any) -> str:
    if rung is not None and rung[0] is False:
        return "no"
    return "" if rung is None or rung[1] is None else f"{rung[1]:.1g}"


def _is_back(row: Mapping[str, Any]) -> bool:
    return row["state"] == "ported" and row["rungs"].get("round trip", [None])[0] is True


def _not_back(found: list[tuple[Subject, Mapping[str, Any]]]) -> list[str]:
    lines = [f"- `{s.name}`: {_plain(row.get('back') or 'not asked')}" for s, row in found if not _is_back(row)]
    return ["", "Ported, and not back:", "", *lines] if lines else []


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


def _of_large(record: Mapping[str, Any]) -> list[str]:
    """What a port of 25 million parameters takes."""
    lines = [
        "",
        "## A large model",
        "",
        f"A transformer of 25 million parameters, {record['weights_mb']} MB of weights, measured by "
        f"`python -m benchmarks.port.large` on {record['date'][:10]}. The peak is that of the whole process. It stands "
        "beside that of a process which makes the model and asks it once. Above a port of no size it is so many times "
        "the weights. Of more than 32 MB of weights the proof asks at most 7 rows at a time, and 3 for gradients and "
        "training, and of the weights only those of one side are in memory then, in float64: twice the weights. "
        "Gradients go to the temporary folder as they come.",
        "",
        "| direction | seconds | of the processors | peak, MB | times a process that asks it | times its weights |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for to, title in (("tensorflow", "torch → Keras"), ("pytorch", "Keras → torch")):
        found = record[f"to {to}"]
        one = found["large"]
        lines.append(
            f"| {title} | {one['seconds']:.0f} | {one['cpu_seconds']:.0f} | {one['peak_mb']} "
            f"| {found['times_its_process']} | {found['times_its_weights']} |"
        )
    return lines


def faults_page(rows: Sequence[Mapping[str, Any]], of: int) -> str:
    """docs/port-faults.md: which rung caught which kind, in some of so many models."""
    lines = [
        "# Faults planted in ported code",
        "",
        f"Written by `python -m benchmarks.port --faults` on {datetime.now(UTC).date().isoformat()}. Do not edit it. "
        "One fault at a time is planted in the code of a port that is sound, or in how its weights are put. Then "
        "[the proof](porting.md#what-is-proven) is asked. The rung that is named is the first that fails. "
        f"{len(rows)} of {of} models were asked so far.",
        "",
        "Two sorts do not count. Code that does not run is no port that anybody would take. A fault that changes "
        "nothing is none: of what the proof lets through, the code with the fault is held against the code without it, "
        "by plain calls that know neither the source nor the proof. Such a fault leaves the answers of fresh rows, in "
        "inference and in training mode, and every weight after a step of training the same bit for bit.",
    ]
    for title, models in (
        ("torch → Keras", [row for row in rows if not row["model"].startswith("keras")]),
        ("Keras → torch", [row for row in rows if row["model"].startswith("keras")]),
    ):
        if models:
            lines += ["", f"## {title}", "", *_of_faults(models)]
    return "\n".join(lines) + "\n"


def _of_faults(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    faults = [(row["model"], *fault) for row in rows for fault in row.get("faults", [])]
    counted = [fault for fault in faults if fault[3] not in ("nothing", "no run")]
    missed = [fault for fault in counted if fault[3] == "missed"]
    alarms = [row for row in rows if row["state"].startswith("false alarm")]
    others = [row for row in rows if row["state"] in ("left out", "ended")]
    share = f"{100 * (len(counted) - len(missed)) / len(counted):.1f} %" if counted else "–"
    lines = [
        f"{len(counted) - len(missed)} of {len(counted)} faults in {len(rows) - len(others)} models are caught: "
        f"{share}. "
        f"{len(alarms)} sound ports are refused.",
        "",
        f"| fault | counted | {' | '.join(RUNGS)} | missed | changes nothing | does not run |",
        "| --- |" + " ---: |" * (len(RUNGS) + 4),
    ]
    for kind in sorted({fault[1] for fault in faults}):
        own = [fault[3] for fault in faults if fault[1] == kind]
        counts = [len(own) - own.count("nothing") - own.count("no run")]
        counts += [own.count(said) for said in (*RUNGS, "missed", "nothing", "no run")]
        lines.append(f"| {kind} | {' | '.join(str(count or '') for count in counts)} |")
    for title, said in (("Missed", "missed"), ("Changes nothing", "nothing")):
        own_faults = [fault for fault in faults if fault[3] == said]
        if own_faults:
            lines += ["", f"{title}:", ""]
            lines += [f"- {kind}, {model}: `{_plain(place)}`" for model, kind, place, _ in own_faults]
    if alarms:
        lines += ["", "Refused although sound:", "", *(f"- {row['model']}, {row['state']}" for row in alarms)]
    if others:
        lines += ["", "Not asked to the end:", ""]
        lines += [f"- {row['model']}: {_plain(row['reason'])}" for row in others]
    return lines
