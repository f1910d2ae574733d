"""`python -m benchmarks.port`: carry every model of every family, judge it, and write docs/port-coverage.md.

Goes on where it was stopped: one JSON line for each model is kept in build/port/. `--faults` plants faults in what was
written, for docs/port-faults.md. The record goes to benchmarks/records/.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from benchmarks import machine
from benchmarks.port.page import faults_page, page
from benchmarks.port.subjects import FAMILIES, OF_FAULTS, Subject, subjects

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "port"
RECORDS = ROOT / "benchmarks" / "records"
_PER_PROCESS = 12
"""models: what the frameworks keep of one is not given back"""


_ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
"""in each process: threads that wait for a busy processor were seen to take ten times the work's own time"""


def main() -> None:
    """Carry what has no line yet; then write the page and the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.port", description=__doc__)
    parser.add_argument("--only", nargs="*", metavar="FAMILY[/MODEL]", help="by default all")
    parser.add_argument("--faults", action="store_true", help="plant faults, instead of carrying")
    parser.add_argument("--again", action="store_true", help="also what has a line, and is no longer so")
    parser.add_argument("--refused", action="store_true", help="ask again what did not come through")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--page", action="store_true", help="only write the pages")
    chosen = parser.parse_args()
    asked = "faults" if chosen.faults else "carried"
    only = chosen.only or (list(OF_FAULTS) if chosen.faults else list(FAMILIES))
    families = list(dict.fromkeys(one.partition("/")[0] for one in only))
    wanted = [s for s in subjects(families) if s.family in only or s.label in only]
    known = rows(asked)
    if not chosen.page:
        failed = {label for label, row in known.items() if row["state"] not in ("ported", "asked")}
        left = [
            s
            for s in wanted
            if not s.unwritable and (s.label not in known or chosen.again or (chosen.refused and s.label in failed))
        ]
        ask(asked, left, chosen.processes)
    write_faults() if chosen.faults else write()


def ask(asked: str, left: list[Subject], processes: int) -> None:
    """Each in one of so many processes, which are begun anew after some models and after a crash."""
    queue: Queue[list[str]] = Queue()
    for start in range(0, len(left), _PER_PROCESS):
        queue.put([subject.label for subject in left[start : start + _PER_PROCESS]])
    threads = [threading.Thread(target=_work, args=(asked, queue)) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work(asked: str, queue: Queue[list[str]]) -> None:
    while True:
        try:
            labels = queue.get_nowait()
        except Empty:
            return
        while labels:
            labels = _one_process(asked, labels)


def _one_process(asked: str, labels: list[str]) -> list[str]:
    """Carries these; those that are left after a crash, the one that crashed told."""
    command = [sys.executable, "-m", "benchmarks.port.worker", asked, *labels]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | _ONE_THREAD
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                _keep(asked, json.loads(line))
                labels = labels[1:]
    if labels:
        _keep(asked, {"model": labels[0], "state": "ended", "reason": f"the process ended with {process.returncode}"})
    return labels[1:]


_lock = threading.Lock()


def _keep(asked: str, row: dict[str, Any]) -> None:
    with _lock:
        KEPT.mkdir(parents=True, exist_ok=True)
        with (KEPT / f"{asked}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(f"{row['model']}: {row['state']} {row.get('where', '')} {row['reason'][:150]}", file=sys.stderr, flush=True)


def rows(asked: str) -> dict[str, dict[str, Any]]:
    """Model → its newest row."""
    path = KEPT / f"{asked}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {row["model"]: row for row in map(json.loads, lines)}


def write() -> None:
    """The page of what was carried, and the record of today."""
    every, found = subjects(list(FAMILIES)), rows("carried")
    (ROOT / "docs" / "port-coverage.md").write_text(page(every, found, _newest("port-large")))
    _record("port", {"models": [found[s.label] for s in every if s.label in found]})


def write_faults() -> None:
    """The page of the planted faults, and the record of today."""
    found = list(rows("faults").values())
    (ROOT / "docs" / "port-faults.md").write_text(faults_page(found, len(subjects(list(OF_FAULTS)))))
    _record("port-faults", {"faults": found})


def _newest(name: str) -> dict[str, Any] | None:
    """The newest record of this name."""
    known = sorted(RECORDS.glob(f"*-{name}.json"))
    return json.loads(known[-1].read_text()) if known else None


def _record(name: str, found: dict[str, Any]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"date": now, "machine": machine.describe(), **found}
    (RECORDS / f"{now[:10]}-{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
