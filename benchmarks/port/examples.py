"""`python -m benchmarks.port.examples`: what is written of models, on pages beside what a person wrote.

docs/port-examples.md has torch and Keras models as their authors wrote them and as they are ported. In
docs/port-families.md the ported families stand beside the twins that onnxpress has of each in the other framework.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.port import families, keras_families, usual
from benchmarks.port.projects import domains_keras, seizure_keras, table_keras
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.source import Source

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "port-examples.md"
TWINS = ROOT / "docs" / "port-families.md"
_TRAINING = ROOT / "training" / "onnxpress" / "training"
SHOWN = (
    "CNNLSTMAttention",
    "EEGNet",
    "TabularModel",
    "ResNet",
    "UNet",
    "TCN",
    "EncoderDecoder",
    "ViT",
    "GRN",
    "WaveNet",
)
OF_KERAS = {"a sequential CNN": seizure_keras, "a functional CNN-LSTM": domains_keras, "a class": table_keras}
_HEAD = """# Ported code, side by side

Written by `python -m benchmarks.port.examples`. Do not edit it. Torch networks, as public projects write
them, and what `onnxpress port --to tensorflow` writes of each. Below are Keras models, and what `--to pytorch`
writes of them. [Porting](porting.md) says how it is proven. [The families](port-families.md) are shown beside
code that a person wrote by hand.
"""
_OF_KERAS = """## Keras models

The other way: three of those that [are trained on](port-training.md), as modules, and the torch code of each.
"""
_TWINS = """# The families, ported and by hand

Written by `python -m benchmarks.port.examples`. Do not edit it. onnxpress has each family twice, written by hand in
torch and in Keras. Here `port` wrote it once more, of the twin in the other framework, as it does of any model of a
user's. What is by hand builds the network of any recipe. What is ported is one network, of the sizes it was given.
"""
_NOT_RUN = "<!-- docs: not run, python -m benchmarks.port proves it -->\n\n"


def main() -> None:
    """Port each and write the pages."""
    parts = [_HEAD]
    for name in SHOWN:
        print(name, file=sys.stderr, flush=True)
        source, text = example(name)
        parts.append(f"## {name}\n\nThe source:\n\n{_block(source)}\nWhat is written:\n\n{_block(text)}")
    parts.append(_OF_KERAS)
    for title, module in OF_KERAS.items():
        print(title, file=sys.stderr, flush=True)
        source, text = inspect.getsource(module), _of_keras(module.build())
        title = title[0].upper() + title[1:]
        parts.append(f"### {title}\n\nThe source:\n\n{_block(source)}\nWhat is written:\n\n{_block(text)}")
    PAGE.write_text("\n".join(parts))
    TWINS.write_text(_twins())


def _twins() -> str:
    parts = [_TWINS]
    for name in families.MODELS:
        print(name, file=sys.stderr, flush=True)
        file = name.replace("-", "_") + ".py"
        in_keras = _of_torch(*families.MODELS[name]())
        model, known = keras_families.MODELS[name]()
        in_torch = _of_keras((model, known["example_inputs"]))
        parts.append(f"## {name}\n")
        for title, folder, text in (("Keras", "tensorflow", in_keras), ("torch", "pytorch", in_torch)):
            by_hand = (_TRAINING / folder / "models" / file).read_text()
            parts.append(f"### In {title}\n\nBy hand:\n\n{_block(by_hand)}\nPorted:\n\n{_block(text)}")
    return "\n".join(parts)


def example(name: str) -> tuple[str, str]:
    """The source's classes, and the written module."""
    torch.manual_seed(0)
    module, given = usual.MODELS[name]()
    return "\n\n".join(_classes(module)), _of_torch(module, given)


def _of_torch(module: nn.Module, given: Any) -> str:
    source = Source(reference="nets:build", name="nets", framework="pytorch", network=module, example_inputs=given)
    with contextlib.redirect_stderr(io.StringIO()):
        return Draft(source, "nets_keras.weights.h5").code.text


def _of_keras(built: Any) -> str:
    model, given = built if isinstance(built, tuple) else (built, None)
    source = Source(reference="nets:build", name="nets", framework="tensorflow", network=model, example_inputs=given)
    with contextlib.redirect_stderr(io.StringIO()):
        return KerasDraft(source, "nets_torch.safetensors").code.text


def _classes(module: nn.Module) -> list[str]:
    """The code of its classes that are its author's, the inner ones first."""
    kinds: dict[Any, None] = {}
    for part in reversed(list(module.modules())):
        if type(part).__module__ == usual.__name__:
            kinds.setdefault(type(part))
    return ["".join(_undecorated(inspect.getsource(kind))) for kind in kinds]


def _undecorated(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    return lines[next(n for n, line in enumerate(lines) if line.startswith("class ")) :]


def _block(code: str) -> str:
    return f"{_NOT_RUN}```python\n{code.rstrip()}\n```\n"


if __name__ == "__main__":
    main()
