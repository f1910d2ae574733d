"""Weights of a torch module that lie in a file of their own."""

from __future__ import annotations

from pathlib import Path

import torch

from onnxpress.core.errors import BadModel


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a state dict: `.safetensors`, or what torch.save wrote, without running code that may be in it.

    Raises BadModel naming the parameters that do not fit.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            held = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
            held = held.get("state_dict", held)  # a checkpoint of Lightning's, with more beside it
        module.load_state_dict(held)
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error
