"""How long a model's requests took, phase by phase: histograms that are counted in place.

The buckets are those of Prometheus' native histograms of schema 2: four for each power of two of a second. The classic
buckets are the powers of two among their bounds.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.timing import RunTimes, Trace

LEAST: Final = 7.62939453125e-06
"""seconds, 2 ** -17: up to here all is one bucket"""
STEPS: Final = 4
"""buckets for each power of two; see `bound`"""
_LAST: Final = 108
"""of the buckets, 2 ** 10 seconds; what took longer stands in it too"""
_STEP_1: Final = 0.8408964152537145
_STEP_2: Final = 0.7071067811865476
_STEP_3: Final = 0.5946035575013605
"""a power of two, less one, two and three steps"""
_MOST_SIZES: Final = 256
"""numbers of rows in a run that are told apart"""

Exemplar = tuple[str, float, float]
"""a trace's id, the seconds that its request took, and when that was over by time.perf_counter"""


def bound(place: int) -> float:
    """The seconds up to which a bucket counts.

    >>> bound(0), bound(68)
    (7.62939453125e-06, 1.0)
    """
    seconds: float = LEAST * 2.0 ** (place / STEPS)
    return seconds


def place_of(seconds: float) -> int:
    """The bucket that so long a time is counted in."""
    top, place = LEAST, 0
    while seconds > top and place < _LAST:
        top += top
        place += STEPS
    if place == 0:
        return 0
    if seconds <= top * _STEP_3:
        return place - 3
    if seconds <= top * _STEP_2:
        return place - 2
    if seconds <= top * _STEP_1:
        return place - 1
    return place


class Histogram:
    """Seconds; `exemplars` has the last traced request of some of the buckets."""

    __slots__ = ("_counts", "_more", "_place", "exemplars", "seconds")

    def __init__(self) -> None:
        self._counts = [0] * (_LAST + 1)
        # Most are in the same bucket as the one before: this costs a tenth of what the list does.
        self._place = self._more = 0
        self.seconds = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    @property
    def counts(self) -> list[int]:
        """How many are in each bucket."""
        self._counts[self._place] += self._more
        self._more = 0
        return self._counts

    def add(self, seconds: float, requests: int) -> None:
        """Count requests that each took so long."""
        if seconds < 0.0:  # a rounding of the difference of two times
            seconds = 0.0
        self.seconds += seconds * requests
        place = place_of(seconds)
        if place != self._place:
            self._counts[self._place] += self._more
            self._place, self._more = place, 0
        self._more += requests

    def show(self, trace: str, seconds: float, ended: float) -> None:
        """Keep a request of this trace as the example of its bucket."""
        seconds = max(seconds, 0.0)
        self.exemplars[place_of(seconds)] = trace, seconds, ended


class SizeTimes:
    """The runs over so many rows: how many, and seconds of all in making arrays, in the model, and in writing."""

    __slots__ = ("infer", "input", "output", "runs")

    def __init__(self) -> None:
        self.runs = 0
        self.input = self.infer = self.output = 0.0


class Latencies:
    """Of one model. Used from the event loop's thread only.

    `request` is the whole, from the body being here until the answer is written. Its phases: `queue` is the waiting,
    `decode` the reading of the body and the making of the arrays, `run` the model, `encode` the writing. Those who
    shared a run have its times, and those who came in one turn of the event loop its beginning. `last` is when an
    answer was written last, 0.0 before.
    """

    __slots__ = (
        "_rows", "_times", "decode", "encode", "failed_seconds", "last", "queue", "request", "run", "sizes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.request, self.queue, self.decode = Histogram(), Histogram(), Histogram()
        self.run, self.encode = Histogram(), Histogram()
        self.failed_seconds = self.last = 0.0
        self.sizes: dict[int, SizeTimes] = {}
        """rows → the runs over so many"""
        self._rows, self._times = -1, SizeTimes()  # of the run before

    def add(self, run: RunTimes, came: float, reading: float, ended: float, requests: int) -> None:
        """So many requests of a run were answered that came, and were read, alike. What all share is for `ran`."""
        self.request.add(ended - came, requests)
        self.decode.add(reading + run.fed - run.began, requests)
        self.queue.add(run.began - came - reading, requests)

    def show(self, trace: Trace, run: RunTimes, came: float, reading: float, ended: float) -> None:
        """Keep a request of this trace as an example."""
        self.request.show(trace.id, ended - came, ended)
        self.decode.show(trace.id, reading + run.fed - run.began, ended)
        self.queue.show(trace.id, run.began - came - reading, ended)
        self.run.show(trace.id, run.ran - run.fed, ended)
        self.encode.show(trace.id, run.written - run.ran, ended)

    def ran(self, run: RunTimes, requests: int, rows: int) -> None:
        """A run over so many rows has answered so many requests."""
        infer, output = run.ran - run.fed, run.written - run.ran
        self.run.add(infer, requests)
        self.encode.add(output, requests)
        self.last = run.written
        times = self._times if rows == self._rows else self._of_size(rows)
        times.runs += 1
        times.input += run.fed - run.began
        times.infer += infer
        times.output += output

    def _of_size(self, rows: int) -> SizeTimes:
        """The runs over so many rows; some that nobody sees where too many numbers are known."""
        times = self.sizes.get(rows)
        if times is None:
            times = SizeTimes()
            if len(self.sizes) < _MOST_SIZES:
                self.sizes[rows] = times
        self._rows, self._times = rows, times
        return times

    def alone(self, inputs: Inputs) -> None:
        """A request that ran alone is answered, or has failed."""
        run = inputs.run
        assert run is not None
        if run.failed:
            self.failed_seconds += perf_counter() - inputs.came
            return
        self.add(run, inputs.came, inputs.reading, run.written, 1)
        self.ran(run, 1, inputs.rows)
        if inputs.trace is not None:
            self.show(inputs.trace, run, inputs.came, inputs.reading, run.written)
