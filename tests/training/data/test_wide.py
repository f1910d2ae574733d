"""Windows from CSV files that hold a stretch of samples a line, from long ones in any dialect, and from arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData
from onnxpress.training.data.motion import Samples, WideSamples
from onnxpress.training.data.vectors import Vectors
from onnxpress.training.data.windows import WINDOWS


def wide_file(folder: Path, rows: list[str], header: str = "eventId,typeStr,type,M000,M001,M002") -> str:
    path = folder / "flat.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def test_lines_of_one_event_make_windows(tmp_path: Path) -> None:
    rows = [
        '7,"Seizure/Tonic-Clonic",1,1,2,3',
        '7,"Seizure/Tonic-Clonic",1,4,5,6',
        '8,"Fall/",2,7,8,9',
        '8,"Fall/",2,0,0,1',
    ]
    path = wide_file(tmp_path, rows)
    table = WideSamples(path=path, event="eventId", target="typeStr", lines=2, positive=["Seizure/Tonic-Clonic"]).load()
    assert table.columns[WINDOWS][:, :, 0].tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 0, 0, 1]]
    assert table.target.tolist() == ["Seizure/Tonic-Clonic", "other"]
    alone = WideSamples(path=path, target="type", labels={"seizure": ["1"], "other": ["0", "2"]}).load()
    assert (alone.columns[WINDOWS].shape, alone.target.tolist()) == ((4, 3, 1), ["seizure"] * 2 + ["other"] * 2)


def test_axes_stand_side_by_side_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = wide_file(tmp_path, ["a,12,1,11,2"], header="label,X1,Y0,Y1,X0".replace("X1,Y0,Y1,X0", "X1,X0,Y1,Y0"))
    windows = WideSamples(path=path, axes=("X", "Y")).load().columns[WINDOWS]
    assert windows.tolist() == [[[1, 2], [12, 11]]]


@pytest.mark.parametrize(
    ("header", "row", "settings", "message"),
    [
        ("label,M0,M2", "a,1,2", {}, "lack number 1"),
        ("label,Q0,Q1", "a,1,2", {}, "no column is called M and a number"),
        ("label,X0,X1,Y0", "a,1,2,3", {"axes": ("X", "Y")}, "different numbers of columns: X 2, Y 1"),
        ("label,M0,M1", "a,1,None", {}, "'None' is no finite number in column 'M1'"),
        ("lable,M0,M1", "a,1,2", {}, "no column 'label'"),
        ("e,label,M0,M1", "7,a,1,2", {"event": "e", "lines": 2}, "has 1 lines, a window takes 2"),
    ],
)
def test_what_is_wrong_is_named(header: str, row: str, settings: Any, message: str, tmp_path: Path) -> None:
    source = WideSamples(path=wide_file(tmp_path, [row], header), **settings)
    with pytest.raises(BadData, match=message):
        source.load()


def test_lines_without_numbers_are_skipped_on_purpose_and_counted(tmp_path: Path) -> None:
    rows = ["7,x,1,1,2,3", "7,x,1,None,,", "7,x,1,4,5,6", "7,x,1,7,8,9"]
    source = WideSamples(path=wide_file(tmp_path, rows), event="eventId", target="type", lines=2, skip="bad datapoints")
    table = source.load()
    assert table.columns[WINDOWS][:, :, 0].tolist() == [[4, 5, 6, 7, 8, 9]]
    assert (table.report["lines"], table.report["datapoints_skipped"]) == (4, 1)


def test_long_files_come_in_any_dialect_and_number(tmp_path: Path) -> None:
    for part in range(2):
        lines = [f"e{part};up;{n},5;0;1" for n in range(4)]
        (tmp_path / f"{part}.csv").write_text("\n".join(["event;label;x;y;z", *lines]))
    from onnxpress.training.data.delimited import Dialect

    table = Samples(path=str(tmp_path), window=4, dialect=Dialect(decimal=","), positive=["up"]).load()
    assert table.columns[WINDOWS].shape == (2, 4, 3)
    assert table.columns[WINDOWS][0, :, 0].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_arrays_of_windows_may_have_other_names_and_numbers_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    x = np.arange(12.0).reshape(3, 4)
    np.savez(path, X=x, y=np.array([0, 1, 1]), subject=np.array([4, 4, 5]))
    named = {"X": "windows", "y": "labels", "subject": "groups"}
    table = Vectors(path=str(path), arrays=named).load()
    assert (table.columns[WINDOWS].shape, table.columns[WINDOWS].dtype) == ((3, 4, 1), np.float32)
    assert table.groups is not None
    assert (table.target.tolist(), table.groups.tolist()) == (["0", "1", "1"], ["4", "4", "5"])
    with pytest.raises(BadData, match="no array 'Z'"):
        Vectors(path=str(path), arrays={"Z": "windows"}).load()
    with pytest.raises(BadData, match="holds X, y, subject"):
        Vectors(path=str(path)).load()
    np.savez(path, windows=x, labels=np.array([0.5, 1, 1]))
    with pytest.raises(BadData, match="labels are float64"):
        Vectors(path=str(path)).load()
    x[1, 2] = np.inf
    np.savez(path, windows=x, labels=np.array(["a", "b", "c"]))
    with pytest.raises(BadData, match="row 1 of windows is not finite"):
        Vectors(path=str(path)).load()


def test_short_events_of_long_files_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    lines = [f"e{event},up,{n},0,1" for event, count in ((1, 5), (2, 3)) for n in range(count)]
    (tmp_path / "t.csv").write_text("\n".join(["event,label,x,y,z", *lines]))
    with pytest.raises(BadData, match="'e2' has 3 samples"):
        Samples(path=str(tmp_path), window=4, step=1).load()
    table = Samples(path=str(tmp_path), window=4, step=1, short="leave_out").load()
    assert (len(table.target), table.report["events_too_short"]) == (2, 1)


def test_labels_that_are_whole_floats_are_numbers_and_objects_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, windows=np.zeros((3, 4)), labels=np.array([0.0, 1.0, 1.0]))
    assert Vectors(path=str(path)).load().target.tolist() == ["0", "1", "1"]
    np.savez(path, windows=np.zeros((1, 4)), labels=np.array(["a"], object))
    with pytest.raises(BadData, match="cannot be read") as refused:
        Vectors(path=str(path)).load()
    assert "np.asarray(values, str)" in str(refused.value)
