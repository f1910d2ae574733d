"""Progress is a bar that rewrites itself on a terminal, and few lines elsewhere."""

from __future__ import annotations

import io

import pytest

from onnxpress.core.progress import Progress, step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_it_says_start_and_end_in_lines() -> None:
    stream = io.StringIO()
    with Progress("epochs", total=1000, stream=stream) as progress:
        for _ in range(1000):
            progress.advance("loss 0.1")
    first, last = stream.getvalue().splitlines()
    assert first.startswith("epochs 0/1000")
    assert last.startswith("epochs 1000/1000")
    assert last.endswith("loss 0.1")
    assert "\r" not in stream.getvalue()


def test_on_a_terminal_the_bar_fills_and_ends_its_line() -> None:
    stream = Terminal()
    with Progress("epochs", total=4, stream=stream) as progress:
        progress.advance(steps=4)
    drawn = stream.getvalue().split("\r")
    assert "·" * 20 in drawn[1]
    assert "█" * 20 in drawn[-1]
    assert drawn[-1].endswith("\n")
    assert stream.getvalue().count("\n") == 1


def test_an_interrupted_one_says_how_far_it_came() -> None:
    stream = io.StringIO()

    def stop() -> None:
        with Progress("epochs", total=50, stream=stream) as progress:
            progress.advance()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert stream.getvalue().splitlines()[-1].startswith("epochs 1/50")


def test_nothing_to_do_is_done() -> None:
    stream = Terminal()
    with Progress("files", total=0, stream=stream):
        pass
    assert "█" * 20 in stream.getvalue()


def test_talk_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("epochs", total=1):
        pass
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("epochs 0/1")


def test_a_step_is_told_with_its_seconds_and_one_that_fails_without(capsys: pytest.CaptureFixture[str]) -> None:
    with step("measuring"):
        pass
    with pytest.raises(ValueError, match="no"), step("publishing"):
        raise ValueError("no")
    captured = capsys.readouterr()
    assert captured.out == ""
    begun, done, *rest = captured.err.splitlines()
    assert begun == "measuring …"
    assert done.startswith("  measuring: ")
    assert done.endswith(" s")
    assert rest == ["publishing …"]
