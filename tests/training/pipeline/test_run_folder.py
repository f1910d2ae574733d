"""A run appears whole or not at all, and never over another one."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onnxpress.core.errors import UsageError
from onnxpress.training.pipeline.run_folder import _begun, refuse_if_written, run_folder


def finished(output: Path, name: str = "run") -> Path:
    with run_folder(output, name) as draft:
        (draft.folder / "run.json").write_text("{}")
        return draft.finish()


def test_a_second_run_stands_beside_the_first(tmp_path: Path) -> None:
    output = tmp_path / "made" / "on the way"
    assert [finished(output).name for _ in range(3)] == ["run", "run-2", "run-3"]
    assert sorted(path.name for path in output.iterdir()) == ["run", "run-2", "run-3"]
    assert (output / "run-2" / "run.json").is_file()


def test_a_folder_or_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").write_text("a file")
    assert finished(tmp_path).name == "run-3"
    assert list((tmp_path / "run").iterdir()) == []


def test_runs_at_the_same_time_get_names_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: finished(tmp_path), range(16)))
    assert len(set(folders)) == 16
    assert all((folder / "run.json").is_file() for folder in folders)


def interrupted(output: Path, reason: BaseException) -> None:
    with run_folder(output, "run") as draft:
        (draft.folder / "weights").write_text("half")
        raise reason


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), ValueError("broken")])
def test_a_failed_run_leaves_nothing(reason: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(reason)):
        interrupted(tmp_path, reason)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_does_not_look_finished(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from onnxpress.training.pipeline.run_folder import run_folder\n"
        "with run_folder(pathlib.Path(sys.argv[1]), 'run') as draft:\n"
        "    (draft.folder / 'run.json').write_text('{}')\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
    assert finished(tmp_path).name == "run"


def test_an_output_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make a folder here"), run_folder(tmp_path / "file", "run"):
        pass


def test_termination_says_how_to_go_on_as_an_interrupt_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminated() -> None:
        with run_folder(tmp_path, "x") as draft:
            (draft.folder / "checkpoint.npz").write_bytes(b"")
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    with pytest.raises(KeyboardInterrupt):
        terminated()
    (left,) = tmp_path.iterdir()
    assert f"go on with: onnxpress train --resume {left}" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupt_before_the_first_checkpoint_says_that_nothing_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt), run_folder(tmp_path, "x"):
        raise KeyboardInterrupt
    assert "nothing is kept" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def left_behind(output: Path) -> Path:
    """What a run leaves that was interrupted after its first checkpoint."""
    with contextlib.suppress(KeyboardInterrupt), run_folder(output, "x") as draft:
        (draft.folder / "checkpoint.npz").write_bytes(b"")
        raise KeyboardInterrupt
    return draft.folder


def test_the_line_can_be_typed_whatever_the_folder_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = left_behind(tmp_path / "my runs")
    assert shlex.split(capsys.readouterr().err.strip())[-1] == str(left)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="when a process began is read from /proc")
def test_another_process_with_the_number_of_the_killed_one_is_not_it(tmp_path: Path) -> None:
    left, parent = left_behind(tmp_path), os.getppid()
    number, begun = (left / "owner.pid").read_text().split()
    assert (int(number), begun) == (os.getpid(), _begun(os.getpid()))
    (left / "owner.pid").write_text(f"{parent} {int(begun) + 1}")
    refuse_if_written(left)
    (left / "owner.pid").write_text(f"{parent} {_begun(parent)}")
    with pytest.raises(UsageError, match="still being written"):
        refuse_if_written(left)
