"""Every model of the corpus is published equal to its original, or refused with its reason; none is published wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.corpus.expected import Entry

from onnxpress.core.errors import OnnxpressError
from onnxpress.export.equivalence.cases import generate
from onnxpress.export.networks.wrap import wrap
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
    assert_loads_alone(published, source)


def assert_loads_alone(published: Published, source: Source) -> None:
    """The published folder replays its goldens, and answers rows it never saw like the original does."""
    engine = Engine.load(published.folder / "model.onnx")
    assert engine.self_test is not None
    network = wrap(source)
    generator = np.random.default_rng(7)
    samples = source.samples or network.examples(4) or {}
    feeds = generate(published.manifest.inputs, samples, {"batch": 7}, generator)
    expected, answers = network.run(feeds, "float32"), engine.run(feeds)
    assert list(answers) == list(expected)
    for name, value in expected.items():
        assert answers[name].dtype == value.dtype
        if value.dtype.kind == "f":
            np.testing.assert_allclose(answers[name], value, rtol=1e-2, atol=1e-3)
        else:
            assert (answers[name] == value).mean() > 0.9
