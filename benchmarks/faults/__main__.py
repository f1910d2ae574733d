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
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.faults.judge import has_layers, named, others, ours, quietly, refused, search, truth
from benchmarks.faults.page import WEAK, page
from benchmarks.faults.subjects import BUILD, names, subject
from onnxpress.export.equivalence.faults.planting import planted_in
from onnxpress.export.equivalence.faults.sample import deadly, sample

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "planted-faults.md"
EXAMPLES = ("good", "poor")


def main() -> None:
    """Plant and judge until done or out of time; then print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--faults", type=int, default=24, help="of one graph, at most, spread over the kinds")
    parser.add_argument("--only", nargs="*", help="subjects")
    parser.add_argument(
        "--examples", nargs="*", choices=EXAMPLES, default=list(EXAMPLES), help="what checkers are given"
    )
    parser.add_argument("--minutes", type=float, default=240.0, help="stop planting after so long")
    chosen = parser.parse_args()
    deadline = time.monotonic() + 60 * chosen.minutes
    for seed, name, examples in product(chosen.seeds, chosen.only or names(), chosen.examples):
        path = BUILD / examples / f"{name.replace(' ', '-')}-{seed}.jsonl"
        if path.exists() or time.monotonic() > deadline:
            continue
        started = time.monotonic()
        poor = examples == "poor"
        lines = quietly(lambda name=name, seed=seed, poor=poor: _judge(name, seed, chosen.faults, poor=poor))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        told = f"{name}, {examples} examples, seed {seed}: {len(lines) - 1} faults"
        print(f"{told}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    found = {
        examples: [json.loads(line) for path in sorted((BUILD / examples).glob("*.jsonl")) for line in path.open()]
        for examples in EXAMPLES
    }
    text = page(found["good"], found["poor"])
    print(text)
    PAGE.write_text(text)


def _judge(name: str, seed: int, most: int, *, poor: bool = False) -> list[dict[str, Any]]:
    """One line for the sound graph, then one for each fault."""
    try:
        sound = subject(name, seed, poor=poor)
    except Exception as error:
        return [{"subject": name, "seed": seed, "kind": "broken", "why": str(error).splitlines()[0]}]
    sought, checkers = search(sound), others(sound)
    lines = [
        {
            "subject": name,
            "seed": seed,
            "kind": "sound",
            "examples": sound.examples,
            "caught": {"onnxpress": refused(ours(sound, sound.proto))}
            | {checker: refuses(sound.proto) for checker, refuses in checkers.items()},
        }
    ]
    faults = sample(sound.proto, zlib.crc32(f"{name} {seed}".encode()), most, leave_out=sorted(deadly(sound.proto)))
    for fault in faults:
        kind, place = fault.kind, fault.place
        try:
            faulty = fault.graph()
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
            if refused(report) and change > WEAK and report is not None and not poor and has_layers(sound):
                line["layer"] = named(sound, faulty, report)
                line["in"] = sorted(planted_in(sound.proto, faulty))
            line["caught"] |= {checker: refuses(faulty) for checker, refuses in checkers.items()}
        lines.append(line)
    return lines


if __name__ == "__main__":
    main()
