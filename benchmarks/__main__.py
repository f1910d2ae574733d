"""`make bench`: imports, start-up and in-process runs, into one record and one picture."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import in_process, machine, picture, start, wheel

ROOT = Path(__file__).parent.parent
RECORDS = Path(__file__).parent / "records"
FRAMEWORKS = ("pytorch", "tensorflow")


def main() -> None:
    """Print the figures, write `records/<date>.json` and the picture beside it."""
    runs = {framework: ROOT / "runs" / f"anomaly-{framework}" for framework in FRAMEWORKS}
    versions = {framework: ROOT / "models" / f"anomaly-{framework}" / "1" for framework in FRAMEWORKS}
    absent = [str(path.relative_to(ROOT)) for path in (*runs.values(), *versions.values()) if not path.exists()]
    if absent:
        raise SystemExit(f"missing: {', '.join(absent)}\n  hint: make demo first")
    record = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    print("start-up, ten rounds in turn", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        record["start"] = start.measure(ROOT / "models", "anomaly-pytorch", wheel.install(Path(folder)))
    print("in-process runs", file=sys.stderr)
    record["in_process"] = in_process.measure(runs, versions)
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{record['date'][:10]}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    picture.draw(record, path.with_suffix(".png"))
    _print(record)
    print(f"\n{path.relative_to(ROOT)} and {path.with_suffix('.png').relative_to(ROOT)}")


def _print(record: dict) -> None:
    print(f"{'':42}{'median':>9}{'of import onnxruntime':>24}")
    for name, figures in record["start"].items():
        print(f"{name:42}{figures['median_s']:>7.3f} s{figures['ratio']:>23.2f}x")
    print(f"\n{'one run, raw rows in, decisions out':42}{'engine':>9}{'framework':>12}{'ratio':>12}")
    for name, figures in record["in_process"].items():
        print(
            f"{name:42}{figures['engine_us']:>6.0f} us{figures['framework_us']:>9.0f} us"
            f"{figures['framework_over_engine']:>11.1f}x"
        )


if __name__ == "__main__":
    if sys.argv[1:]:
        raise SystemExit("usage: python -m benchmarks; it takes no argument")
    main()
