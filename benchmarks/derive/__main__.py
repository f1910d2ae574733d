"""`python -m benchmarks.derive` → docs/derived-precisions.md: a dozen models in every precision, and what became of it.

The record is `records/<date>-derive.json`.
`--only cnn --precisions int8,w8` for a part, which is printed. Every model runs in a process of its own, so that a
crash of a quantizer is a line of the table. Timings are ratios of runs in turns; the machine is named above them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks import machine
from benchmarks.derive.page import Line, page
from onnxpress.core.indented_json import indented
from onnxpress.core.processor import features
from onnxpress.export.derive.choices import PRECISIONS
from onnxpress.export.derive.figures import Tried

PAGE = Path(__file__).parents[2] / "docs" / "derived-precisions.md"
RECORDS = Path(__file__).parents[1] / "records"
_PATIENCE = 3600.0


def main() -> None:
    """Measure all, or what is named."""
    from benchmarks.derive.names import NAMES

    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--search-seconds", type=float, default=60.0)
    parser.add_argument("--child", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, file = given.child
        found: list[Line] = []
        for line in measured(name, given.precisions.split(","), given.seconds, given.search_seconds):
            found.append(line)
            Path(file).write_bytes(msgspec.json.encode(found))
        return
    where = {**machine.describe(), "features": ", ".join(features() or ())}
    load = os.getloadavg()[0]
    lines: list[Line] = []
    for name in given.only.split(","):
        print(name, file=sys.stderr, flush=True)
        lines += _in_a_process(name, given)
    where["load"] = f"{max(load, os.getloadavg()[0]):.0f}"
    today = datetime.now(UTC).date().isoformat()
    text = page(lines, where, today)
    if given.only == ",".join(NAMES) and given.precisions == ",".join(PRECISIONS):
        PAGE.write_text(text)
        (RECORDS / f"{today}-derive.json").write_bytes(indented({"where": where, "lines": lines}))
    print(text)


def _in_a_process(name: str, given: argparse.Namespace) -> list[Line]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines.json"
        command = [sys.executable, "-m", "benchmarks.derive", "--child", name, str(file)]
        command += ["--precisions", given.precisions]
        command += ["--seconds", str(given.seconds), "--search-seconds", str(given.search_seconds)]
        ended = []
        try:
            subprocess.run(command, timeout=_PATIENCE, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            ended = [Line(subject=name, precision="-", failed=f"its process: {type(error).__name__}")]
        done = msgspec.json.decode(file.read_bytes(), type=list[Line]) if file.exists() else []
        return [*done, *ended]


def measured(name: str, precisions: list[str], seconds: float, search_seconds: float) -> Iterator[Line]:
    """A line for each precision of one subject."""
    from benchmarks.derive.subjects import SUBJECTS
    from benchmarks.derive.wishes import wish_for
    from onnxpress.core.errors import OnnxpressError
    from onnxpress.export.api import export
    from onnxpress.export.derive.stage import derive

    subject = SUBJECTS[name]()
    with tempfile.TemporaryDirectory() as temporary:
        try:
            published = export(subject.model, name=name, repository=Path(temporary), example=subject.example)
        except OnnxpressError as error:
            yield Line(subject=name, precision="-", failed=f"its parent: {error.what.splitlines()[0]}")
            return
        for precision in precisions:
            wish = wish_for(subject, published.manifest, precision, seconds=seconds, search_seconds=search_seconds)
            try:
                outcome = derive(published.folder, wish)
            except OnnxpressError as error:
                yield Line(subject=name, precision=precision, failed=error.what)
                continue
            best = outcome.published.tried if outcome.published else _nearest(outcome.tried)
            yield Line(
                subject=name,
                precision=precision,
                parent_bytes=published.manifest.files["model.onnx"].size,
                tried=best,
                candidates=len(outcome.tried),
                published=outcome.published is not None,
            )


def _nearest(tried: Sequence[Tried]) -> Tried | None:
    """Of those refused the one with fewest verdicts against it, which is shown."""
    return min(tried, key=lambda one: (bool(one.failed), len(one.refused)), default=None)


if __name__ == "__main__":
    main()
