"""benchmarks.picture: no text of the picture is cut or stands outside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from benchmarks import picture

RECORD = Path(__file__).parents[2] / "benchmarks" / "records" / "2026-11-21.json"


@pytest.mark.parametrize("longest_s", [4.0, 0.4, 123.4])
def test_every_text_lies_inside_the_picture(longest_s: float) -> None:
    record = json.loads(RECORD.read_text())
    record["start"]["import tensorflow"] |= {"median_s": longest_s, "ratio": longest_s / 0.13}
    figure = picture.bars(record)
    figure.draw_without_rendering()
    frame = figure.bbox
    texts = [
        text
        for axes in figure.axes
        for text in (*axes.texts, axes._left_title, *axes.get_yticklabels())
        if text.get_text()
    ]
    assert len(texts) == 12 + 2 + 12  # a figure for every bar, two titles, a name for every bar
    for text in texts:
        box = text.get_window_extent()
        assert frame.x0 + 4 <= box.x0, text.get_text()
        assert box.x1 <= frame.x1 - 4, text.get_text()
