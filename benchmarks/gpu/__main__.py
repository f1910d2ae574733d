"""`make gpu-check`, or `python -m benchmarks.gpu`: whether CUDA works here, whether it is right, and how fast it is.

Every section is a process of its own with a limit, and writes what it has as it goes: one that fails, hangs or dies
costs its own figures only. With `--provider cpu --small` every step runs on the CPU in a minute or two, so that faults
of this program cost no time of a GPU. Writes `record.json` and `record.png` into OUT.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "doctor": 30.0,
    "publishing": 240.0,
    "tests": 60.0,
    "answers": 60.0,
    "rates": 90.0,
    "serving": 130.0,
    "starting": 40.0,
    "reloads": 40.0,
}
"""section → seconds at most, in the order of importance; `tests` runs beside `publishing`"""
_SOURCES = ("core", "training", "export", "serving")


def main() -> None:
    """Run the sections, each in its turn, and write the record after every one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--provider", default="cuda:0", help="cpu tries the program itself")
    parser.add_argument("--seconds", type=float, default=400.0, help="for everything")
    parser.add_argument("--small", action="store_true", help="little of everything")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--repository", type=Path, help="where the models are, or go")
    parser.add_argument("--section", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.section:
        _section(chosen.section, chosen.out, chosen.repository, chosen.provider, chosen.seconds, chosen.small)
        return
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="onnxpress-gpu-") as work:
        folder = Path(work)
        repository = chosen.repository or folder / "models"
        repository.mkdir(parents=True, exist_ok=True)
        _run(chosen, folder, repository, time.monotonic() + chosen.seconds)


def _run(chosen: argparse.Namespace, folder: Path, repository: Path, ends: float) -> None:
    record: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "provider": chosen.provider}
    record |= {"small": chosen.small, "gpu": _gpu(), "sections": {}, "seconds": {}}
    names = chosen.only or list(SECTIONS)

    def started(name: str) -> tuple[subprocess.Popen[bytes], float, float]:
        seconds = max(5.0, min(SECTIONS[name], ends - time.monotonic() - 5))
        command = [sys.executable, "-m", "benchmarks.gpu", str(folder), "--section", name, "--seconds", str(seconds)]
        command += ["--provider", chosen.provider, "--repository", str(repository)]
        command += ["--small"] if chosen.small else []
        began = time.monotonic()
        return subprocess.Popen(command, cwd=ROOT, env=_environment(), start_new_session=True), began, seconds

    def finished(name: str, running: tuple[subprocess.Popen[bytes], float, float]) -> None:
        process, began, seconds = running
        try:
            process.wait(timeout=max(1.0, began + seconds + 5 - time.monotonic()))
            problem = "" if process.returncode == 0 else f"the section ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"cut off after {seconds:.0f} s"
        if process.poll() is None or problem:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        file = folder / f"{name}.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        record["sections"][name] = found | ({"problem": problem} if problem else {})
        record["seconds"][name] = round(time.monotonic() - began, 1)
        (chosen.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")
        print(f"== {name}: {record['seconds'][name]} s {problem}", flush=True)

    beside = None
    for name in names:
        if name == "tests" and beside is not None:
            continue
        if ends - time.monotonic() < 10:
            record["sections"][name] = {"problem": "no time was left"}
            continue
        print(f"== {name}", flush=True)
        if name == "publishing" and "tests" in names:
            beside = started("tests")
        finished(name, started(name))
        if name == "doctor" and chosen.provider != "cpu" and (why := _unusable(record["sections"][name])):
            print(f"CUDA cannot be used here, nothing else was tried: {why}", file=sys.stderr)
            raise SystemExit(1)
        if name == "publishing" and beside is not None:
            finished("tests", beside)
    (chosen.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    try:
        from benchmarks.gpu import picture

        picture.draw(record, chosen.out / "record.png")
    except Exception as error:  # the record is what counts
        print(f"no picture: {type(error).__name__}: {error}", file=sys.stderr)
    print(chosen.out / "record.json")


def _unusable(section: dict[str, Any]) -> str:
    """Why no GPU ran the tiny model, as far as doctor tells; empty where one did."""
    doctor = section.get("doctor") or {}
    state = doctor.get("cuda") or {"problem": f"no CUDA provider in onnxruntime: {doctor}"}
    told = [one["ran"] for one in state.get("devices", {}).values()]
    if any(one.startswith("a tiny model ran") for one in told):
        return ""
    return str(state.get("problem") or told)


def _environment() -> dict[str, str]:
    """The source folders on the path too: a bare machine has no install of this."""
    path = [str(ROOT), *(str(ROOT / name) for name in _SOURCES), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "PYTHONUNBUFFERED": "1"}


def _section(name: str, folder: Path, repository: Path, provider: str, seconds: float, small: bool) -> None:
    from benchmarks.gpu.progress import Progress

    progress = Progress(folder / f"{name}.json", seconds)
    if name == "doctor":
        from benchmarks import machine
        from onnxpress.serving.cli.doctor import diagnosis

        progress.attempt("machine", run=machine.describe)
        progress.attempt("doctor", run=diagnosis)
        return
    importlib.import_module(f"benchmarks.gpu.{name}").measure(progress, repository, provider, small=small)


def _gpu() -> dict[str, str]:
    """What nvidia-smi says; empty where there is none."""
    wanted = ("name", "driver_version", "memory.total", "memory.used", "compute_cap", "clocks.sm", "power.draw")
    command = ["nvidia-smi", f"--query-gpu={','.join(wanted)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(wanted, (word.strip() for word in done.stdout.splitlines()[0].split(",")), strict=False))


if __name__ == "__main__":
    main()
