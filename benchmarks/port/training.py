"""`python -m benchmarks.port.training`: networks of public projects, carried both ways, train on as their sources do.

Each network of `projects` is trained in its own framework, carried by `onnxpress port` with the weights that it has
then, and goes on learning beside its source on rows that neither has seen. Then both learn from the beginning, from the
first weights that their own code draws. docs/port-training.md and a record tell what both reach on rows held out.
`--data FOLDER` holds domains.csv, which may not be shipped; without it names are drawn. Ends with 1 where source and
port are more than two points apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.port import datasets, fitting
from benchmarks.port.judge import module_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "port-training.md"
RECORDS = ROOT / "benchmarks" / "records"
OTHER = {"pytorch": "tensorflow", "tensorflow": "pytorch"}
BOUND = 2.0
"""points between the means of source and port"""
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Project:
    """A network in both frameworks, and how it is trained."""

    title: str
    rows: Any
    answers: dict[str, fitting.Answers]
    """source's framework → what it answers"""
    modules: dict[str, str]
    """framework → module in `projects`, whose `build` gives the network"""
    epochs: int
    learning_rate: float
    batch_size: int


PROJECTS = {
    "seizures": Project(
        "a 14-layer 1-D CNN over wrist motion",
        datasets.seizures,
        {"pytorch": "logits", "tensorflow": "probabilities"},
        {"pytorch": "seizure_torch", "tensorflow": "seizure_keras"},
        epochs=9,
        learning_rate=0.003,
        batch_size=32,
    ),
    "domains": Project(
        "a CNN-LSTM with attention over characters",
        datasets.domains,
        {"pytorch": "logit", "tensorflow": "probability"},
        {"pytorch": "domains_torch", "tensorflow": "domains_keras"},
        epochs=5,
        learning_rate=0.003,
        batch_size=64,
    ),
    "table": Project(
        "embeddings and batch-normed numbers of a table",
        datasets.table,
        {"pytorch": "logits", "tensorflow": "logits"},
        {"pytorch": "table_torch", "tensorflow": "table_keras"},
        epochs=9,
        learning_rate=0.01,
        batch_size=128,
    ),
}


@dataclass(frozen=True)
class Row:
    """Held-out accuracies in percent of a source and of its port; lists are one for each seed."""

    project: str
    source: str
    """the framework that it was carried from"""
    parameters: int
    carried: tuple[float, float]
    """(source, port), before either learnt more"""
    tuned: tuple[list[float], list[float]]
    fresh: tuple[list[float], list[float]]

    @property
    def apart(self) -> float:
        """The most that the means of source and port differ, in points."""
        return max(abs(fmean(source) - fmean(port)) for source, port in (self.tuned, self.fresh))


def main() -> None:
    """Train what is asked for, and write the page and the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.port.training", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with domains.csv")
    parser.add_argument("--only", nargs="*", choices=list(PROJECTS), default=list(PROJECTS))
    parser.add_argument("--source", choices=list(OTHER), help="only what is carried from it")
    parser.add_argument("--page", action="store_true", help="only write the page, of the newest record")
    chosen = parser.parse_args()
    rows = known()
    for name in [] if chosen.page else chosen.only:
        for source in [chosen.source] if chosen.source else OTHER:
            print(f"{name} from {source}", file=sys.stderr, flush=True)
            row = measured(name, source, chosen.data)
            print(f"{name} from {source}: {row.apart:.2f} points apart", file=sys.stderr, flush=True)
            rows = known() | {(name, source): row}  # after each: a long run may be stopped
            write(rows)
    PAGE.write_text(page(rows))
    far = [f"{name} from {source}" for (name, source), row in rows.items() if row.apart > BOUND]
    if far:
        raise SystemExit(f"more than {BOUND:g} points apart: {', '.join(far)}")


def measured(name: str, source: str, data: Path | None) -> Row:
    """Carry one network from one framework and train both."""
    project, other = PROJECTS[name], OTHER[source]
    rows = project.rows(data if name == "domains" else None)
    count = len(rows.labels)
    first, second, held = rows[: count // 3], rows[count // 3 : count * 2 // 3], rows[count * 2 // 3 :]
    learnt, given = rows[: count * 2 // 3], project.answers[source]
    modules = f"benchmarks.port.projects.{project.modules[source]}"
    kind = fitting.FITTING[source](given, import_module(modules).build)
    whole = {"epochs": project.epochs, "learning_rate": project.learning_rate, "batch_size": project.batch_size}
    less = whole | {"epochs": project.epochs // 3, "learning_rate": project.learning_rate / 3}
    own = [_own(part, source) for part in (first, second, held, learnt)]
    with tempfile.TemporaryDirectory() as folder:
        model = kind.begun(0, own[0])
        kind.fit(model, own[0], seed=0, **whole)
        weights = Path(folder) / f"trained{kind.suffix}"
        kind.save(model, weights)
        code = Path(folder) / "ported.py"
        _port(f"{modules}:build", "--weights", str(weights), "--to", other, "--output", str(code))
        ported = fitting.FITTING[other](given, module_of(code).build)
        perms = list(json.loads(code.with_suffix(".port.json").read_text())["inputs"].values())
        theirs = [_moved(part, perms) for part in own]
        carried_weights = code.with_suffix(ported.suffix)

        def accuracies(which: Any, parts: list[datasets.Rows], start: Path, part: int, way: Any) -> list[float]:
            found = []
            for seed in SEEDS:
                trained = which.begun(seed, parts[part])
                if part == 1:
                    which.load(trained, start)
                which.fit(trained, parts[part], seed=seed, **way)
                found.append(which.accuracy(trained, parts[2]))
            return found

        begun = ported.begun(0, theirs[0])
        ported.load(begun, carried_weights)
        return Row(
            project=name,
            source=source,
            parameters=kind.parameters(model),
            carried=(kind.accuracy(model, own[2]), ported.accuracy(begun, theirs[2])),
            tuned=(
                accuracies(kind, own, weights, 1, less),
                accuracies(ported, theirs, carried_weights, 1, less),
            ),
            fresh=(
                accuracies(kind, own, weights, 3, whole),
                accuracies(ported, theirs, carried_weights, 3, whole),
            ),
        )


def _own(rows: datasets.Rows, framework: str) -> datasets.Rows:
    """Windows with their channels where the source has them, and whole numbers as it reads them."""
    if framework == "pytorch":
        return rows
    inputs = [np.moveaxis(one, 1, 2) if one.ndim == 3 else one for one in rows.inputs]
    return datasets.Rows(tuple(np.int32(one) if one.dtype.kind == "i" else one for one in inputs), rows.labels)


def _moved(rows: datasets.Rows, perms: list[list[int]]) -> datasets.Rows:
    """As the report says that the written code takes them."""
    return datasets.Rows(
        tuple(np.transpose(one, perm) for one, perm in zip(rows.inputs, perms, strict=True)), rows.labels
    )


def _port(*arguments: str) -> None:
    program = [sys.executable, "-c", "from onnxpress.core.cli import main; main()", "port", *arguments]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"onnxpress port {' '.join(arguments)}\n{done.stderr}")


def _record() -> Path | None:
    return max(RECORDS.glob("*-port-training.json"), default=None)


def known() -> dict[tuple[str, str], Row]:
    """The rows of the newest record."""
    path = _record()
    rows = [] if path is None else [Row(**row) for row in json.loads(path.read_text())["rows"]]
    return {(row.project, row.source): row for row in rows}


def write(rows: dict[tuple[str, str], Row]) -> None:
    """The record of today."""
    today = datetime.now(UTC).date().isoformat()
    ordered = [asdict(rows[name, source]) for name in PROJECTS for source in OTHER if (name, source) in rows]
    record = {"date": today, "machine": machine.describe(), "seeds": len(SEEDS), "rows": ordered}
    (RECORDS / f"{today}-port-training.json").write_text(json.dumps(record, indent=1) + "\n")


def page(rows: dict[tuple[str, str], Row]) -> str:
    """docs/port-training.md."""
    path = _record()
    assert path is not None
    lines = [
        "| network | carried | parameters | when carried | trained on | from the beginning | apart |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    measured_ones = [(name, source) for name in PROJECTS for source in OTHER if (name, source) in rows]
    lines += [_line(PROJECTS[name], rows[name, source]) for name, source in measured_ones]
    missing = [f"{name} from {source}" for name in PROJECTS for source in OTHER if (name, source) not in rows]
    return (
        "# Ported networks, trained on\n\n"
        f"Written by `python -m benchmarks.port.training` on {path.name[:10]}. Do not edit it. The record is in "
        "`benchmarks/records/`, the networks are in `benchmarks/port/projects/`. They are written as public projects "
        "write them: the seizure network in Keras is sequential, that of domains functional with a layer of its own, "
        "that of the table a class with its own `call`.\n\n"
        "Each is trained in its own framework, and carried with the weights that it has then. *When carried* is "
        "the accuracy on rows held out, of the source and of its port. *Trained on*: both learn more, from the same "
        "rows, which are new to both. *From the beginning*: both learn from first weights as their own code draws "
        f"them. These are means of {len(SEEDS)} seeds, which shuffle and drop differently, with the standard deviation "
        f"of one seed. *Apart* is the larger difference of two means. {BOUND:g} points are accepted.\n\n"
        + "\n".join(lines)
        + "\n\nAll figures are percent. The windows are simulated, with noise enough that they are not all told "
        "rightly. The domains are not shipped with the project; without them the command draws names.\n"
        + (f"\nNot measured: {', '.join(missing)}.\n" if missing else "")
    )


def _line(project: Project, row: Row) -> str:
    names = {"pytorch": "torch", "tensorflow": "Keras"}
    both = [
        " / ".join(f"{fmean(seeds):.2f} ± {np.std(seeds, ddof=1):.2f}" for seeds in pair)
        for pair in (row.tuned, row.fresh)
    ]
    return (
        f"| {project.title} | {names[row.source]} → {names[OTHER[row.source]]} | {row.parameters:,} "
        f"| {row.carried[0]:.2f} / {row.carried[1]:.2f} | {both[0]} | {both[1]} | {row.apart:.2f} |"
    )


if __name__ == "__main__":
    main()
