"""Windows come whole, one length, in events that stay together, or with the place of what is wrong."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData
from onnxpress.training.data.events import Events
from onnxpress.training.data.motion import Samples, TimeSeries
from onnxpress.training.data.windows import WINDOWS


def event(name: str, label: str, datapoints: int, start: int = 0) -> dict[str, Any]:
    raw = [[start + point * 375 + place for place in range(375)] for point in range(datapoints)]
    return {"id": name, "type": label, "datapoints": [{"rawData3D": row, "hr": 80} for row in raw]}


def events_file(folder: Path, events: Any, **settings: Any) -> Events:
    path = folder / "events.json"
    path.write_text(json.dumps(events))
    return Events(path=str(path), **settings)


def test_an_event_is_cut_into_windows_that_keep_its_name(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    table = events_file(tmp_path, [event("a", "Seizure", 8), event("b", "False Alarm", 6)], step=2).load()
    windows = table.columns[WINDOWS]
    assert (windows.shape, windows.dtype) == ((3, 750, 3), np.float32)
    assert table.target.tolist() == ["Seizure", "Seizure", "False Alarm"]
    assert table.groups is not None
    assert table.groups.tolist() == ["a", "a", "b"]
    # x, y and z of a sample follow one another, and the second window begins two datapoints later
    assert windows[0, :2].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert windows[1, 0].tolist() == [750, 751, 752]


@pytest.mark.parametrize(
    ("events", "where", "message"),
    [
        ([event("a", "x", 3)], ", event 1", "3 datapoints, a window takes 6"),
        ([event("a", "", 6)], ", event 1", "no label in 'type'"),
        ([7], ", event 1", "is no event"),
        ([event("a", "x", 6), {"id": 1, "type": "y", "datapoints": [{}] * 6}], ", event 2, datapoint 1", "has neither"),
        ([{"type": "y", "datapoints": [{"rawData3D": [1] * 10}] * 6}], ", event 1, datapoint 1", "has 10 values"),
        ([{"type": "y", "datapoints": [{"rawData3D": ["x"] * 375}] * 6}], ", event 1, datapoint 1", "no number"),
        ([], "", "there is no window"),
    ],
)
def test_the_first_bad_event_is_named(events: Any, where: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    source = events_file(tmp_path, events)
    with pytest.raises(BadData, match=message) as caught:
        source.load()
    assert caught.value.where == source.path + where


def test_short_events_are_left_out_on_purpose_only(tmp_path: Path) -> None:
    pytest.importorskip("ijson")
    table = events_file(tmp_path, [event("a", "x", 3), event("b", "y", 6)], short="leave_out").load()
    assert table.target.tolist() == ["y"]


def test_series_of_sktime_are_windows() -> None:
    if importlib.util.find_spec("sktime") is None:  # its files are read; the package itself is not imported
        pytest.skip("sktime is not installed")
    points = TimeSeries(dataset="GunPoint").load()
    assert points.columns[WINDOWS].shape == (200, 150, 1)
    assert sorted(set(points.target)) == ["1", "2"]
    assert TimeSeries(dataset="BasicMotions").load().columns[WINDOWS].shape == (80, 100, 6)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("@data\n1,2:3,4:a\n1,2,3:4,5,6:b\n", ":3", "3 samples of 2 channels, the first series has 2 of 2"),
        ("@data\n1,2:3:a\n", ":2", "is no series"),
        ("@data\n1,x:a\n", ":2", "is no series"),
        ("@data\n1,nan:a\n", ":2", "not finite"),
        ("@data\n", "", "there are no series"),
    ],
)
def test_a_bad_series_is_named(text: str, place: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    path.write_text(text)
    with pytest.raises(BadData, match=message) as caught:
        TimeSeries(path=str(path)).load()
    assert caught.value.where == f"{path}{place}"


def test_samples_of_a_csv_file_become_windows_of_their_event(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    lines = [f"e{n // 10},{'up' if n < 10 else 'down'},{n},0,1" for n in range(20)]
    path.write_text("\n".join(["event,label,x,y,z", *lines]))
    table = Samples(path=str(path), window=6, step=4).load()
    assert table.columns[WINDOWS].shape == (4, 6, 3)
    assert table.columns[WINDOWS][:, 0, 0].tolist() == [0, 4, 10, 14]
    assert table.target.tolist() == ["up", "up", "down", "down"]
    path.write_text("event,label,x,y,z\na,up,1,2,3\na,down,1,2,3\n")
    with pytest.raises(BadData, match="has two labels"):
        Samples(path=str(path)).load()
    path.write_text("event,label,x,y,z\na,up,1,2,3\n")
    with pytest.raises(BadData, match="1 samples, a window takes 750"):
        Samples(path=str(path)).load()
