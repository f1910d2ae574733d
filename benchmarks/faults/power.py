"""`python -m benchmarks.faults.power`: the power that reports state over the corpus, and whether it is true.

Every subject and every corpus model that is exported: what its report says, what planting costs beside the rest of the
measuring, and how many of a fresh set of faults, of another seed, the same questions show. Written to
benchmarks/records/.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.faults.judge import loaded, quietly
from benchmarks.faults.subjects import names, subject
from onnxpress.export.equivalence import measurement
from onnxpress.export.equivalence.power.budget import Budget
from onnxpress.export.equivalence.power.planting import Original, Planting
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.pipeline import measure as stage
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.measure import Measured

RECORDS = Path(__file__).parent.parent / "records"
FRESH_S = 20.0
"""seconds at most for the fresh faults of one model"""


def main() -> None:
    """Measure, print and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the weights")
    parser.add_argument("--fresh-seed", type=int, default=7, help="of the fresh faults")
    parser.add_argument("--only", nargs="*", help="subjects")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no model after so long")
    chosen = parser.parse_args()
    deadline = time.monotonic() + 60 * chosen.minutes
    found: list[dict[str, Any]] = []
    for name in chosen.only or names(everything=True):
        if time.monotonic() > deadline:
            print(f"out of time before {name}", file=sys.stderr)
            break
        try:
            found.append(quietly(lambda name=name: _figures(name, chosen.seed, chosen.fresh_seed)))
        except Exception as error:
            found.append({"subject": name, "error": (str(error).splitlines() or [repr(error)])[0][:200]})
        print(found[-1], file=sys.stderr, flush=True)
    today = datetime.now(UTC).date().isoformat()
    record = {"date": today, "machine": machine.describe(), "seed": chosen.seed, "power": found}
    path = RECORDS / f"{today}-power.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(_summary(found))
    print(path.relative_to(RECORDS.parent.parent))


def _figures(name: str, seed: int, fresh_seed: int) -> dict[str, Any]:
    sound = subject(name, seed)
    prepared = sound.prepared
    reference = Reference(prepared.network, prepared.reference.processing, prepared.inputs)  # without its memory
    reference.narrow = prepared.reference.narrow
    prepared = replace(prepared, reference=reference)
    with tempfile.TemporaryDirectory() as folder:
        converted = Converted(sound.proto, sound.outputs, Path(folder))
        measured, bare, planting_s = _timed(lambda: stage.measure(prepared, converted))
    power = measured.report.power
    row: dict[str, Any] = {
        "subject": name,
        "equivalent": measured.report.equivalent,
        "measuring_s": round(bare, 3),
        "planting_s": round(planting_s, 3),
    }
    if power is None:
        return row
    row |= {"planted": power.planted, "shown": power.shown, "told": str(power)}
    parameters = prepared.network.parameters()
    asked = measurement.measure(
        reference,
        {"off": loaded(measured.converted.graph, "none")},
        measured.cases,
        sound.outputs,
        served="off",
        graph=measured.converted.graph,
        parameters=parameters,
    )
    original = Original(reference, prepared.inputs, prepared.samples, parameters)
    planting = Planting(measured.converted.graph, original, asked, Budget(FRESH_S), seed=fresh_seed)
    planting.plant()
    fresh = planting.power
    return row | {
        "fresh_planted": fresh.planted,
        "fresh_shown": fresh.shown,
        "fresh_strong": fresh.strong,
        "fresh_strong_shown": fresh.strong_shown,
        "fresh_told": str(fresh),
    }


def _timed(measure: Callable[[], Measured]) -> tuple[Measured, float, float]:
    """What the stage measured, the seconds without planting, and those of planting with what was asked for it."""
    real, took = stage.stated, {"measuring": 0.0, "planting": 0.0}

    def watched(*given: Any, measuring_s: float, **known: Any) -> measurement.Measurement:
        started = time.process_time()
        try:
            return real(*given, measuring_s=measuring_s, **known)
        finally:
            took["measuring"], took["planting"] = measuring_s, time.process_time() - started

    stage.stated = watched
    try:
        return measure(), took["measuring"], took["planting"]
    finally:
        stage.stated = real


def _summary(found: list[dict[str, Any]]) -> str:
    stated = [one for one in found if one.get("planted")]
    powers = [one["shown"] / one["planted"] for one in stated]
    whole = [one for one in stated if one["shown"] == one["planted"]]
    costs = [1 + one["planting_s"] / one["measuring_s"] for one in found if one.get("measuring_s")]
    fresh, shown = (sum(one[f"fresh_{what}"] for one in whole) for what in ("planted", "shown"))
    strong, strong_shown = (sum(one[f"fresh_{what}"] for one in whole) for what in ("strong", "strong_shown"))
    lines = [f"{len(found)} models, {len(stated)} state their power; {len(found) - len(costs)} not measured"]
    if powers:
        lines.append(f"power: median {100 * np.median(powers):.1f} %, lowest {100 * min(powers):.1f} %")
        lines.append(f"faults planted for a report: median {np.median([one['planted'] for one in stated]):.0f}")
    if fresh:
        lines.append(
            f"{len(whole)} reports say that all are shown; of {fresh} fresh faults {100 * shown / fresh:.1f} % are, "
            f"and {100 * strong_shown / max(strong, 1):.1f} % of the {strong} above 10 floors"
        )
    if costs:
        lines.append(f"measuring takes {np.median(costs):.2f} times as long at the median, {max(costs):.2f} at most")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
