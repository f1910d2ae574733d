"""`--preprocess FILE`: described steps around a user's own network, in the graph and compared on raw rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("yaml")

from onnxpress.core.errors import OnnxpressError, UsageError
from onnxpress.core.processing import Step, raw_inputs
from onnxpress.export.pipeline.export import export
from onnxpress.export.source import SourceRef
from onnxpress.export.sources import preprocessing
from onnxpress.export.sources.resolve import resolve
from onnxpress.serving.engine import Engine

pytestmark = pytest.mark.torch
NETS = """
import torch
from torch import nn

class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.layer = nn.Linear(5, 2)

    def forward(self, colour_id, scaled):
        return self.layer(torch.cat([self.table(colour_id), scaled], -1))

def build():
    return Scores()
"""
STEPS = """
inputs: ["colour:string[batch]", "sizes:float32[batch,2]"]
before:
  - {step: lookup, input: colour, output: colour_id, values: [red, green, blue]}
  - {step: scale, input: sizes, output: scaled, offset: [10, 20], factor: [1e-1, 0.5]}
after:
  - {step: softmax, input: output, output: probabilities}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "preprocessed_nets.py").write_text(NETS)
    (tmp_path / "steps.yaml").write_text(STEPS)
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "rows.npz",
        colour=generator.choice(["red", "green", "blue", "mauve"], 12),
        sizes=generator.normal(10, 5, (12, 2)).astype(np.float32),
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(folder: Path) -> SourceRef:
    return SourceRef(
        reference="preprocessed_nets.py:build", samples=folder / "rows.npz", preprocess=folder / "steps.yaml"
    )


def test_raw_rows_in_probabilities_out(folder: Path) -> None:
    source = resolve(
        SourceRef(reference="preprocessed_nets.py:build", samples=folder / "rows.npz", preprocess=folder / "steps.yaml")
    )
    published = export(source, repository=folder / "models")
    assert [str(spec) for spec in published.manifest.inputs] == ["colour:string[batch]", "sizes:float32[batch,2]"]
    assert [str(spec) for spec in published.manifest.outputs] == ["probabilities:float32[batch,2]"]
    assert {"samples, batch 7", "generated, batch 2"} <= {case.name for case in published.report.cases}
    engine = Engine.load(published.folder / "model.onnx")
    rows = {"colour": np.array(["red", "mauve"], object), "sizes": np.ones((2, 2), np.float32)}
    np.testing.assert_allclose(engine.run(rows)["probabilities"].sum(-1), 1, rtol=1e-6)


def test_named_outputs_and_steps_behind_the_network_alone(folder: Path) -> None:
    (folder / "after.json").write_text(
        '{"after": [{"step": "softmax", "input": "output", "output": "p"}], "outputs": ["p", "output"]}'
    )
    (folder / "plain_nets.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Linear(3, 2), (torch.randn(4, 3),)\n"
    )
    published = export(
        resolve(SourceRef(reference="plain_nets.py:build", preprocess=folder / "after.json")),
        repository=folder / "models",
    )
    assert [spec.name for spec in published.manifest.outputs] == ["p", "output"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("before: [", "is not YAML"),
        (
            "before: [{step: sacle, input: a, output: b}]",
            r"(?s)\$.before\[0\].step: invalid value 'sacle'.*did you mean 'scale'\? it may be: scale, unscale",
        ),
        ("befor: []", r"(?s)unknown field 'befor'.*did you mean 'before'\? it has: inputs, before, after, outputs"),
        (
            "before: [{step: scale, input: a, output: b, offset: [0], factr: [1]}]",
            r"(?s)\$.before\[0\]: unknown field 'factr'.*did you mean 'factor'\? it has: step, output, input, offset",
        ),
        ("before: [{step: scale, input: a, output: b}]", r"(?s)\$.before\[0\]: object missing required field offset"),
        ("before: [{input: a, output: b}]", r"(?s)missing required field step.*it may be: scale, unscale"),
        ("- before", "no description of steps"),
        (STEPS.replace("input: colour,", "input: color,"), "a step reads 'color'"),
        (STEPS.replace('"sizes:float32[batch,2]"', '"weights:float32[batch,2]"'), "hold no rows of weights"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str, folder: Path) -> None:
    (folder / "steps.yaml").write_text(text)
    with pytest.raises(UsageError, match=says):
        resolve(
            SourceRef(
                reference="preprocessed_nets.py:build", samples=folder / "rows.npz", preprocess=folder / "steps.yaml"
            )
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (STEPS.replace("output: scaled", "output: small"), "scaled"),
        (
            STEPS + "  - {step: label, input: probabilities, output: l, labels: [a, b, c]}\n",
            "there are 3 labels, and 'probabilities' has 2",
        ),
        (
            STEPS + "  - {step: label, input: probabilities, output: l, labels: [a]}\n",
            "there are 1 labels, and 'probabilities' has 2",
        ),
        (STEPS + "outputs: [probability]", "no step makes the output 'probability'"),
    ],
)
def test_steps_that_do_not_fit_the_network(text: str, says: str, folder: Path) -> None:
    (folder / "steps.yaml").write_text(text)
    source = resolve(
        SourceRef(reference="preprocessed_nets.py:build", samples=folder / "rows.npz", preprocess=folder / "steps.yaml")
    )
    with pytest.raises(OnnxpressError, match=says):
        export(source, repository=folder / "models")


def test_steps_before_the_network_need_raw_rows(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)real raw rows.*--samples"):
        resolve(SourceRef(reference="preprocessed_nets.py:build", preprocess=folder / "steps.yaml"))
    assert preprocessing.read(folder / "steps.yaml").outputs == []


DOCS = Path(__file__).parents[3] / "docs" / "steps.md"


@pytest.mark.parametrize("block", re.findall(r"```yaml\n# [\w.]+\n(inputs:.*?)```", DOCS.read_text("utf-8"), re.DOTALL))
def test_the_descriptions_in_the_docs_can_be_read(block: str, tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text(block, encoding="utf-8")
    described = preprocessing.read(tmp_path / "steps.yaml")
    names = [text.partition(":")[0] for text in described.inputs]
    assert set(raw_inputs(described.before)) == set(names)


def test_the_docs_name_every_step() -> None:
    first_cells = [line.split("|")[1] for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {name for cell in first_cells for name in re.findall("`([a-z_]+)`", cell)}
    assert {kind.__struct_config__.tag for kind in get_args(Step)} <= named
