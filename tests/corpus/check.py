"""Every model of the corpus is published equal to its original, or refused with its reason; none is published wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.corpus.expected import Entry
from tests.corpus.judge import judge

from onnxpress.core import golden
from onnxpress.core.errors import OnnxpressError
from onnxpress.export.pipeline.export import export
from onnxpress.export.pipeline.publish import Published
from onnxpress.export.source import Framework, Source
from onnxpress.serving.engine import Engine


def check(entry: Entry, framework: Framework, repository: Path) -> None:
    """Export one entry through the stage and hold the result against what the entry says."""
    model, known = entry.build()
    source = Source(reference=entry.name, name="m", framework=framework, network=model, **known)
    if entry.refused is not None:
        with pytest.raises(OnnxpressError, match=f"(?s){entry.refused}"):
            export(source, repository=repository)
        assert not (repository / "m").exists()
        return
    published = export(source, repository=repository)
    assert published.report.equivalent
    assert published.report.worst_multiple <= published.report.limit
    assert entry.converter in published.manifest.source.converter
    assert published.manifest.session.disabled_optimizers == entry.disabled
    assert published.manifest.batch_safe == entry.batch_safe
    assert {1, 2, 7} <= {case.batch for case in published.report.cases}
    named = {name for spec in published.manifest.inputs for name in spec.named_dimensions} - {"batch"}
    for name in named:
        assert len({case.name for case in published.report.cases if case.name.startswith(f"{name} ")}) >= 3
    assert Engine.load(published.folder / "model.onnx").self_test is not None
    told = judge(published.folder, model, framework, _examples(source, published))
    JUDGED.append((entry.name, told))


JUDGED: list[tuple[str, str]] = []
"""each published entry, and why the independent judge could not ask it; empty where it did"""


def assert_most_were_judged(*, share: float) -> None:
    """The judge asks what it can by public calls; were that little, it would prove nothing."""
    asked = sum(not told for _, told in JUDGED)
    assert JUDGED
    assert asked >= share * len(JUDGED), [one for one in JUDGED if one[1]]


def _examples(source: Source, published: Published) -> dict[str, Any]:
    """The author's arrays by input name, as far as they were given so plainly; else those of a golden sample."""
    case = golden.read(published.folder / golden.FILE_NAME)[0]
    return {**case.inputs, **source.samples}
