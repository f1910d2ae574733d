"""docs/planted-faults.md, made of the lines that the judging left."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

Lines = list[dict[str, Any]]
STRONG, WEAK = 10.0, 1.0
"""noise floors"""


def page(good: Lines, poor: Lines) -> str:
    """The page of both runs: with good examples, and with poor ones."""
    today = datetime.now(UTC).date().isoformat()
    lines = [
        "# Planted faults",
        "",
        f"Written by `python -m benchmarks.faults` on {today}. Small faults are planted in sound graphs, one at a "
        "time. Each is measured against the sound graph, in noise floors, on the inputs of four seeds that no checker "
        "draws from. Then every checker is asked. It was given good examples first, and poor ones after that.",
    ]
    runtime = _changed_by_the_runtime([*good, *poor])
    if good:
        lines += ["", "## With good examples", "", *_section(good, runtime)]
    if poor:
        kinds = sorted({line["examples"] for line in poor if line["kind"] == "sound"})
        told = f"The checkers were given examples that show nothing of the values: {', '.join(kinds)}."
        lines += ["", "## With poor examples", "", told, "", *_section(poor, runtime)]
    return "\n".join(lines) + "\n"


def _changed_by_the_runtime(found: Lines) -> set[tuple[str, int]]:
    """Where the runtime's own optimiser changes a sound graph's answers grossly, refusing everything is right.

    The export stage finds that optimiser and switches it off, which is not what is measured here.
    """
    return {
        (line["subject"], line["seed"])
        for line in found
        if line["kind"] == "sound" and line["caught"]["onnxpress"] and line["caught"]["np.allclose 1e-3"]
    }


def _section(found: Lines, runtime: set[tuple[str, int]]) -> list[str]:
    left_out = sorted({subject for subject, _ in runtime})
    found = [line for line in found if (line["subject"], line["seed"]) not in runtime]
    sound = [line for line in found if line["kind"] == "sound"]
    broken = [line for line in found if line["kind"] == "broken"]
    faults = [line for line in found if "change" in line]
    unloadable = [line for line in found if "why" in line and line["kind"] != "broken"]
    groups = {
        f"above {STRONG:g} floors": [f for f in faults if f["change"] > STRONG],
        f"{WEAK:g} to {STRONG:g} floors": [f for f in faults if WEAK < f["change"] <= STRONG],
        f"below {WEAK:g} floor": [f for f in faults if 0 < f["change"] <= WEAK],
    }
    checkers = list(sound[0]["caught"]) if sound else []
    head = "| checker | " + " | ".join(f"{label} ({len(group)})" for label, group in groups.items())
    lines = [
        f"{len(faults)} faults in {len({(s['subject'], s['seed']) for s in sound})} sound graphs "
        f"({len({s['subject'] for s in sound})} models, seeds "
        f"{', '.join(map(str, sorted({s['seed'] for s in sound})))}):",
        "",
        f"{head} | false alarms ({len(sound)} sound graphs) |",
        "| --- |" + " ---: |" * (len(groups) + 1),
    ]
    for checker in checkers:
        shares = [_share([f["caught"][checker] for f in group]) for group in groups.values()]
        alarms = sum(line["caught"][checker] for line in sound)
        lines.append(f"| {checker} | {' | '.join(shares)} | {alarms} |")
    looked = [f for f in faults if "in" in f]
    right = [f["layer"] in f["in"] for f in looked]
    silent = sum(f["change"] == 0 for f in faults)
    lines += [
        "",
        f"Two groups are counted apart. {silent} edits changed no output on any input that was tried. "
        f"{len(unloadable)} made a graph that cannot be planted in, or that does not load.",
    ]
    if looked:
        lines += [
            "",
            f"{len(looked)} refused graphs run and have a source with layers. The explanation names the layer of the "
            f"fault in {_share(right)} of them. A layer is right when the changed node, or a node that uses the "
            "changed constant, came from it.",
        ]
    lines += [
        "",
        "### By kind",
        "",
        f"| kind | above {STRONG:g} | caught | {WEAK:g} to {STRONG:g} | caught |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    by_kind: dict[str, list[list[bool]]] = defaultdict(lambda: [[], []])
    for place, group in enumerate(list(groups.values())[:2]):
        for fault in group:
            by_kind[fault["kind"]][place].append(fault["caught"]["onnxpress"])
    for kind, (strong, weak) in sorted(by_kind.items()):
        lines.append(f"| {kind} | {len(strong)} | {_share(strong)} | {len(weak)} | {_share(weak)} |")
    missed = [f for f in faults if f["change"] > WEAK and not f["caught"]["onnxpress"]]
    lines += ["", "### Missed", ""]
    lines += [
        f"- {f['kind']}: {f['place']} in {f['subject']}, seed {f['seed']} ({f['change']:.3g} floors)" for f in missed
    ] or ["Nothing."]
    lines += ["", "### Another layer named", ""] if looked else []
    lines += [
        f"- {f['kind']}: {f['place']} in {f['subject']}, seed {f['seed']}: in {' or '.join(map(repr, f['in']))}, "
        f"named {f['layer']!r}"
        for f, good in zip(looked, right, strict=True)
        if not good
    ] or (["None."] if looked else [])
    alarms = [line for line in sound if line["caught"]["onnxpress"]]
    lines += ["", "### False alarms", ""]
    lines += [f"- {line['subject']}, seed {line['seed']}" for line in alarms] or ["None."]
    if broken or left_out:
        lines += ["", "### Left out", "", *(f"- {b['subject']}, seed {b['seed']}: {b['why']}" for b in broken)]
        lines += [
            f"- {name}: an optimiser of the runtime changes the sound graph's answers, so refusing it is right; "
            "the export stage serves it with that optimiser off"
            for name in left_out
        ]
    return lines


def _share(caught: list[bool]) -> str:
    return f"{100 * sum(caught) / len(caught):.1f} %" if caught else "–"
