"""`python -m benchmarks.port.examples`: docs/port-examples.md, ten models as they were written and as ported."""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.port import usual
from onnxpress.export.port.draft import Draft
from onnxpress.export.source import Source

PAGE = Path(__file__).parents[2] / "docs" / "port-examples.md"
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
_HEAD = """# Ported code, side by side

Written by `python -m benchmarks.port.examples`. Do not edit it. Torch networks, as public projects write
them, and what `onnxpress port --to tensorflow` writes of each. [Porting](porting.md) says how it is proven.
"""
_NOT_RUN = "<!-- docs: not run, python -m benchmarks.port proves it -->\n\n"


def main() -> None:
    """Port each and write the page."""
    parts = [_HEAD]
    for name in SHOWN:
        print(name, file=sys.stderr, flush=True)
        source, text = example(name)
        parts.append(f"## {name}\n\nThe source:\n\n{_block(source)}\nWhat is written:\n\n{_block(text)}")
        PAGE.write_text("\n".join(parts))


def example(name: str) -> tuple[str, str]:
    """The source's classes, and the written module."""
    torch.manual_seed(0)
    module, given = usual.MODELS[name]()
    source = Source(reference="nets:build", name="nets", framework="pytorch", network=module, example_inputs=given)
    with contextlib.redirect_stderr(io.StringIO()):
        draft = Draft(source, "nets_keras.weights.h5")
    return "\n\n".join(_classes(module)), draft.code.text


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
