"""Every family in both frameworks, end to end: trained, exported, ported; written as a table into docs/families.md.

`python -m benchmarks.families --data FOLDER` looks for domains.csv and news.csv there (they may not be shipped); a
recipe whose data is not there is left out and said so. Each step is a process of its own, so that peak memory is its.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "families.md"
RECORDS = Path(__file__).parent / "records"
FRAMEWORKS = ("pytorch", "tensorflow")
OTHER = {"pytorch": "tensorflow", "tensorflow": "pytorch"}
LIMIT_S = 1800
OUTCOMES = ("refused", "out of memory", "killed", "out of time", "failed")
"""of an export that published nothing"""


@dataclass(frozen=True)
class Row:
    """What one family did in one framework; times in seconds, memory in MB."""

    recipe: str
    family: str
    framework: str
    parameters: int
    metric: str
    value: float
    epochs: int
    seconds: float
    peak_mb: float
    export: str
    """its multiple of the noise floor; or why there is none: see `outcome`"""
    port: float


RECIPES = {
    "anomaly": ("autoencoder", "roc_auc"),
    "domains": ("cnn-lstm-attention", "macro_accuracy"),
    "penguins": ("tabular", "accuracy"),
    "motion": ("cnn14", "accuracy"),
    "news": ("document", "accuracy"),
}
"""recipe → family and the held-out metric that is shown"""
NEEDS_DATA = {"domains": "domains.csv", "news": "news.csv"}


def main() -> None:
    """Run what can be run, print the table, write the page and the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with domains.csv and news.csv")
    parser.add_argument("--only", nargs="*", choices=sorted(RECIPES), default=list(RECIPES))
    chosen = parser.parse_args()
    rows: list[Row] = []
    left_out: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for recipe in chosen.only:
            settings = []
            if recipe in NEEDS_DATA:
                path = (chosen.data or Path()) / NEEDS_DATA[recipe]
                if not path.is_file():
                    left_out.append(f"{recipe}: {NEEDS_DATA[recipe]} is not here (--data)")
                    continue
                settings = ["--set", f"data.path={path.absolute()}"]
            for framework in FRAMEWORKS:
                print(f"{recipe} in {framework}", file=sys.stderr, flush=True)
                rows.append(_row(recipe, framework, settings, Path(folder)))
                _write(rows, left_out)  # after each: a long run may be stopped
    print(_table(rows))


def _write(rows: list[Row], left_out: list[str]) -> None:
    """Rows of the same day's record that were not asked for this time stay."""
    today = datetime.now(UTC).date().isoformat()
    path = RECORDS / f"{today}-families.json"
    new = {(row.recipe, row.framework): row for row in rows}
    old = [Row(**row) for row in json.loads(path.read_text())["rows"]] if path.exists() else []
    known = {(row.recipe, row.framework): row for row in old} | new
    rows = [known[recipe, framework] for recipe in RECIPES for framework in FRAMEWORKS if (recipe, framework) in known]
    path.write_text(
        json.dumps({"date": today, "machine": machine.describe(), "rows": [asdict(r) for r in rows]}, indent=2) + "\n"
    )
    asked = {(row.recipe, row.framework) for row in rows}
    missing = [f"{r} in {f}" for r in RECIPES for f in FRAMEWORKS if (r, f) not in asked]
    PAGE.write_text(_page(_table(rows), today, [*left_out, *([f"not run: {', '.join(missing)}"] if missing else [])]))


def _row(recipe: str, framework: str, settings: list[str], folder: Path) -> Row:
    runs, models = folder / "runs", folder / "models"
    train = ["train", str(ROOT / "recipes" / f"{recipe}.yaml"), "--framework", framework, *settings]
    run, peak_mb = _onnxpress(*train, "--output", str(runs))
    exported, _ = _onnxpress("export", run, "--repository", str(models), "--json", refusable=True)
    ported, _ = _onnxpress("port", run, "--to", OTHER[framework], "--output", str(folder / "ported"))
    metrics = json.loads((Path(run) / "metrics.json").read_text())
    family, metric = RECIPES[recipe]
    return Row(
        recipe=recipe,
        family=family,
        framework=framework,
        parameters=metrics["parameters"],
        metric=metric,
        value=metrics[metric],
        epochs=metrics["epochs"],
        seconds=metrics["seconds"],
        peak_mb=peak_mb,
        export=exported if exported in OUTCOMES else f"{_multiple(json.loads(exported)):.2f}",
        port=json.loads((Path(ported) / "port.json").read_text())["multiple"],
    )


def _multiple(document: dict) -> float:
    equivalence = document.get("equivalence") or document["manifest"]["equivalence"]
    return float(equivalence["worst_multiple"])


def outcome(code: int, said: str) -> str | None:
    """What became of an export by its exit code and its stderr; None where it was published.

    Only a measurement that found a difference is a refusal. A conversion that was ended for its memory, or by the
    machine, says nothing of the model.
    """
    if code == 0:
        return None
    if "the export is refused" in said:
        return "refused"
    if "of memory;" in said:
        return "out of memory"
    if code == -signal.SIGKILL or "the converter was killed" in said:
        return "killed"
    return "out of time" if "did not finish in" in said else "failed"


def _onnxpress(*arguments: str, refusable: bool = False) -> tuple[str, float]:
    """Run one command to its end; its standard output (where it may fail, its outcome) and peak memory in MB."""
    program = [sys.executable, "-c", "from onnxpress.core.cli import main; main()", *arguments]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as talk:
        process = subprocess.Popen(program, stdout=output, stderr=talk, cwd=ROOT)
        deadline = time.monotonic() + LIMIT_S
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                process.kill()
                os.wait4(process.pid, 0)
                raise SystemExit(f"took more than {LIMIT_S} s: onnxpress {' '.join(arguments)}")
            time.sleep(0.1)
        process.returncode = os.waitstatus_to_exitcode(status)
        talk.seek(0)
        said = talk.read()
        sys.stderr.write(said)
        found = outcome(process.returncode, said)
        if found is not None and refusable:
            return found, usage.ru_maxrss / 1024
        if found is not None:
            raise SystemExit(f"exit code {process.returncode}: onnxpress {' '.join(arguments)}")
        output.seek(0)
        return output.read().strip(), usage.ru_maxrss / 1024


def _table(rows: list[Row]) -> str:
    lines = [
        "| family | recipe | framework | parameters | held-out metric | epochs | seconds | peak memory | export "
        "| port |",
        "| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.family} | {row.recipe} | {row.framework} | {row.parameters:,} | {row.metric.replace('_', ' ')} "
        f"{row.value:.3f} | {row.epochs} | {row.seconds:.1f} | {row.peak_mb:,.0f} MB | "
        f"{row.export} | {row.port:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _page(table: str, today: str, left_out: list[str]) -> str:
    return (
        "# The families, measured\n\n"
        f"Written by `python -m benchmarks.families` on {today}. The record is in `benchmarks/records/`.\n\n"
        f"{table}\n\n"
        "`export` is the worst error of the exported graph. `port` is that of the same weights in the other "
        "framework. Both are in noise floors, of which 10 are accepted ([Equivalence](equivalence.md)). Seconds are "
        "the fit's alone, on two cores. Memory is the whole command's. `refused`: the measurement found a difference. "
        "`out of memory`, `killed`, `out of time` and `failed`: the conversion ended before there was one. The domains "
        "and the news texts are not shipped with the project.\n" + "".join(f"\n- {line}\n" for line in left_out)
    )


if __name__ == "__main__":
    main()
