"""Every model of the corpus is published equal to its original, or refused with its reason; none is published wrong."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import OnnxpressError
from onnxpress.export import stage
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine
from tests.corpus.expected import Entry

_FRAMEWORKS = {"torch": "pytorch", "keras": "tensorflow", "sklearn": "sklearn"}
_NEEDS = {"torch": ["torch", "onnxscript"], "keras": ["tensorflow", "tf2onnx"], "sklearn": ["sklearn", "skl2onnx"]}


def entries() -> list[Any]:
    found = []
    for name in _FRAMEWORKS:
        if any(importlib.util.find_spec(package) is None for package in _NEEDS[name]):
            reason = pytest.mark.skip(reason=f"needs {' and '.join(_NEEDS[name])}")
            found.append(pytest.param(name, None, id=name, marks=reason))
            continue
        corpus = importlib.import_module(f"tests.corpus.{name}_models").corpus
        mark = {"torch": [pytest.mark.torch], "keras": [pytest.mark.tensorflow]}.get(name, [])
        found += [pytest.param(name, entry, id=f"{name}-{entry.name}", marks=mark) for entry in corpus.entries]
    return found


def seed(framework: str) -> None:
    if framework == "torch":
        importlib.import_module("torch").manual_seed(0)
    elif framework == "keras":
        importlib.import_module("keras").utils.set_random_seed(0)


@pytest.mark.parametrize(("framework", "entry"), entries())
def test_as_expected(framework: str, entry: Entry, tmp_path: Path) -> None:
    seed(framework)
    model, known = entry.build()
    source = Source(reference=entry.name, name="m", framework=_FRAMEWORKS[framework], network=model, **known)  # type: ignore[arg-type]
    if entry.refused is not None:
        with pytest.raises(OnnxpressError, match=f"(?s){entry.refused}"):
            stage.export(source, repository=tmp_path)
        assert not (tmp_path / "m").exists()
        return
    published = stage.export(source, repository=tmp_path)
    assert published.report.equivalent
    assert published.report.worst_multiple <= published.report.limit
    assert entry.converter in published.manifest.source.converter
    assert published.manifest.session.disabled_optimizers == entry.disabled
    assert published.manifest.batch_safe == entry.batch_safe
    assert {1, 2, 7} <= {case.batch for case in published.report.cases}
    sizes: dict[str, set[str]] = {}
    for case in published.report.cases:
        sizes.setdefault(case.name.rpartition(",")[0].rpartition(" ")[0], set()).add(case.name)
    named = {name for spec in published.manifest.inputs for name in spec.named_dimensions} - {"batch"}
    assert all(len(sizes[name]) >= 3 for name in named)
    assert_loads_alone(published, source)


def assert_loads_alone(published: stage.Published, source: Source) -> None:
    """The published folder replays its goldens, and answers rows it never saw like the original does."""
    engine = Engine.load(published.folder / "model.onnx")
    assert engine.self_test is not None
    network = stage.wrap(source)
    generator = np.random.default_rng(7)
    from onnxpress.export.equivalence.inputs import generate

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
