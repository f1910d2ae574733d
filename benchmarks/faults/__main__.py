"""`python -m benchmarks.faults`: plant, judge, ask every checker, and write docs/planted-faults.md.

Goes on where it was stopped: every fault is a line in build/faults/. `--seeds`, `--faults` and `--only` bound the work.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import zlib
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.judge import has_layers, named, others, ours, quietly, refused, search, truth
from benchmarks.faults.subjects import BUILD, names, subject
from onnxpress.export.equivalence.faults import structure, values  # noqa: F401 - they register the planters
from onnxpress.export.equivalence.faults.planting import PLANTERS, planted, planted_in

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "planted-faults.md"
STRONG, WEAK = 10.0, 1.0


def main() -> None:
    """Plant and judge until done or out of time; then print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--faults", type=int, default=24, help="of one graph, at most, spread over the kinds")
    parser.add_argument("--only", nargs="*", help="subjects")
    parser.add_argument("--minutes", type=float, default=240.0, help="stop planting after so long")
    chosen = parser.parse_args()
    deadline = time.monotonic() + 60 * chosen.minutes
    for seed in chosen.seeds:
        for name in chosen.only or names():
            path = BUILD / "faults" / f"{name.replace(' ', '-')}-{seed}.jsonl"
            if path.exists() or time.monotonic() > deadline:
                continue
            started = time.monotonic()
            lines = quietly(lambda name=name, seed=seed: _judge(name, seed, chosen.faults))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
            print(f"{name}, seed {seed}: {len(lines) - 1} faults, {time.monotonic() - started:.0f} s", file=sys.stderr)
    found = [json.loads(line) for path in sorted((BUILD / "faults").glob("*.jsonl")) for line in path.open()]
    text = _page(found)
    print(text)
    PAGE.write_text(text)


def _judge(name: str, seed: int, most: int) -> list[dict[str, Any]]:
    """One line for the sound graph, then one for each fault."""
    try:
        sound = subject(name, seed)
    except Exception as error:
        return [{"subject": name, "seed": seed, "kind": "broken", "why": str(error).splitlines()[0]}]
    sought, checkers = search(sound), others(sound)
    lines = [
        {
            "subject": name,
            "seed": seed,
            "kind": "sound",
            "caught": {"onnxpress": refused(ours(sound, sound.proto))}
            | {checker: refuses(sound.proto) for checker, refuses in checkers.items()},
        }
    ]
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    sites = {kind: list(plant(sound.proto, generator)) for kind, plant in PLANTERS.items()}
    order = []
    for places in sites.values():
        generator.shuffle(places)  # type: ignore[arg-type]
    for turn in range(most):
        order += [(kind, places[turn]) for kind, places in sites.items() if turn < len(places)]
    for kind, (place, edit) in order[:most]:
        try:
            faulty = planted(sound.proto, edit)
        except Exception as error:
            lines.append({"subject": name, "seed": seed, "kind": kind, "place": place, "why": str(error)[:80]})
            continue
        change = truth(sought, faulty)
        line: dict[str, Any] = {"subject": name, "seed": seed, "kind": kind, "place": place}
        if math.isnan(change):
            lines.append(line | {"why": "the graph does not load"})
            continue
        line["change"] = min(change, 1e300)
        if change > 0:
            report = ours(sound, faulty)
            line["caught"] = {"onnxpress": refused(report)}
            if refused(report) and change > WEAK and report is not None and has_layers(sound):
                line["layer"] = named(sound, faulty, report)
                line["in"] = sorted(planted_in(sound.proto, faulty))
            line["caught"] |= {checker: refuses(faulty) for checker, refuses in checkers.items()}
        lines.append(line)
    return lines


def _page(found: list[dict[str, Any]]) -> str:
    # Where the runtime's own optimiser changes a sound graph's answers grossly, refusing everything is right; the
    # export stage finds that optimiser and switches it off, which is not what is measured here.
    runtime = {
        (line["subject"], line["seed"])
        for line in found
        if line["kind"] == "sound" and line["caught"]["onnxpress"] and line["caught"]["np.allclose 1e-3"]
    }
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
        "# Planted faults",
        "",
        f"Written by `python -m benchmarks.faults` on {datetime.now(UTC).date().isoformat()}: {len(faults)} faults in "
        f"{len({(s['subject'], s['seed']) for s in sound})} sound graphs ({len({s['subject'] for s in sound})} models, "
        f"seeds {', '.join(map(str, sorted({s['seed'] for s in sound})))}). Each fault is measured "
        "against the sound graph, in noise floors, on the inputs of four seeds that no checker draws from.",
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
        "",
        f"{len(looked)} refused graphs run and have a source with layers. The explanation names the layer of the fault "
        f"in {_share(right)} of them. A layer is right when the changed node, or a node that uses the changed "
        "constant, came from it.",
        "",
        "## By kind",
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
    lines += ["", "## Missed", ""]
    lines += [
        f"- {f['kind']}: {f['place']} in {f['subject']}, seed {f['seed']} ({f['change']:.3g} floors)" for f in missed
    ] or ["Nothing."]
    lines += ["", "## Another layer named", ""]
    lines += [
        f"- {f['kind']}: {f['place']} in {f['subject']}, seed {f['seed']}: in {' or '.join(map(repr, f['in']))}, "
        f"named {f['layer']!r}"
        for f, good in zip(looked, right, strict=True)
        if not good
    ] or ["None."]
    alarms = [line for line in sound if line["caught"]["onnxpress"]]
    lines += ["", "## False alarms", ""]
    lines += [f"- {line['subject']}, seed {line['seed']}" for line in alarms] or ["None."]
    if broken or left_out:
        lines += ["", "## Left out", "", *(f"- {b['subject']}, seed {b['seed']}: {b['why']}" for b in broken)]
        lines += [
            f"- {name}: an optimiser of the runtime changes the sound graph's answers, so refusing it is right; "
            "the export stage serves it with that optimiser off"
            for name in left_out
        ]
    return "\n".join(lines) + "\n"


def _share(caught: list[bool]) -> str:
    return f"{100 * sum(caught) / len(caught):.1f} %" if caught else "–"


if __name__ == "__main__":
    main()
