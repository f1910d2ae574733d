"""The page of the sweeps says of each family what its newest record says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.sweeps.__main__ import read, write_page, write_record


def row(model: str, **told: Any) -> dict[str, Any]:
    return {
        "model": model,
        "state": "equal",
        "worst": 1.5,
        "reason": "",
        "floor": "float64",
        "switched_off": [],
        "batch_safe": True,
        "rows": "proven",
        "seconds": 10.0,
        "date": "2026-11-28",
        "versions": {"onnxruntime": "1.31.1"},
        **told,
    }


def test_a_sweep_of_one_family_leaves_what_is_said_of_the_other(tmp_path: Path) -> None:
    write_record(tmp_path / "sweep-transformers.jsonl", {"bert": row("bert")}, ["bert"])
    write_record(tmp_path / "sweep-keras.jsonl", {"MobileNet": row("MobileNet")}, ["MobileNet", "Xception"])
    write_page(tmp_path, tmp_path / "sweeps.md")
    page = (tmp_path / "sweeps.md").read_text()
    assert "| MobileNet | equal |" in page
    assert "| bert | equal |" in page


def test_newer_rows_replace_those_of_the_record_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "sweep-keras.jsonl"
    write_record(path, {"B": row("B"), "A": row("A"), "gone": row("gone")}, ["A", "B", "gone"])
    write_record(path, {"B": row("B", worst=3.0)}, ["A", "B"])
    assert [(json.loads(line)["model"], json.loads(line)["worst"]) for line in path.read_text().splitlines()] == [
        ("A", 1.5),
        ("B", 3.0),
    ]
    assert list(read(path)) == ["A", "B"]


def test_the_page_says_how_many_are_proven_and_what_is_not(tmp_path: Path) -> None:
    rows = {
        "A": row("A"),
        "B": row("B", rows="measured"),
        "C": row("C", batch_safe=False, rows="dependent (Mean)"),
        "D": row("D", state="refused", worst=None, reason="error: benchmarks.sweeps.keras_models:D: it | fails"),
    }
    write_record(tmp_path / "sweep-keras.jsonl", rows, list(rows))
    write_page(tmp_path, tmp_path / "sweeps.md")
    page = (tmp_path / "sweeps.md").read_text()
    assert "3 of 4 equal. 1 of 2 that are batched are proven in their rows." in page
    assert "rows measured" in page
    assert "rows are not answered alone as in a batch" in page
    assert "- `D`: it \\| fails" in page


def test_the_page_says_which_rows_are_older(tmp_path: Path) -> None:
    rows = {"A": row("A"), "B": row("B", date="2026-11-21")}
    write_record(tmp_path / "sweep-keras.jsonl", rows, list(rows))
    write_page(tmp_path, tmp_path / "sweeps.md")
    assert "Of 1 the row is older: B (2026-11-21)." in (tmp_path / "sweeps.md").read_text()
