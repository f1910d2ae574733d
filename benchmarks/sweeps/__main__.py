"""`python -m benchmarks.sweeps keras|transformers`: export every model of the family, one after the other, and tell.

One JSON line for each model is kept in build/sweeps/, so that a sweep that was ended goes on where it was. The newest
line of every model goes into a record of its family, benchmarks/records/sweep-FAMILY.jsonl. The page docs/sweeps.md is
written anew from both records after every model: a sweep of one family leaves what is said of the other.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.sweeps import keras_models, limited, page, transformers_models

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "sweeps"
RECORDS = ROOT / "benchmarks" / "records"
LARGEST = 60_000_000
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
PACKAGES = {
    "keras": ("keras", "tensorflow", "tf2onnx", "onnxruntime"),
    "transformers": ("transformers", "torch", "onnxscript", "onnxruntime"),
}


def main() -> None:
    """Go on with a sweep, or only write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("family", choices=[*PACKAGES, "page"], help="page: only write docs/sweeps.md")
    parser.add_argument("--again", nargs="*", default=[], metavar="MODEL", help="models to ask again; or `refused`")
    parser.add_argument("--seconds", type=float, default=900.0, help="time limit of one export")
    parser.add_argument("--gib", type=float, default=10.0, help="memory limit of one export")
    given = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    if given.family != "page":
        sweep(given.family, again=given.again, seconds=given.seconds, gib=given.gib)
    write_page(RECORDS, ROOT / "docs" / "sweeps.md")


def sweep(family: str, *, again: list[str], seconds: float, gib: float) -> None:
    """Export what has no line yet, or is to be asked again."""
    kept = KEPT / f"{family}.jsonl"
    known = read(kept)
    if again == ["refused"]:
        again = [name for name, row in known.items() if row["state"] != "equal"]
    wanted = models(family)
    for number, (name, (arguments, parameters)) in enumerate(wanted.items(), 1):
        if name in known and name not in again:
            continue
        print(f"[{number}/{len(wanted)}] {name}", end=" ", file=sys.stderr, flush=True)
        row = export(arguments, seconds=seconds, gib=gib)
        row |= {"model": name, "parameters": parameters, "date": datetime.now(UTC).date().isoformat()}
        row["versions"] = {package: version(package) for package in PACKAGES[family]}
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row["state"], row["worst"] or row["reason"], f"{row['seconds']:.0f} s", file=sys.stderr, flush=True)
        write_record(RECORDS / f"sweep-{family}.jsonl", read(kept), list(wanted))
        write_page(RECORDS, ROOT / "docs" / "sweeps.md")


def models(family: str) -> dict[str, tuple[list[str], int | None]]:
    """Model → what `onnxpress export` is called with, and its number of parameters where that decides."""
    if family == "transformers":
        return {
            name: (
                [f"benchmarks.sweeps.transformers_models:{name}", *(f"--input={spec}" for spec in model.inputs)],
                None,
            )
            for name, model in transformers_models.MODELS.items()
        }
    counted = KEPT / "keras-parameters.json"
    if not counted.exists():
        print("counting parameters", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", keras_models.__name__]
        counted.write_bytes(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    sizes = json.loads(counted.read_text())
    return {
        name: ([f"benchmarks.sweeps.keras_models:{name}"], size)
        for name, size in sorted(sizes.items(), key=lambda item: item[1])
        if size < LARGEST
    }


def export(arguments: list[str], *, seconds: float, gib: float) -> dict[str, Any]:
    """One `onnxpress export` in a process of its own; its verdict as a row."""
    with tempfile.TemporaryDirectory(prefix="onnxpress-sweep-") as repository:
        command = [ONNXPRESS, "export", *arguments, "--repository", repository, "--json"]
        ended = limited.run(command, folder=ROOT, seconds=seconds, gib=gib)
    row: dict[str, Any] = {
        "state": "refused",
        "worst": None,
        "reason": "",
        "floor": "",
        "switched_off": [],
        "notes": [],
    }
    row |= {"seconds": round(ended.seconds, 1), "peak_gib": round(ended.peak_gib, 2)}
    if ended.broken:
        return row | {"state": "ended", "reason": ended.broken}
    if ended.code:
        return row | {"reason": _reason(ended.stderr)}
    document = json.loads(ended.stdout)
    report, manifest = document["equivalence"], document["manifest"]
    notes = [check["detail"] for check in report["checks"] if check["name"] in ("conversion", "inference mode")]
    return row | {
        "state": "equal",
        "worst": report["worst_multiple"] if report["worst_multiple"] is not None else math.inf,
        "floor": report["floor"],
        "batch_safe": report["batch_safe"],
        "rows": report["rows"],
        "converter": manifest["source"]["converter"],
        "switched_off": manifest["session"]["disabled_optimizers"],
        "notes": notes,
    }


def _reason(stderr: str) -> str:
    """From the line `error:` on; the progress before it is left out."""
    lines = stderr.splitlines()
    first = next((n for n, line in enumerate(lines) if line.startswith(("error:", "internal error:"))), 0)
    return "\n".join(lines[first:])[:1500]


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Model → its newest row, in the order of the first."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {row["model"]: row for row in rows}


def write_record(path: Path, rows: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> None:
    """The newest row of every model that the sweep asks for, in its order: that of `rows`, or else the record's."""
    newest = {**read(path), **rows}
    path.write_text("".join(json.dumps(newest[name]) + "\n" for name in wanted if name in newest))


def write_page(records: Path, path: Path) -> None:
    """The page from the record of each family."""
    path.write_text(page.render({family: read(records / f"sweep-{family}.jsonl") for family in PACKAGES}))


if __name__ == "__main__":
    main()
