"""Events of the Open Seizure Database as its files have them: magnitudes, faults, labels, filters, seizure times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData
from onnxpress.training.data.event_filter import EventFilter, parsed
from onnxpress.training.data.events import Events
from onnxpress.training.data.windows import WINDOWS

pytest.importorskip("ijson")


def point(second: int = 0, *, axes: bool = True, magnitude: float | None = None) -> dict[str, Any]:
    at = f"2024-03-01T10:00:{second:02d}Z" if second < 60 else f"2024-03-01T10:01:{second - 60:02d}Z"
    made: dict[str, Any] = {"dataTime": at, "hr": 80}
    if axes:
        made["rawData3D"] = [3, 4, 0] * 125
    if magnitude is not None:
        made["rawData"] = [magnitude] * 125 + [0] * 25
    return made


def event(name: int, kind: str, points: list[Any], **fields: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "dataTime": "2024-03-01T10:00:30Z", "userId": 7, "datapoints": points, **fields}


def source(folder: Path, events: Any, **settings: Any) -> Events:
    path = folder / "events.json"
    path.write_text(json.dumps(events))
    return Events(path=str(path), **({"datapoints": 2} | settings))


def test_magnitudes_alone_beside_three_axes_make_one_channel_of_all(tmp_path: Path) -> None:
    old = [point(5 * n, axes=False, magnitude=1000 + n) for n in range(2)]
    zeros = [{**point(axes=False, magnitude=990), "rawData3D": [0] * 375} for _ in range(2)]  # axes were not measured
    table = source(tmp_path, [event(1, "Seizure", old), event(2, "Fall", zeros), event(3, "x", [point()] * 2)]).load()
    windows = table.columns[WINDOWS]
    assert windows.shape == (3, 250, 1)
    assert windows[:, 0, 0].tolist() == [1000, 990, 5]  # the last is the length of (3, 4, 0)
    assert windows[0, 125, 0] == 1001
    assert table.report["channels"] == 1


def test_three_axes_stay_three_unless_magnitudes_are_asked_for(tmp_path: Path) -> None:
    events = [event(1, "x", [point(magnitude=9)] * 2)]
    assert source(tmp_path, events).load().columns[WINDOWS].shape == (1, 250, 3)
    asked = source(tmp_path, events, axes="magnitude").load().columns[WINDOWS]
    assert (asked.shape, asked[0, 0, 0]) == ((1, 250, 1), 5)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        None,
        {"rawData": []},
        {"rawData": [1000] * 100},
        {"rawData": [1000] * 130},
        {"rawData3D": [1] * 374},
        {"rawData3D": [None] * 375},
        {"rawData3D": ["a"] * 375},
        {"rawData": [1e39] * 125},
    ],
)
def test_bad_datapoints_are_refused_or_part_the_series_and_are_counted(bad: Any, tmp_path: Path) -> None:
    events = [event(1, "x", [point(magnitude=n + 1.0, axes=False) for n in range(5)])]
    events[0]["datapoints"].insert(3, bad)
    with pytest.raises(BadData, match="datapoint") as caught:
        source(tmp_path, events).load()
    assert caught.value.where is not None
    assert caught.value.where.endswith("event 1, datapoint 4")
    table = source(tmp_path, events, skip="bad datapoints").load()
    # 1 2 | 2 3 before the gap and 4 5 after it, but no window across
    assert table.columns[WINDOWS][:, 0, 0].tolist() == [1, 2, 4]
    assert (table.report["datapoints"], table.report["datapoints_skipped"]) == (6, 1)


def test_several_files_are_read_and_users_kept_together(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"part{number}.json").write_text(json.dumps([event(number, "x", [point()] * 2)]))
    for path in (str(tmp_path), str(tmp_path / "part*.json"), [str(tmp_path / f"part{n}.json") for n in range(2)]):
        table = Events(path=path, datapoints=2, group="userId").load()
        assert table.groups is not None
        assert (len(table.target), table.groups.tolist()) == (2, ["7", "7"])
    with pytest.raises(BadData, match="no file matches"):
        Events(path=str(tmp_path / "q*.json")).load()


def test_labels_are_mapped(tmp_path: Path) -> None:
    kinds = ["Seizure", "Aura", "Fall", "False Alarm"]
    events = [event(number, kind, [point()] * 2) for number, kind in enumerate(kinds)]
    assert source(tmp_path, events, positive=["Seizure", "Aura"]).load().target.tolist() == [
        "Seizure",
        "Seizure",
        "other",
        "other",
    ]
    three = source(tmp_path, events, labels={"seizure": ["Seizure"], "daily": ["Fall", "Aura", "Sleep"]}).load()
    assert three.target.tolist() == ["seizure", "daily", "daily"]
    assert three.report["labels_left_out"] == {"False Alarm": 1}
    assert three.report["labels_never_met"] == ["Sleep"]
    with pytest.raises(BadData, match="no row is labelled Seizur") as caught:
        source(tmp_path, events, positive=["Seizur"]).load()
    assert "False Alarm" in str(caught.value)
    with pytest.raises(ValueError, match="either positive or labels"):
        Events(path="x", positive=["a"], labels={"b": ["c"]})


def test_events_are_filtered_by_type_sub_type_user_and_date(tmp_path: Path) -> None:
    points = [point()] * 2
    events = [
        event(1, "Seizure", points, subType="Tonic-Clonic"),
        event(2, "seizure", points, subType="Aura", userId="45"),
        event(3, "Fall", points, dataTime="03-06-2025 10:00:00"),
    ]

    def kept(**settings: Any) -> list[str]:
        groups = source(tmp_path, events, **settings).load().groups
        assert groups is not None
        return list(groups.tolist())

    assert kept(only=EventFilter(types=["Seizure"])) == ["1", "2"]
    assert kept(only=EventFilter(sub_types=["tonic-clonic"])) == ["1"]
    assert kept(only=EventFilter(users=[45])) == ["2"]
    assert kept(without=EventFilter(users=[45, 46])) == ["1", "3"]
    assert kept(without=EventFilter(types=["Fall"], users=[45])) == ["1"], "one of them is enough to be left out"
    assert kept(only=EventFilter(types=["Seizure"], users=[45])) == ["2"], "all of them are needed to be taken"
    assert kept(only=EventFilter(since="2025-01-01")) == ["3"]
    assert kept(only=EventFilter(before="2025-01-01"), without=EventFilter(users=[45])) == ["1"]
    assert source(tmp_path, events, only=EventFilter(users=[45])).load().report["events_filtered_out"] == 2
    with pytest.raises(ValueError, match="is no date"):
        EventFilter(since="yesterday")


def test_times_of_all_apps_are_read() -> None:
    at = parsed("2024-03-01T10:00:00Z")
    assert at is not None
    for text in ("2024-03-01 10:00:00", "01-03-2024 10:00:00", "01/03/2024 10:00:00", "2024-03-01T11:00:00+01:00"):
        assert parsed(text) == at
    assert parsed("soon") is None
    assert parsed(7) is None


def test_seizure_times_cut_an_event_or_label_its_rest(tmp_path: Path) -> None:
    # Datapoints end at :05, :10 … :60; the event is at :30, the seizure from :25 to :40.
    points = [point(5 * n, axes=False, magnitude=float(n)) for n in range(1, 13)]
    whole = [event(1, "Seizure", points, seizureTimes=[-5, 10]), event(2, "Fall", points[:2])]
    cut = source(tmp_path, whole, seizure_times="cut").load()
    assert cut.columns[WINDOWS][:, 0, 0].tolist() == [6, 7, 1]  # :25-:40 is datapoints 6, 7 and 8: two windows
    assert cut.target.tolist() == ["Seizure", "Seizure", "Fall"]
    rest = source(tmp_path, whole, seizure_times="rest", positive=["Seizure"]).load()
    assert rest.columns[WINDOWS][:, 0, 0].tolist() == [1, 2, 3, 4, 6, 7, 9, 10, 11, 1]
    assert [label == "Seizure" for label in rest.target] == [False] * 4 + [True] * 2 + [False] * 4
    first = source(tmp_path, whole, seizure_times="cut", seizure_zero="first datapoint").load()
    assert first.columns[WINDOWS][:-1, 0, 0].tolist() == [1, 2]  # from :05 - 5 s to :05 + 10 s
    assert len(source(tmp_path, whole).load().target) == 12
    whole[0]["seizureTimes"] = ["soon"]
    with pytest.raises(BadData, match="are no begin and end"):
        source(tmp_path, whole, seizure_times="cut").load()
    del whole[0]["dataTime"]
    whole[0]["seizureTimes"] = [0, 5]
    with pytest.raises(BadData, match="dataTime None is no time"):
        source(tmp_path, whole, seizure_times="cut").load()


def test_a_short_event_is_left_out_where_datapoints_are_skipped(tmp_path: Path) -> None:
    table = source(tmp_path, [event(1, "x", [point()]), event(2, "y", [point()] * 2)], skip="bad datapoints").load()
    assert (table.target.tolist(), table.report["events_too_short"]) == (["y"], 1)
    assert table.columns[WINDOWS].dtype == np.float32


def test_events_without_datapoints_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    events = [event(1, "x", [point()] * 2), event(2, "x", []), event(3, "x", []), event(4, "y", [point()] * 3)]
    events[1]["datapoints"] = None
    del events[2]["datapoints"]
    with pytest.raises(BadData, match="no list of datapoints") as refused:
        source(tmp_path, events).load()
    assert "data.skip: bad datapoints" in str(refused.value)
    table = source(tmp_path, events, skip="bad datapoints").load()
    assert (table.report["events"], table.report["events_without_datapoints"]) == (2, 2)


def test_seizure_times_may_stand_in_a_text(tmp_path: Path) -> None:
    points = [point(5 * n) for n in range(1, 9)]
    for times in ([-10, 5], "[-10.0, 5]"):
        table = source(tmp_path, [event(1, "x", points, seizureTimes=times)], seizure_times="cut").load()
        assert len(table.target) == 2
    with pytest.raises(BadData, match="no begin and end"):
        source(tmp_path, [event(1, "x", points, seizureTimes="soon")], seizure_times="cut").load()
