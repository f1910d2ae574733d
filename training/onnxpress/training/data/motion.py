"""Windows of motion: from time-series files, from events as a wrist device records them, and from CSV samples."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.data.bundled import package_folder
from onnxpress.training.data.table import Reading, Table

WINDOWS = "windows"
"""the one column of these tables: float32 (rows, time, channels)"""
_AXES = 3
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


class Events(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="events", tag_field="source"):
    """Events of a wrist device, as Open Seizure Database files have them, cut into windows.

    The document is a list of events, `{"id", "type", "datapoints": [{"rawData3D": [x, y, z, x, …]}, …]}`; each
    datapoint holds 5 s of three axes in milli-g at 25 Hz, so 125 samples. Other fields (`hr`, `dataTime`, …) are left
    alone.
    """

    path: str
    """of the file, from the recipe's folder"""
    target: str = "type"
    """the field of an event that is its label"""
    samples: _Count = 125
    """in one datapoint"""
    datapoints: _Count = 6
    """in one window: 6 × 5 s = 30 s, 750 samples"""
    step: _Count = 1
    """datapoints from one window's begin to the next"""
    short: Literal["refuse", "leave_out"] = "refuse"
    """what to do with an event that is shorter than a window"""

    def load(self, reading: Reading | None = None) -> Table:
        """Stream the file, one event at a time. Raises BadData with event and datapoint of the first fault."""
        path = Path(self.path)
        windows: list[Array] = []
        labels: list[str] = []
        groups: list[str] = []
        left_out = 0
        try:
            with path.open("rb") as file:
                for number, event in enumerate(_events(file, path), 1):
                    label, series = self._series(event, f"{path}, event {number}")
                    if series is None:
                        left_out += 1
                        continue
                    length = self.samples * self.datapoints
                    cut = [series[at : at + length] for at in self._starts(len(series))]
                    windows += cut
                    labels += [label] * len(cut)
                    groups += [str(event.get("id", number))] * len(cut)
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        if not windows:
            raise BadData(f"there is no window in it; {left_out} events are too short", where=str(path))
        return Table({WINDOWS: np.stack(windows)}, np.asarray(labels, np.str_), np.asarray(groups, np.str_))

    def _starts(self, length: int) -> range:
        return range(0, length - self.samples * self.datapoints + 1, self.samples * self.step)

    def _series(self, event: Any, where: str) -> tuple[str, Array | None]:
        """The label and (samples, 3) of one event; None for one too short that is to be left out."""
        if not isinstance(event, dict) or not isinstance(event.get("datapoints"), list):
            raise BadData("is no event: there is no list of datapoints", where=where)
        label = event.get(self.target)
        if not isinstance(label, str) or not label:
            raise BadData(f"no label in {self.target!r}", where=where)
        if len(event["datapoints"]) < self.datapoints:
            if self.short == "leave_out":
                return label, None
            raise BadData(
                f"{len(event['datapoints'])} datapoints, a window takes {self.datapoints}",
                where=where,
                hint="set data.short to leave_out, or data.datapoints to less",
            )
        parts = [self._datapoint(point, f"{where}, datapoint {n}") for n, point in enumerate(event["datapoints"], 1)]
        return label, np.concatenate(parts)

    def _datapoint(self, point: Any, where: str) -> Array:
        raw = point.get("rawData3D") if isinstance(point, dict) else None
        if not isinstance(raw, list) or len(raw) != self.samples * _AXES:
            given = f"{len(raw)} values" if isinstance(raw, list) else "none"
            raise BadData(f"rawData3D has {given}, not {self.samples} samples of {_AXES} axes", where=where)
        try:
            values = np.array(raw, np.float32)
        except (TypeError, ValueError) as error:
            raise BadData(f"rawData3D holds what is no number: {error}", where=where) from None
        if not np.isfinite(values).all():
            raise BadData("a value of rawData3D is not finite", where=where)
        return values.reshape(self.samples, _AXES)


def _events(file: IO[bytes], path: Path) -> Iterator[Any]:
    ijson = require("ijson", needed_by="streaming a JSON file of events")
    try:
        yield from ijson.items(file, "item", use_float=True)
    except ijson.JSONError as error:
        raise BadData(f"is not a JSON list of events: {str(error).splitlines()[0]}", where=str(path)) from None


class Samples(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="samples", tag_field="source"):
    """A CSV file with one sample a line: an event's name, its label, and the axes; consecutive lines of an event."""

    path: str
    """of the file, from the recipe's folder"""
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

    def load(self, reading: Reading | None = None) -> Table:
        """Read it in one pass. Raises BadData with file, line and column of the first fault."""
        from onnxpress.training.data.csv_file import whole_rows

        path = Path(self.path)
        series: dict[str, tuple[str, list[list[float]]]] = {}
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file, strict=True)
                rows = whole_rows(reader, path)
                header = next(rows, [])
                Reading(numbers=self.axes, texts=(self.event,)).columns(header, self.target, where=str(path))
                for row in rows:
                    fields = dict(zip(header, row, strict=True))
                    where = f"{path}:{reader.line_num}"
                    label, values = series.setdefault(fields[self.event], (fields[self.target], []))
                    if label != fields[self.target]:
                        raise BadData(f"the event {fields[self.event]!r} has two labels", where=where)
                    values.append([_finite(fields[axis], axis, where) for axis in self.axes])
        except OSError as error:
            raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        windows: list[Array] = []
        labels: list[str] = []
        groups: list[str] = []
        for name, (label, values) in series.items():
            if len(values) < self.window:
                raise BadData(
                    f"the event {name!r} has {len(values)} samples, a window takes {self.window}", where=str(path)
                )
            whole = np.asarray(values, np.float32)
            for at in range(0, len(whole) - self.window + 1, self.step):
                windows.append(whole[at : at + self.window])
                labels.append(label)
                groups.append(name)
        if not windows:
            raise BadData("there are no samples below the header", where=str(path))
        return Table({WINDOWS: np.stack(windows)}, np.asarray(labels, np.str_), np.asarray(groups, np.str_))


def _finite(text: str, column: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise BadData(f"{text!r} is no finite number in column {column!r}", where=where)
    return value
