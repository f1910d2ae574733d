"""`python -m benchmarks.faults.sound`: how far sound exports lie from their originals, the data behind the limits.

Every subject and every corpus model that is exported at all, on several seeds of weights: the worst multiple of the
noise floor over all outputs and rungs. Written to benchmarks/records/.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.faults.judge import loaded, quietly
from benchmarks.faults.subjects import names, subject
from onnxpress.export.equivalence.measurement import measure

RECORDS = Path(__file__).parent.parent / "records"


def main() -> None:
    """Measure, print the distribution and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    chosen = parser.parse_args()
    found: list[dict[str, Any]] = []
    for seed in chosen.seeds:
        for name in names(everything=True):
            try:
                found.append(quietly(lambda name=name, seed=seed: _figures(name, seed)))
            except Exception as error:
                found.append({"subject": name, "seed": seed, "error": str(error).splitlines()[0][:200]})
            print(found[-1], file=sys.stderr, flush=True)
    today = datetime.now(UTC).date().isoformat()
    record = {"date": today, "machine": machine.describe(), "sound": found}
    (RECORDS / f"{today}-sound.json").write_text(json.dumps(record, indent=1) + "\n")
    multiples = np.array([line["multiple"] for line in found if "multiple" in line])
    print(f"{len(multiples)} sound exports, {len(found) - len(multiples)} not measured")
    for share in (50, 90, 95, 99, 100):
        print(f"{share:4} % at most {np.percentile(multiples, share):.2f} floors")
    print("above 5:", [(f["subject"], f["seed"], round(f["multiple"], 1)) for f in found if f.get("multiple", 0) > 5])


def _figures(name: str, seed: int) -> dict[str, Any]:
    sound = subject(name, seed)
    prepared = sound.prepared
    report = measure(
        prepared.reference,
        {"off": loaded(sound.proto, "none"), "as served": loaded(sound.proto)},
        prepared.cases,
        sound.outputs,
        served="as served",
        graph=sound.proto,
        parameters=prepared.network.parameters(),
    ).report
    return {
        "subject": name,
        "seed": seed,
        "multiple": report.worst_multiple,
        "floor": report.floor,
        "equivalent": report.equivalent,
        "failed": [check.name for check in report.checks if not check.passed],
        "checks": {
            check.name: check.detail for check in report.checks if check.name in ("meaning", "rounding", "layers")
        },
    }


if __name__ == "__main__":
    main()
