"""Events of a wrist device, as the files of the Open Seizure Database have them, cut into windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.training.data import event_filter, paths
from onnxpress.training.data.event_filter import EventFilter
from onnxpress.training.data.labels import Relabelled, Relabelling
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.data.windows import Windows, magnitudes

_AXES = 3
_SECONDS = 5.0  # of one datapoint, whose dataTime is its end
_SKIP = "data.skip: bad datapoints leaves such out, and counts them"
_Count = Annotated[int, msgspec.Meta(ge=1)]


class Events(Relabelling, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="events", tag_field="source"):
    """Events of a wrist device, as Open Seizure Database files have them, cut into windows.

    The document is a list of events, `{"id", "type", "datapoints": [{"rawData3D": [x, y, z, x, …]}, …]}`; each
    datapoint holds 5 s of three axes in milli-g at 25 Hz, so 125 samples, or as `rawData` their 125 magnitudes, which
    zeros may follow. Other fields (`hr`, `dataTime`, …) are read where a field here needs them.
    """

    path: paths.Paths
    """of the file, from the recipe's folder; or several files, a folder, a pattern"""
    target: str = "type"
    """the field of an event that is its label"""
    group: str = "id"
    """the field whose events are never divided between training and test: `userId` keeps a person's together"""
    samples: _Count = 125
    """in one datapoint"""
    datapoints: _Count = 6
    """in one window: 6 × 5 s = 30 s, 750 samples"""
    step: _Count = 1
    """datapoints from one window's begin to the next"""
    short: Literal["refuse", "leave_out"] = "refuse"
    """what to do with an event that is shorter than a window; one that is short without its skipped datapoints, or
    outside its seizure times, is always left out"""
    skip: Literal["nothing", "bad datapoints"] = "nothing"
    """bad datapoints (none or too few samples, no numbers) end a series, and are counted in `data.json`"""
    axes: Literal["as recorded", "magnitude"] = "as recorded"
    """three channels, or one of magnitudes where a datapoint has no more than these; magnitude: always one"""
    only: EventFilter = EventFilter()
    """the events to take: those that match all of its fields; default: all"""
    without: EventFilter | None = None
    """the events to leave out: those that match one of its fields"""
    seizure_times: Literal["ignore", "cut", "rest"] = "ignore"
    """of an event that has `seizureTimes: [begin, end]`, in seconds from its dataTime; cut: windows that reach outside
    are left out; rest: those that lie wholly outside are labelled `rest`, and those across are left out"""
    seizure_zero: Literal["event", "first datapoint"] = "event"
    """what the seizure times count from: the event's dataTime, or its first datapoint's"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seizure_times == "rest" and not (self.positive or self.rest):
            raise ValueError("seizure_times: rest needs the label rest: give positive, or labels and rest")

    def load(self, reading: Reading | None = None) -> Table:
        """Stream the files, one event at a time. Raises BadData with event and datapoint of the first fault."""
        files = paths.files(self.path, suffixes=(".json",))
        reader = _Reader(self)
        for path in files:
            try:
                with path.open("rb") as file:
                    for number, event in enumerate(_events(file, path), 1):
                        reader.take(event, f"{path}, event {number}", number)
            except OSError as error:
                raise BadData(f"cannot be read: {error.strerror}", where=str(path)) from None
        return reader.table(where=str(files[0]), files=[str(path) for path in files])


@dataclass(frozen=True)
class _Piece:
    """One good datapoint: (samples, channels), and the seconds of its begin and end on the clock of the seizure."""

    series: Array
    begin: float
    end: float


class _Reader:
    """Reads events by the settings of their source, and counts what it left out."""

    def __init__(self, chosen: Events) -> None:
        self._chosen, self._labels = chosen, Relabelled(chosen)
        self._windows = Windows(length=chosen.samples * chosen.datapoints, step=chosen.samples * chosen.step)
        self._counts: Counter[str] = Counter()
        self._rest = chosen.rest or "other"

    def take(self, event: Any, where: str, number: int) -> None:
        """Cut one event into windows, unless it is to be left out."""
        chosen = self._chosen
        if not isinstance(event, dict):
            raise BadData(f"{str(event)[:40]!r} is no event", where=where)
        if not event_filter.takes(event, chosen.only, chosen.without, where=where):
            self._counts["events_filtered_out"] += 1
            return
        given = event.get(chosen.target)
        if not isinstance(given, str) or not given:
            raise BadData(f"no label in {chosen.target!r}", where=where)
        label = self._labels.of(given)
        if label is None:
            return
        points = event.get("datapoints")
        if not isinstance(points, list) or not points:
            if chosen.skip == "nothing":
                raise BadData(
                    "is no event: there is no list of datapoints",
                    where=where,
                    hint=_SKIP,
                )
            self._counts["events_without_datapoints"] += 1
            return
        if len(points) < chosen.datapoints:
            if chosen.short == "refuse" and chosen.skip == "nothing":
                raise BadData(
                    f"{len(points)} datapoints, a window takes {chosen.datapoints}",
                    where=where,
                    hint="set data.short to leave_out, or data.datapoints to less",
                )
            self._counts["events_too_short"] += 1
            return
        group = event.get(chosen.group, number if chosen.group == "id" else None)
        if group is None:
            raise BadData(f"no field {chosen.group!r}", where=where, hint="see data.group")
        times = self._times(event, where)
        cut = 0
        for run in self._runs(event, where, clocked=times is not None):
            for part, label_of in self._parts(run, times):
                cut += self._cut(part, label_of or label, str(group), f"{where}, {event.get('id')}")
        self._counts["events"] += 1
        if not cut:
            self._counts["events_without_a_window"] += 1

    def _cut(self, run: list[_Piece], label: str, group: str, event: str) -> int:
        series = [piece.series for piece in run]
        if len({part.shape[1] for part in series}) > 1:
            series = [magnitudes(part) for part in series]
        return self._windows.add(np.concatenate(series), label, group, event)

    def _times(self, event: dict[str, Any], where: str) -> tuple[float, float] | None:
        """The seizure's begin and end, in seconds, where they count."""
        given = event.get("seizureTimes")
        if self._chosen.seizure_times == "ignore" or not given:
            return None
        try:
            # Exported from a database, the two may stand in a text.
            begin, end = map(float, msgspec.json.decode(given) if isinstance(given, str) else given)
        except (TypeError, ValueError):
            raise BadData(f"seizureTimes {given!r} are no begin and end", where=where) from None
        return begin, end

    def _parts(self, run: list[_Piece], times: tuple[float, float] | None) -> Iterator[tuple[list[_Piece], str | None]]:
        """Uninterrupted pieces of a run, each with the label that it has instead of its event's."""
        if times is None:
            yield run, None
            return
        within = [piece.begin < times[1] and piece.end > times[0] for piece in run]
        start = 0
        for place in range(1, len(run) + 1):
            if place == len(run) or within[place] != within[start]:
                if within[start] or self._chosen.seizure_times == "rest":
                    yield run[start:place], None if within[start] else self._rest
                start = place

    def _runs(self, event: dict[str, Any], where: str, *, clocked: bool) -> Iterator[list[_Piece]]:
        """Good datapoints that follow one another; a skipped one parts them."""
        run: list[_Piece] = []
        zero = self._zero(event, where) if clocked else None
        for number, point in enumerate(event["datapoints"], 1):
            place = f"{where}, datapoint {number}"
            self._counts["datapoints"] += 1
            try:
                series = self._datapoint(point, place)
                end = (event_filter.moment(point, place) - zero).total_seconds() if zero is not None else 0.0
            except BadData:
                if self._chosen.skip == "nothing":
                    raise
                self._counts["datapoints_skipped"] += 1
                if run:
                    yield run
                run = []
                continue
            run.append(_Piece(series, end - _SECONDS, end))
        if run:
            yield run

    def _zero(self, event: dict[str, Any], where: str) -> datetime:
        if self._chosen.seizure_zero == "event":
            return event_filter.moment(event, where)
        points = [point for point in event["datapoints"] if isinstance(point, dict) and point.get("dataTime")]
        return min((event_filter.moment(point, where) for point in points), default=None) or event_filter.moment(
            {}, where
        )

    def _datapoint(self, point: Any, where: str) -> Array:
        """(samples, 3), or (samples, 1) where there are magnitudes only."""
        samples = self._chosen.samples
        if not isinstance(point, dict):
            raise BadData(f"{str(point)[:40]!r} is no datapoint", where=where)
        raw, lengths = point.get("rawData3D"), point.get("rawData")
        # Devices that measure magnitudes alone fill the axes with zeros: gravity is missing from them.
        has_axes = isinstance(raw, list) and any(raw)
        if not raw and not lengths:
            raise BadData("has neither rawData3D nor rawData", where=where, hint=_SKIP)
        if has_axes or not (isinstance(lengths, list) and any(lengths)):
            if not isinstance(raw, list) or len(raw) != samples * _AXES:
                given = f"{len(raw)} values" if isinstance(raw, list) else "none"
                raise BadData(f"rawData3D has {given}, not {samples} samples of {_AXES} axes", where=where, hint=_SKIP)
            series = _numbers(raw, "rawData3D", where).reshape(samples, _AXES)
            return magnitudes(series) if self._chosen.axes == "magnitude" else series
        assert isinstance(lengths, list)
        if len(lengths) < samples or any(lengths[samples:]):
            raise BadData(f"rawData has {len(lengths)} values, not {samples} magnitudes", where=where, hint=_SKIP)
        return _numbers(lengths[:samples], "rawData", where)[:, None]

    def table(self, *, where: str, files: list[str]) -> Table:
        """All windows, and what was left out."""
        none = "there is no window in it"
        if self._counts["events_too_short"]:
            none += f"; {self._counts['events_too_short']} events are too short"
        labels = self._labels.report() if self._counts["events"] or self._counts["events_filtered_out"] else {}
        return self._windows.table(where=where, none=none, report={"files": files, **self._counts, **labels})


def _numbers(raw: list[Any], name: str, where: str) -> Array:
    try:
        with np.errstate(over="ignore"):  # it becomes infinite, which is said below
            values = np.array(raw, np.float32)
    except (TypeError, ValueError) as error:
        raise BadData(f"{name} holds what is no number: {error}", where=where) from None
    if not np.isfinite(values).all():
        raise BadData(f"a value of {name} is not finite", where=where)
    return values


def _events(file: IO[bytes], path: Path) -> Iterator[Any]:
    ijson = require("ijson", needed_by="streaming a JSON file of events")
    try:
        yield from ijson.items(file, "item", use_float=True)
    except ijson.JSONError as error:
        raise BadData(f"is not a JSON list of events: {str(error).splitlines()[0]}", where=str(path)) from None
