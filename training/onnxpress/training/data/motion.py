"""Windows of motion from time-series files, and from CSV files of samples or of whole datapoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.training.data import paths
from onnxpress.training.data.bundled import package_folder
from onnxpress.training.data.csv_file import SUFFIXES
from onnxpress.training.data.delimited import Dialect, Rows
from onnxpress.training.data.labels import Relabelled, Relabelling
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.data.windows import WINDOWS, Windows

_Count = Annotated[int, msgspec.Meta(ge=1)]


class TimeSeries(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="time_series", tag_field="source"
):
    """Labelled series of one length in the `.ts` format, each row a window.

    `dataset` names one that the package sktime carries (its train and test parts together), `path` a file of one's own.
    """

    dataset: Literal["GunPoint", "BasicMotions"] | None = None
    """one that sktime carries"""
    path: str | None = None
    """of a file, from the recipe's folder"""

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.path is None):
            raise ValueError("give either dataset or path")

    def load(self, reading: Reading | None = None) -> Table:
        """Read it. Raises BadData with file and line of the first fault."""
        paths = [Path(self.path)] if self.path else []
        if self.dataset:
            folder = (
                package_folder("sktime", needed_by=f"the dataset {self.dataset}") / "datasets" / "data" / self.dataset
            )
            paths = [folder / f"{self.dataset}_{part}.ts" for part in ("TRAIN", "TEST")]
        rows = [row for path in paths for row in _series(path)]
        if not rows:
            raise BadData("there are no series below @data", where=str(paths[0]))
        windows, labels = zip(*rows, strict=True)
        return Table({WINDOWS: np.stack(windows)}, np.asarray(labels, np.str_))


def _series(path: Path) -> Iterator[tuple[Array, str]]:
    """Dimensions separated by colons, values by commas, the label last; (time, channels) float32 and the label."""
    shape: tuple[int, ...] | None = None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
    started = False
    for number, line in enumerate(lines, 1):
        if not started or not line.strip():
            started = started or line.strip().lower() == "@data"
            continue
        *channels, label = line.strip().split(":")
        try:
            values = [np.array(channel.split(","), np.float32) for channel in channels]
            window = np.stack(values, axis=1)
        except ValueError as error:
            raise BadData(f"is no series of numbers: {error}", where=f"{path}:{number}") from None
        shape = shape or window.shape
        if window.shape != shape:
            raise BadData(
                f"{window.shape[0]} samples of {window.shape[1]} channels, the first series has {shape[0]} of "
                f"{shape[1]}",
                where=f"{path}:{number}",
                hint="cut or resample the series to one length first",
            )
        if not np.isfinite(window).all():
            raise BadData("a value is not finite", where=f"{path}:{number}")
        yield window, label


class Samples(Relabelling, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="samples", tag_field="source"):
    """CSV files with one sample a line: an event's name, its label, and the axes."""

    path: paths.Paths
    """of the file, from the recipe's folder; or several files, a folder, a pattern"""
    event: str = "event"
    """the column that names the event of a sample"""
    target: str = "label"
    """the column of labels"""
    axes: tuple[str, ...] = ("x", "y", "z")
    """the columns of the axes"""
    window: _Count = 750
    """samples in a window"""
    step: _Count = 125
    """samples from one window's begin to the next"""
    short: Literal["refuse", "leave_out"] = "refuse"
    """what to do with an event of too few samples"""
    dialect: Dialect = Dialect()
    """how the files are written; what is not given is told from the first lines of each"""

    def load(self, reading: Reading | None = None) -> Table:
        """Read them in one pass. Raises BadData with file, line and column of the first fault."""
        series: dict[str, tuple[str, list[list[float]]]] = {}
        files = paths.files(self.path, suffixes=SUFFIXES)
        for path in files:
            rows = Rows(path, self.dialect, wanted=self.target)
            for row in rows:
                fields = _named(rows, row, path, axes=self.axes, target=self.target, event=self.event)
                where = f"{path}:{rows.line}"
                label, values = series.setdefault(fields[self.event], (fields[self.target], []))
                if label != fields[self.target]:
                    raise BadData(f"the event {fields[self.event]!r} has two labels", where=where)
                values.append([_finite(fields[axis], axis, where, self.dialect) for axis in self.axes])
        windows, labels = Windows(length=self.window, step=self.step), Relabelled(self)
        too_short = 0
        for name, (given, values) in series.items():
            new = labels.of(given)
            if len(values) < self.window and self.short == "refuse":
                raise BadData(
                    f"the event {name!r} has {len(values)} samples, a window takes {self.window}",
                    where=str(files[0]),
                    hint="set data.short to leave_out, or data.window to less",
                )
            too_short += len(values) < self.window
            if new is not None:
                windows.add(np.asarray(values, np.float32), new, name)
        report = {"files": list(map(str, files)), "events": len(series)}
        report |= {"events_too_short": too_short} if too_short else {}
        return windows.table(
            where=str(files[0]), none="there are no samples below the header", report=report | labels.report()
        )


class WideSamples(
    Relabelling, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wide_samples", tag_field="source"
):
    """CSV files with a stretch of samples a line, in columns that are numbered: `M000`, `M001`, … of one axis.

    Such files are made of the Open Seizure Database: a line is a datapoint of 5 s, with its event, and the columns of
    magnitudes `M…` and of axes `X…`, `Y…`, `Z…`. Lines of one event follow one another in time.
    """

    path: paths.Paths
    """of the file, from the recipe's folder; or several files, a folder, a pattern"""
    event: str | None = None
    """the column that names the event of a line; without it each line is a window of its own"""
    target: str = "label"
    """the column of labels"""
    axes: tuple[str, ...] = ("M",)
    """what the columns of each axis are called before their number"""
    lines: _Count = 1
    """in one window, of the same event"""
    step: _Count = 1
    """lines from one window's begin to the next"""
    short: Literal["refuse", "leave_out"] = "refuse"
    """what to do with an event of too few lines"""
    skip: Literal["nothing", "bad datapoints"] = "nothing"
    """lines without numbers end a series, and are counted in `data.json`"""
    dialect: Dialect = Dialect()
    """how the files are written; what is not given is told from the first lines of each"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.event is None and self.lines > 1:
            raise ValueError("a window of several lines needs the column that names their event")

    def load(self, reading: Reading | None = None) -> Table:
        """Read them in one pass. Raises BadData with file, line and column of the first fault."""
        files = paths.files(self.path, suffixes=SUFFIXES)
        counts: Counter[str] = Counter()
        events: dict[str, tuple[str, list[list[Array]]]] = {}
        width = 0
        for path in files:
            rows = Rows(path, self.dialect, wanted=self.target)
            columns: list[list[str]] = []
            for number, row in enumerate(rows, 1):
                where = f"{path}:{rows.line}"
                if not columns:
                    columns = self._columns(rows.header, path)
                    width = width or len(columns[0])
                    if len(columns[0]) != width:
                        raise BadData(f"{len(columns[0])} samples a line, the first file has {width}", where=where)
                event = [] if self.event is None else [self.event]
                fields = _named(rows, row, path, axes=columns[0], target=self.target, event=self.event)
                name = fields[event[0]] if event else f"{path.name}:{number}"
                label, runs = events.setdefault(name, (fields[self.target], [[]]))
                if label != fields[self.target]:
                    raise BadData(f"the event {name!r} has two labels", where=where)
                counts["lines"] += 1
                try:
                    series = [[_finite(fields[c], c, where, self.dialect) for c in axis] for axis in columns]
                except BadData as error:
                    if self.skip == "nothing":
                        hint = "data.skip: bad datapoints leaves such lines out, and counts them"
                        raise BadData(error.what, where=error.where, hint=hint) from None
                    counts["datapoints_skipped"] += 1
                    runs.append([])
                    continue
                runs[-1].append(np.array(series, np.float32).T)
        return self._cut(events, files, counts, width)

    def _columns(self, header: list[str], path: Path) -> list[list[str]]:
        """The columns of each axis in the order of their numbers. Raises BadData where an axis has none, or a gap."""
        found = []
        for axis in self.axes:
            numbers = {int(m[1]): m[0] for name in header if (m := re.fullmatch(rf"{re.escape(axis)}(\d+)", name))}
            if not numbers:
                raise BadData(f"no column is called {axis} and a number", where=str(path), hint="see data.axes")
            order = sorted(numbers)
            if order != list(range(order[0], order[0] + len(order))):
                gap = next(n for n in range(order[0], order[-1]) if n not in numbers)
                raise BadData(f"the columns {axis}… lack number {gap}", where=str(path))
            found.append([numbers[number] for number in order])
        if len(set(map(len, found))) > 1:
            sizes = ", ".join(f"{axis} {len(names)}" for axis, names in zip(self.axes, found, strict=True))
            raise BadData(f"the axes have different numbers of columns: {sizes}", where=str(path))
        return found

    def _cut(
        self, events: dict[str, tuple[str, list[list[Array]]]], files: list[Path], counts: Counter[str], width: int
    ) -> Table:
        windows, labels = Windows(length=self.lines * width, step=self.step * width), Relabelled(self)
        for name, (given, runs) in events.items():
            label = labels.of(given)
            if label is None:
                continue
            lines = sum(map(len, runs))
            if lines < self.lines and self.short == "refuse" and self.skip == "nothing":
                raise BadData(
                    f"the event {name!r} has {lines} lines, a window takes {self.lines}",
                    where=str(files[0]),
                    hint="set data.short to leave_out, or data.lines to less",
                )
            cut = sum(windows.add(np.concatenate(run), label, name) for run in runs if run)
            counts["events_without_a_window"] += not cut
        report = {"files": list(map(str, files)), "events": len(events), **{n: c for n, c in counts.items() if c}}
        none = "there is no window in it"
        return windows.table(where=str(files[0]), none=none, report=report | labels.report())


def _named(
    rows: Rows, row: list[str], path: Path, *, axes: Sequence[str], target: str, event: str | None
) -> dict[str, str]:
    """A row's values by column. Raises BadData where the header lacks one that is needed."""
    wanted = tuple(axes), () if event is None else (event,)
    if not all(name in rows.header for name in (*wanted[0], *wanted[1], target)):
        Reading(numbers=wanted[0], texts=wanted[1]).columns(rows.header, target, where=str(path))
    return dict(zip(rows.header, row, strict=True))


def _finite(text: str, column: str, where: str, dialect: Dialect) -> float:
    try:
        value = float(text.replace(",", ".") if dialect.decimal == "," else text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise BadData(f"{text!r} is no finite number in column {column!r}", where=where)
    return value
