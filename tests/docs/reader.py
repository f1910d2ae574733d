"""A reader who types a page's blocks from top to bottom in an empty folder: commands, Python, files, and a server."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from tests.docs.pages import ROOT, Block

COMMAND_SECONDS = 200
START_SECONDS = 60
STOP_SECONDS = 40

_PORT = re.compile(r"(?<=127\.0\.0\.1:)8000|(?<=localhost:)8000")
_SERVE = re.compile(r"(?:[A-Z_]+=\S+ )*onnxpress serve\b")
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?")


class Reader:
    """Runs the blocks of one page. Leaves nothing running once it is closed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # As in an active virtual environment, and with no settings of whoever runs the tests.
        venv = Path(sys.executable).parent
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("ONNXPRESS_")}
        self._environment |= {"PATH": f"{venv}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": ""}
        self._port = _free_port()
        self._server: subprocess.Popen[str] | None = None
        self._interpreter: subprocess.Popen[str] | None = None

    def read(self, block: Block) -> None:
        """Do what the block says. AssertionError, with the block's place, where something else comes out."""
        text = _PORT.sub(str(self._port), block.text)
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif block.language == "python":
            self._python(block, text)
        elif block.language == "console":
            self._console(block, text)
        elif block.language == "sh":
            for command in _commands(text):
                self._run(block, command, 0)
        elif block.language in _PARSERS:
            _PARSERS[block.language](text)
        else:
            raise AssertionError(
                f"{block.place}: nothing is known of running {block.language or 'a block without language'}"
            )

    def close(self) -> None:
        """End the server and the interpreter. AssertionError where the server does not end well."""
        if self._interpreter:
            self._interpreter.communicate()
        self._stop_server()

    # Commands

    def _console(self, block: Block, text: str) -> None:
        """Each command, held against the lines below it."""
        parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        assert not parts[0].strip(), f"{block.place}: a console block begins with `$ `"
        for number, part in enumerate(parts[1:], 1):
            lines = part.splitlines()
            length = next((at for at, line in enumerate(lines, 1) if not line.endswith("\\")), len(lines))
            wanted = block.exit_code if number == len(parts) - 1 else 0
            said = self._run(block, "\n".join(lines[:length]), wanted)
            _compare(block, said, lines[length:])

    def _run(self, block: Block, command: str, exit_code: int) -> str:
        """What it said on stdout and stderr together."""
        if _SERVE.match(command):
            return self._serve(block, command)
        if command.startswith("pip install "):
            _check_extras(block, command)
            return ""
        if command.startswith("make ") and "| " not in command:
            command = f"make -n -C {ROOT} {command.removeprefix('make ')}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == exit_code, f"{block.place}: {command}\nexit {done.returncode}:\n{done.stdout}"
        return done.stdout

    # The server

    def _serve(self, block: Block, command: str) -> str:
        """Started beside the reader, who goes on when it has printed its URL. Its pid is $PID in later commands."""
        self._stop_server()
        command = re.sub(r"\s*&(\s*PID=\$!)?\s*$", "", command)
        if "--port" not in command and "--unix" not in command:
            command += f" --port {self._port}"
        with (self.folder / ".server.log").open("w") as log:
            self._server = server = subprocess.Popen(
                ["bash", "-c", re.sub(r"(?=onnxpress serve)", "exec ", command, count=1)],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._environment["PID"] = str(server.pid)
        assert server.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(server.stdout, selectors.EVENT_READ)
            ready = waiting.select(START_SECONDS)
        url = server.stdout.readline() if ready else ""
        assert url, f"{block.place}: {command}: no URL:\n{(self.folder / '.server.log').read_text()}"
        return url

    def _stop_server(self) -> None:
        if self._server is None:
            return
        server, self._server = self._server, None
        server.send_signal(signal.SIGTERM)
        try:
            server.communicate(timeout=STOP_SECONDS)
        finally:
            server.kill()  # does nothing to one that has ended
        log = (self.folder / ".server.log").read_text()
        assert server.returncode == 0, f"the server ended with {server.returncode}:\n{log}"

    # Python

    def _python(self, block: Block, text: str) -> None:
        if self._interpreter is None:
            self._interpreter = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("interpreter.py"))],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._interpreter.stdin is not None
        assert self._interpreter.stdout is not None
        asked = {"code": text, "name": block.page, "line": block.line}
        self._interpreter.stdin.write(json.dumps(asked) + "\n")
        self._interpreter.stdin.flush()
        answer = self._interpreter.stdout.readline()
        assert answer, f"{block.place}: the interpreter died"
        error = json.loads(answer)["error"]
        assert error is None, f"{block.place}:\n{error}"


def _commands(text: str) -> list[str]:
    """A sh block cut where a server starts; the rest is one script each."""
    commands: list[str] = []
    script: list[str] = []
    for line in text.splitlines():
        if _SERVE.match(line) or line.startswith(("pip install ", "make ")):
            commands += ["\n".join(script), line]
            script = []
        else:
            script.append(line)
    return [
        one.partition("  # ")[0] if "\n" not in one else one for one in (*commands, "\n".join(script)) if one.strip()
    ]


def _compare(block: Block, said: str, wanted: list[str]) -> None:
    """Every wanted line is said, in that order; `...` stands for anything. Others may stand between them."""
    left = iter(said.splitlines())
    for line in wanted:
        if not line.strip() or line.strip() == "...":
            continue
        pattern = _pattern(line, block.figures_vary)
        if not any(pattern.fullmatch(_plain(one, block.figures_vary)) for one in left):
            raise AssertionError(f"{block.place}: the command does not say\n{line}\nbut\n{said}")


def _pattern(line: str, figures_vary: bool) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _plain(line, figures_vary).split("..."))))


def _plain(line: str, figures_vary: bool) -> str:
    line = " ".join(line.split())
    return _NUMBER.sub("0", line) if figures_vary else line


def _check_extras(block: Block, command: str) -> None:
    """A pip line is not run, but the extras that it names are this project's."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"onnxpress\[([\w,]+)\]", command):
        absent = set(named.split(",")) - set(extras)
        assert not absent, f"{block.place}: there is no extra {', '.join(absent)}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read_yaml(text: str) -> Any:

    return yaml.safe_load(text)


_PARSERS: dict[str, Any] = {"yaml": _read_yaml, "json": json.loads, "toml": tomllib.loads}
