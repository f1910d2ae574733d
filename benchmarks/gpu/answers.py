"""Whether the answers are right: goldens in noise floors, and batches of 1 to 64 against the CPU's answers.

The floors are those that `export` measured against float64; TF32 stands beside as a rung of its own. What differs by
the convolution's algorithm, by the layout and by the graph's replay is told by the contenders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.progress import Progress
from benchmarks.gpu.subjects import Contender, contenders, published, rows
from onnxpress.core import golden
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine import Engine

_BATCHES = (1, 3, 16, 64)


def measure(progress: Progress, repository: Path, provider: str, *, small: bool) -> None:
    """Model → contender → worst multiple, error and where the nodes went."""
    models = published(repository)
    batches = _BATCHES[:2] if small else _BATCHES
    for name, contender in contenders(provider).items():
        for model, path in models.items():
            if name == "cpu":
                progress.attempt(model, name, run=lambda p=path, c=contender: _golden(c.load(p), p))
                continue
            if progress.left < 5:
                progress.put("no time was left", model, name, "error")
                continue
            progress.attempt(model, name, run=lambda p=path, c=contender: _against(c, p, batches))


def _golden(engine: Engine, path: Path) -> dict[str, Any]:
    manifest = read_manifest(path.parent)
    assert manifest is not None
    worst, padding = 0.0, 0.0
    for case in golden.read(path.parent / golden.FILE_NAME):
        answers = engine.run(case.inputs)
        worst = max(worst, *golden.worst_multiple(case, answers).values())
        # Asked again after another batch: rows that stay behind in a padded graph must change nothing.
        count = len(next(iter(case.inputs.values())))
        if count:
            engine.run(rows(path, count + 1))
            again = engine.run(case.inputs)
            padding = max(padding, *(float(np.abs(again[key] - answers[key]).max(initial=0.0)) for key in answers))
    limit = manifest.equivalence.limit
    return {
        "worst_multiple": worst,
        "limit": limit,
        "within": worst <= limit,
        "changed_when_asked_again": padding,
        "placement": engine.placement(),
    }


def _against(contender: Contender, path: Path, batches: tuple[int, ...]) -> dict[str, Any]:
    engine, reference = contender.load(path), Contender("cpu").load(path)
    found = _golden(engine, path)
    worst, alone = 0.0, 0.0
    for count in batches:
        feeds = rows(path, count)
        expected, answers = reference.run(feeds), engine.run(feeds)
        first = engine.run({key: value[:1] for key, value in feeds.items()})
        for key, value in expected.items():
            scale = max(float(np.abs(value).max(initial=0.0)), 1e-30)
            worst = max(worst, float(np.abs(answers[key] - value).max(initial=0.0)) / scale)
            alone = max(alone, float(np.abs(answers[key][:1] - first[key]).max(initial=0.0)) / scale)
    return found | {"relative_to_cpu": worst, "row_alone_against_in_batch": alone}
