"""`python -m benchmarks.soundness`: sixty sound models through the whole export stage, and docs/soundness.md anew.

Goes on where it was stopped: every model is a file in build/soundness/. `--only` and `--minutes` bound the work.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.errors import OnnxpressError
from onnxpress.export.pipeline.export import export
from onnxpress.export.source import Framework, Source

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build" / "soundness"
PAGE = ROOT / "docs" / "soundness.md"
FRAMEWORKS: dict[str, Framework] = {"torch": "pytorch", "keras": "tensorflow", "sklearn": "sklearn"}
TITLES = {"torch": "PyTorch", "keras": "Keras", "sklearn": "scikit-learn"}


def main() -> None:
    """Export each until done or out of time; then print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="as torch/detection_head_best")
    parser.add_argument("--minutes", type=float, default=120.0, help="begin no model after so long")
    chosen = parser.parse_args()
    deadline = time.monotonic() + 60 * chosen.minutes
    for label, build in models():
        path = BUILD / f"{label.replace('/', '-')}.json"
        if (chosen.only and label not in chosen.only) or (path.exists() and not chosen.only):
            continue
        if time.monotonic() > deadline:
            break
        found = exported(label, build)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found) + "\n")
        print(found, file=sys.stderr, flush=True)
    text = page([json.loads(path.read_text()) for path in sorted(BUILD.glob("*.json"))], len(list(models())))
    print(text)
    PAGE.write_text(text)


def models() -> Iterator[tuple[str, Any]]:
    """`torch/ridge` and its factory, framework by framework."""
    for framework in FRAMEWORKS:
        module = importlib.import_module(f"benchmarks.soundness.{framework}_models")
        for name, build in module.MODELS.items():
            yield f"{framework}/{name}", build


def exported(label: str, build: Any) -> dict[str, Any]:
    """What became of one model: `refused` is empty where it was published."""
    framework = FRAMEWORKS[label.partition("/")[0]]
    _seeded(framework)
    model, known = build()
    known = {"example_inputs": known} if framework == "pytorch" else known
    source = Source(reference=label, name="m", framework=framework, network=model, **known)
    found: dict[str, Any] = {"model": label, "refused": ""}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        try:
            report = export(source, repository=Path(folder)).report
            found |= {"multiple": report.worst_multiple, "floor": report.floor, "power": str(report.power)}
        except OnnxpressError as error:
            found["refused"] = error.what
        except Exception as error:
            found["refused"] = f"{type(error).__name__}: {error}"
    return found


def _seeded(framework: Framework) -> None:
    np.random.seed(0)
    if framework == "pytorch":
        import torch

        torch.manual_seed(0)
    elif framework == "tensorflow":
        import keras

        keras.utils.set_random_seed(0)


def page(found: list[dict[str, Any]], known: int) -> str:
    """The page of what was exported so far, of so many known models."""
    refused = [one for one in found if one["refused"]]
    multiples = [one["multiple"] for one in found if not one["refused"]]
    lines = [
        "# Sound models",
        "",
        f"Written by `python -m benchmarks.soundness` on {datetime.now(UTC).date().isoformat()}. "
        f"{len(found)} of {known} sound models went through the whole export. They are of kinds that are easily "
        "refused wrongly: classifiers trained on rare classes, masks, caches, detection heads, float64 tables, weights "
        "that are folded. None may be refused.",
        "",
        "| framework | models | refused | worst distance, median | largest |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for framework, title in TITLES.items():
        own = [one for one in found if one["model"].startswith(f"{framework}/")]
        far = [one["multiple"] for one in own if not one["refused"]]
        figures = f"{np.median(far):.2f} | {max(far):.2f}" if far else "– | –"
        lines.append(f"| {title} | {len(own)} | {sum(bool(one['refused']) for one in own)} | {figures} |")
    lines += ["", f"Distances are in noise floors, of which 10 are accepted. {len(multiples)} were published.", ""]
    lines += ["## Refused", ""]
    lines += [f"- `{one['model']}`: {_short(one['refused'])}" for one in refused] or ["None."]
    return "\n".join(lines) + "\n"


def _short(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith("failed: ")]
    return " ".join([*lines[:1], *(failed or lines[1:3])])[:400].replace("|", "\\|")


if __name__ == "__main__":
    main()
