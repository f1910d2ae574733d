"""The command `doctor`: what is installed here, what that allows, and the pip line for what is missing."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import Any

import click

_RUNTIMES = ("cpu", "cuda")
"""extras that exclude each other: both packages own the folder onnxruntime/"""
_NOT_LISTED = ("dev", "docs")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Show what is installed here, what is missing for what, and the pip line that brings it."""
    found = diagnosis()
    if as_json:
        from onnxpress.core.indented_json import indented

        click.echo(indented(found), nl=False)
        return
    click.echo(f"onnxpress {found['onnxpress'] or '(not installed)'} on Python {found['python']}, {found['platform']}")
    click.echo(f"the server's hot path: {'compiled' if found['compiled'] else 'not compiled; a wheel has it compiled'}")
    click.echo(f"CPUs for this process: {found['cpus']}")
    click.echo(f"execution providers: {', '.join(found['providers']) or 'none'}")
    for line in _told(found["cuda"]):
        click.echo(line)
    click.echo(f"telemetry of ONNX Runtime: {'off' if found['telemetry_disabled'] else 'not loaded'}")
    for extra, state in found["extras"].items():
        missing = state["missing"]
        click.echo(f"  {extra:10} {'complete' if not missing else 'missing ' + ', '.join(missing)}")
        if state["install"]:
            click.echo(f"  {'':10} {state['install']}")
    for problem in found["problems"]:
        click.echo(f"problem: {problem}")


def diagnosis() -> dict[str, Any]:
    """Everything that `doctor` prints. Only onnxruntime is imported, for its providers and a try of the GPUs."""
    from onnxpress.core.errors import MissingExtra
    from onnxpress.serving.engine.runtime import onnxruntime
    from onnxpress.serving.engine.threads import available_cpus

    problems = []
    try:
        providers = list(onnxruntime().get_available_providers())
    except MissingExtra as error:
        providers = []
        problems.append(f"{error.what}; {error.hint}")
    except ImportError as error:
        providers = []
        problems.append(f"onnxruntime is installed and cannot be loaded: {error}")
    wanted = _wanted()
    extras: dict[str, dict[str, Any]] = {}
    for extra, names in wanted.items():
        versions = {name: _version(name) for name in names}
        missing = [name for name, number in versions.items() if number is None]
        extras[extra] = {"packages": versions, "missing": missing, "install": _install(extra) if missing else None}
    present = [extra for extra in _RUNTIMES if extra in extras and not extras[extra]["missing"]]
    if len(present) > 1:
        problems.append(
            "onnxruntime and onnxruntime-gpu are both installed and share one folder; "
            "pip uninstall onnxruntime onnxruntime-gpu, then install the one you want"
        )
    for extra in _RUNTIMES:
        if present and extra not in present and extra in extras:
            extras[extra]["install"] = None  # it would break the one that is here
    return {
        "onnxpress": _version("onnxpress"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "compiled": _compiled(),
        "cpus": available_cpus(),
        "providers": providers,
        "cuda": _cuda() if "CUDAExecutionProvider" in providers else None,
        "telemetry_disabled": os.environ.get("ORT_DISABLE_TELEMETRY") == "1",
        "extras": extras,
        "problems": problems,
    }


def _cuda() -> dict[str, Any]:
    """What there is for the CUDA provider: driver, device and libraries, and whether a tiny model really ran there."""
    from onnxpress.core.errors import OnnxpressError
    from onnxpress.serving.engine import probe

    try:
        return probe.cuda_state()
    except OnnxpressError as error:
        return {"problem": str(error).replace("\n  hint: ", "; ")}


def _told(cuda: dict[str, Any] | None) -> list[str]:
    if cuda is None:
        return []
    if "problem" in cuda:
        return [f"CUDA: cannot be used: {cuda['problem']}"]
    first = f"CUDA {cuda['runtime']}, cuDNN {cuda['cudnn'] or 'missing'}, driver {cuda['driver'] or 'unknown'}"
    lines = [f"{first} (for CUDA up to {cuda['cuda']})"]
    lines += [
        f"  {name}: {one['name']}, {one['memory'] / 2**30:.0f} GiB, "
        f"compute capability {one['capability']}: {one['ran']}"
        for name, one in cuda["devices"].items()
    ]
    folders = sorted({os.path.dirname(path) for path in cuda["libraries"].values()})
    return [*lines, f"  its libraries are those in {', '.join(folders)}"]


def _compiled() -> bool:
    """Whether what every request goes through runs as machine code; see scripts/compile_hot_path.py."""
    found = find_spec("onnxpress.serving.batching.batcher")
    return found is not None and not str(found.origin).endswith(".py")


def _wanted() -> dict[str, list[str]]:
    """Extra → packages, as this installation of onnxpress declares them; `base` is what every install needs."""
    found: dict[str, list[str]] = {"base": []}
    try:
        declared = requires("onnxpress") or []
    except PackageNotFoundError:  # run from its source folders
        declared = []
    for requirement in declared:
        package, _, marker = requirement.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", package)
        if name is None or ("win32" in marker and os.name == "nt"):
            continue
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", marker)
        group = extra[1] if extra else "base"
        if group not in _NOT_LISTED:
            found.setdefault(group, []).append(name[0])
    return found


def _install(extra: str) -> str:
    return "pip install onnxpress" if extra == "base" else f'pip install "onnxpress[{extra}]"'


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
