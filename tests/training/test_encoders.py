"""A folder as Hugging Face's libraries write it, as an encoder: answers as theirs, and some layers that learn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorflow")
pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import save_file

from onnxpress.core.dotted import load
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.training import pretrained, recipe
from onnxpress.training.pipeline import stage

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]
FRAMEWORKS = ("pytorch", "tensorflow")
WORDS = ["[PAD]", "[UNK]", "red", "green", "blue", "fast", "slow", "car", "bird", "fish"]
SIZES = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 40,
}  # fmt: skip


def kinds() -> dict[str, Any]:
    torch.manual_seed(0)
    t = transformers
    return {
        "bert": t.BertModel(t.BertConfig(**SIZES)),
        "roberta": t.RobertaModel(t.RobertaConfig(**SIZES, pad_token_id=1)),
        "xlm-roberta": t.XLMRobertaModel(t.XLMRobertaConfig(**SIZES, pad_token_id=1)),
        "distilbert": t.DistilBertModel(
            t.DistilBertConfig(
                vocab_size=len(WORDS), dim=16, n_layers=3, n_heads=2, hidden_dim=24, max_position_embeddings=40
            )
        ),
        "bert with a head": t.BertForSequenceClassification(t.BertConfig(**SIZES)),
    }


def write_tokenizer(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    found.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("encoders")
    for name, model in kinds().items():
        for parameter in model.parameters():  # fresh ones are so small that every text looks alike
            parameter.data.normal_(0, 0.5)
        model.save_pretrained(root / name)
        write_tokenizer(root / name)
    return root


def sentence_modules(folder: Path, pooling: str, *, normalise: bool) -> None:
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        *([{"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}] if normalise else []),
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))


IDS = np.array([[2, 7, 0, 0], [3, 5, 8, 9], [4, 6, 9, 0]], np.int64)
MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]], np.int64)


def theirs(folder: Path, pooling: str, normalise: bool) -> np.ndarray[Any, Any]:
    """In float64, by transformers."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", local_files_only=True)
    ids = IDS
    if model.config.model_type in ("roberta", "xlm-roberta"):  # it counts places by the padding's id
        ids = np.where(MASK, IDS, 1)
    with torch.no_grad():
        x = model.double().eval()(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(MASK))
    states, mask = x.last_hidden_state.numpy(), MASK[:, :, None]
    vector = {
        "cls": lambda: states[:, 0],
        "mean": lambda: (states * mask).sum(1) / mask.sum(1),
        "max": lambda: np.where(mask, states, -np.inf).max(1),
    }[pooling]()
    found: np.ndarray[Any, Any] = vector / np.linalg.norm(vector, axis=1, keepdims=True) if normalise else vector
    return found


def ours(folder: Path, framework: str, pooling: str, normalise: bool) -> np.ndarray[Any, Any]:
    sizes = pretrained.settings(str(folder), pooling=pooling, normalise=normalise)  # type: ignore[arg-type]
    settings = {"width": 16, "hidden": 4, "classes": 2, "dropout": 0.0, "encoder": str(folder), "sizes": sizes}
    network = load(f"onnxpress.training.{framework}.models.document:build")(**settings)
    if framework == "pytorch":
        with torch.no_grad():
            answer: np.ndarray[Any, Any] = network.encoder(torch.from_numpy(IDS), torch.from_numpy(MASK)).numpy()
        return answer
    return np.asarray(network.get_layer("encoder")([IDS, MASK], training=False))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize(
    ("name", "pooling", "normalise"),
    [
        ("bert", "mean", True),
        ("bert", "cls", False),
        ("bert", "max", True),
        ("roberta", "mean", False),
        ("xlm-roberta", "cls", True),
        ("distilbert", "mean", True),
        ("bert with a head", "mean", True),
    ],
)
def test_vectors_are_those_of_transformers(
    folders: Path, framework: str, name: str, pooling: str, normalise: bool
) -> None:
    expected = theirs(folders / name, pooling, normalise)
    np.testing.assert_allclose(ours(folders / name, framework, pooling, normalise), expected, rtol=1e-4, atol=1e-5)


def test_pooling_is_the_folders_own(folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "e5"
    shutil.copytree(folders / "bert", folder)
    for pooling, ours_, normalise in (("cls_token", "cls", True), ("mean_tokens", "mean", False)):
        sentence_modules(folder, pooling, normalise=normalise)
        found = pretrained.settings(str(folder))
        assert (found["pooling"], found["normalise"]) == (ours_, normalise)
    assert pretrained.settings(str(folder), pooling="max", normalise=True)["pooling"] == "max"
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_weightedmean_tokens": true}')
    with pytest.raises(BadModel, match="weightedmean"):
        pretrained.settings(str(folder))


def test_weights_in_parts_are_read(folders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for file in ("config.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((folders / "bert" / file).read_bytes())
    tensors = load_file(folders / "bert" / "model.safetensors")
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, tmp_path / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(
        ours(tmp_path, "pytorch", "mean", True), ours(folders / "bert", "pytorch", "mean", True)
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model_type": "albert"}, "albert encoder"),
        ({"hidden_act": "relu"}, "with relu"),
        ({"position_embedding_type": "relative_key"}, "relative_key places"),
        ({"num_hidden_layers": 4}, "no tensor 'encoder.layer.3"),
    ],
)
def test_another_kind_is_refused(folders: Path, tmp_path: Path, change: dict[str, Any], error: str) -> None:
    config = json.loads((folders / "bert" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    (tmp_path / "model.safetensors").write_bytes((folders / "bert" / "model.safetensors").read_bytes())
    with pytest.raises(BadModel, match=error):
        pretrained.read(str(tmp_path))


def test_pickled_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folders / "bert" / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BadModel, match="is a pickle"):
        pretrained.read(str(tmp_path))
    with pytest.raises(BadModel, match=r"tokenizer\.json is missing"):
        pretrained.tokenizer(str(tmp_path), most=8)


def written_recipe(folder: Path, **model: Any) -> Path:
    texts = [(f"{color} {speed} {thing}", thing) for color in WORDS[2:5] for speed in WORDS[5:7] for thing in WORDS[7:]]
    rows = "".join(f"{text},{label}\n" for text, label in texts * 3)
    (folder / "texts.csv").write_text("text,label\n" + rows)
    path = folder / "recipe.json"
    described = {
        "name": "things",
        "model": {"family": "document", "text": "text", "hidden": 8, "tokens": 8, **model},
        "data": {"source": "csv", "path": "texts.csv", "target": "label"},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01},
    }
    path.write_text(json.dumps(described))
    return path


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_last_layers_learn_and_the_run_needs_the_folder_no_more(
    folders: Path, tmp_path: Path, framework: str
) -> None:
    shutil.copytree(folders / "bert", tmp_path / "bert")
    path = written_recipe(tmp_path, encoder="bert", fine_tune=1)
    run = stage.train(recipe.load(path, framework=framework), output=tmp_path / "runs")
    assert run is not None
    settings = json.loads((run / "run.json").read_text())["settings"]
    build = load(f"onnxpress.training.{framework}.models.document:build")
    weights = load(f"onnxpress.training.{framework}:weights")
    before = weights.read(build(**settings))
    shutil.rmtree(tmp_path / "bert")
    network = build(**settings)
    file = json.loads((run / "run.json").read_text())["weights"]
    weights.load(network, run / file)
    after = weights.read(network)
    for name, roles in before.items():
        changed = any(not np.array_equal(array, after[name][role]) for role, array in roles.items())
        assert changed == name.startswith(("layer_2_", "hidden", "logits")), name


def test_a_recipe_that_asks_for_more_than_there_is(folders: Path, tmp_path: Path) -> None:
    for wrong, error in (({"fine_tune": 4}, "has 3, not 4"), ({"tokens": 100}, "has 40, not 100")):
        path = written_recipe(tmp_path, encoder=str(folders / "bert"), **wrong)
        with pytest.raises(UsageError, match=error):
            stage.train(recipe.load(path), output=tmp_path / "runs")
    with pytest.raises(UsageError, match="neither a folder nor an installed package"):
        stage.train(recipe.load(written_recipe(tmp_path, encoder="no/such")), output=tmp_path / "runs")
