"""The command `doctor`: what is installed here, what that allows, and the pip line for what is missing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

_EXTRAS = {
    "serving": ("numpy", "msgspec", "httptools", "uvloop"),
    "cpu": ("onnxruntime",),
    "cuda": ("onnxruntime-gpu",),
    "pytorch": ("torch", "onnx", "onnxscript", "safetensors", "scikit-learn", "matplotlib", "pyyaml"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "onnx", "scikit-learn", "matplotlib", "pyyaml"),
    "sklearn": ("scikit-learn", "skl2onnx", "onnx"),
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(as_json: bool) -> None:
    """Show what is installed here, what is missing for what, and the pip line that brings it."""
    found = diagnosis()
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
        return
    click.echo(f"onnxpress {found['onnxpress']} on Python {found['python']}, {found['platform']}")
    click.echo(
        f"CPUs for this process: {found['cpus']}; execution providers: {', '.join(found['providers']) or 'none'}"
    )
    for extra, packages in found["extras"].items():
        missing = [name for name, number in packages.items() if number is None]
        state = "complete" if not missing else f"missing {', '.join(missing)}"
        click.echo(f"  {extra:10} {state}")
    for problem in found["problems"]:
        click.echo(f"problem: {problem}")


def diagnosis() -> dict[str, Any]:
    """Everything that `doctor` prints. Only onnxruntime is imported, for its list of providers."""
    from onnxpress.core.errors import MissingExtra
    from onnxpress.serving.engine.runtime import onnxruntime
    from onnxpress.serving.engine.threads import available_cpus

    problems = []
    try:
        providers = list(onnxruntime().get_available_providers())
    except MissingExtra as error:
        providers = []
        problems.append(f"{error.what}; {error.hint}")
    extras = {extra: {name: _version(name) for name in names} for extra, names in _EXTRAS.items()}
    if os.name == "nt":
        extras["serving"].pop("uvloop")
    both = _version("onnxruntime") is not None and _version("onnxruntime-gpu") is not None
    if both:
        problems.append("onnxruntime and onnxruntime-gpu are both installed and share one folder; uninstall one")
    return {
        "onnxpress": _version("onnxpress"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": available_cpus(),
        "providers": providers,
        "telemetry_disabled": os.environ.get("ORT_DISABLE_TELEMETRY") == "1",
        "extras": extras,
        "problems": problems,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
