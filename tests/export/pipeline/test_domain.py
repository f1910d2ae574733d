"""A domain narrows what is asked, and is the published signature's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402

import onnxpress.export.pipeline.source_list as source_lists  # noqa: E402
from onnxpress.core.errors import BadData, NotEquivalent, UsageError  # noqa: E402
from onnxpress.core.tensors import Domain  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.pipeline.prepare import prepare  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402

pytestmark = pytest.mark.torch


class Pixels(nn.Module):
    """Right from 0 to 255, and another function outside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3) → (batch, 3)."""
        wrong = 2.0 if torch.compiler.is_exporting() else 1.0
        outside = (x < 0) | (x > 255)
        return torch.where(outside, x * wrong, x / 255)


def source(*domains: str, samples: dict[str, np.ndarray] | None = None) -> Source:
    return Source(
        reference="pixels",
        name="m",
        framework="pytorch",
        network=Pixels(),
        example_inputs=torch.rand(5, 3) * 300,
        domains=list(domains),
        samples=samples or {},
    )


def test_no_question_lies_outside() -> None:
    for domain, low, high in (("x:[0,255]", 0, 255), ("x:[3,]", 3, np.inf), ("x:[,-0.5]", -np.inf, -0.5)):
        for case in prepare(source(domain)).cases:
            assert low <= case.feeds["x"].min() <= case.feeds["x"].max() <= high, case.name


def test_what_is_right_inside_is_published_with_its_domain(tmp_path: Path) -> None:
    with pytest.raises(NotEquivalent):
        export(source(), repository=tmp_path)
    published = export(source("x:[0,255]"), repository=tmp_path)
    assert published.manifest.inputs[0].domain == Domain(low=0, high=255, enforced=True)
    assert "nan" in published.manifest.inputs[0].refuses


def test_rows_outside_of_it_contradict_it(tmp_path: Path) -> None:
    rows = {"x": np.full((4, 3), 256, np.float32)}
    with pytest.raises(BadData, match="outside of its domain"):
        export(source("x:[0,255]", samples=rows), repository=tmp_path)
    export(dataclasses.replace(source("x:[0,255]", samples={"x": rows["x"] - 1})), repository=tmp_path)


def test_an_input_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no input 'y'"):
        export(source("y:[0,255]"), repository=tmp_path)


def test_a_list_of_sources_has_domains(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text('- {source: "a:b", domains: ["x:[0,255]"]}\n')
    (entry,) = source_lists.read_list(tmp_path / "list.yaml")
    assert entry.ref.domains == ["x:[0,255]"]
