"""The command line: light to start, each way to end with its exit code, results on stdout and talk on stderr."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from onnxpress.core import cli, command
from onnxpress.core.errors import BadModel, MissingExtra, UsageError

HEAVY = {"numpy", "msgspec", "onnxruntime", "uvloop", "httptools", "torch", "tensorflow", "keras", "sklearn", "onnx"}


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    program = "from onnxpress.core.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], input=stdin, capture_output=True, text=True, timeout=120
    )


def modules_after(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `program`."""
    report = (
        "\nimport json, sys; print('modules', json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", program + report], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.rpartition("modules ")[2]))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nonsense"]])
def test_what_needs_no_command_imports_nothing_heavy(arguments: list[str]) -> None:
    program = f"from onnxpress.core.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass"
    assert not modules_after(program) & HEAVY


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_has_its_own_help_without_loading_what_it_runs(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: onnxpress {command} ")
    program = f"from onnxpress.core.cli import main\ntry: main([{command!r}, '--help'])\nexcept SystemExit: pass"
    # The options of serve are made of its settings' types, which msgspec holds.
    assert modules_after(program) & HEAVY <= ({"msgspec"} if command == "serve" else set())


def test_the_collector_is_off_while_a_command_is_imported_and_on_while_it_runs() -> None:
    program = (
        "import atexit, gc, sys\n"
        "from onnxpress.core import command\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name in ('click', 'onnxpress.serving.cli.doctor'): print(name, gc.isenabled())\n"
        "sys.meta_path.insert(0, Finder())\n"
        "atexit.register(lambda: print('at the end', gc.isenabled()))\n"
        "command.main()"
    )
    done = subprocess.run([sys.executable, "-c", program, "doctor", "-h"], capture_output=True, text=True, timeout=60)
    said = [line for line in done.stdout.splitlines() if line.endswith(("True", "False"))]
    assert said == ["click False", "onnxpress.serving.cli.doctor False", "at the end True"]


def test_help_lists_every_command_with_its_line() -> None:
    shown = run("--help").stdout
    for name, (_, text) in cli.COMMANDS.items():
        assert f"  {name} " in shown
        assert text in " ".join(shown.split())  # a long line is wrapped


def test_the_installed_command_is_this_one() -> None:
    (entry,) = (
        point for point in importlib.metadata.entry_points(group="console_scripts") if point.name == "onnxpress"
    )
    assert entry.load() is command.main


def test_the_version_is_the_distributions() -> None:
    assert run("--version").stdout == f"onnxpress {importlib.metadata.version('onnxpress')}\n"


def test_an_unknown_command_is_wrong_usage_and_lists_what_there_is() -> None:
    done = run("exprot", "model")
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        "no command 'exprot'; there are: init, import-config, train, port, export, verify, compare, derive, inspect, "
        "explain, tune, serve, predict, doctor" in done.stderr
    )


@pytest.mark.parametrize("arguments", [["--colour"], ["export"], ["serve", "--port", "many"]])
def test_a_wrong_option_or_argument_is_wrong_usage(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Usage:" in done.stderr


def with_command(monkeypatch: pytest.MonkeyPatch, body: Callable[[], object]) -> None:
    """Put a command `try` in the table that runs `body`."""
    command = click.Command("try", callback=body)
    monkeypatch.setattr(sys.modules[__name__], "TRIED", command, raising=False)
    monkeypatch.setitem(cli.COMMANDS, "try", (f"{__name__}:TRIED", "For a test."))


def ending(monkeypatch: pytest.MonkeyPatch, body: Callable[[], object], *arguments: str) -> int | str | None:
    with_command(monkeypatch, body)
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "try"])
    return stop.value.code


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadModel("torn", where="models/a/1", hint="copy it"), 1, "error: models/a/1: torn\n  hint: copy it\n"),
        (UsageError("no such field"), 2, "error: no such field\n"),
        (MissingExtra("export needs torch"), 1, "error: export needs torch\n"),
        (FileNotFoundError(2, "No such file or directory", "x.npz"), 1, "error: x.npz: No such file or directory\n"),
        (OSError(28, "No space left on device"), 1, "error: No space left on device\n"),
        (click.UsageError("too many"), 2, "Usage: onnxpress try"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (ZeroDivisionError("division by zero"), 1, "internal error: ZeroDivisionError: division by zero\n"),
        (MemoryError(), 1, "error: there is not enough memory\n"),
        (MemoryError("16 MiB"), 1, "error: there is not enough memory: 16 MiB\n"),
        (RuntimeError("can't start new thread"), 1, "error: no thread can be had: a limit of memory or of processes"),
    ],
)
def test_each_error_ends_with_its_code_and_a_sentence_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert ending(monkeypatch, raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("error", [BadModel("torn"), OSError(28, "full"), ZeroDivisionError("oh")])
def test_debug_shows_the_traceback_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    with_command(monkeypatch, raising(error))
    for arguments in (["--debug", "try"], ["try", "--debug"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
        assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_end_without_error_is_0_and_a_command_may_choose_1(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(monkeypatch, lambda: None) == 0
    assert ending(monkeypatch, raising(click.exceptions.Exit(1))) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_control_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    program = (
        # A shell's background job and nohup start their children with SIGINT ignored, and Python leaves it so.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import time, click\nfrom onnxpress.core import cli\n"
        "def wait():\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "import sys; sys.modules['waiting'] = sys.modules['__main__']\n"
        "command = click.Command('wait', callback=wait)\n"
        "cli.COMMANDS['wait'] = ('waiting:command', '')\ncli.main(['wait'])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.strip() == "interrupted"


@pytest.mark.skipif(os.name != "posix", reason="pipes as POSIX has them")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = "from onnxpress.core.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
