"""A PyTorch network's weights in the neutral form of `training.port`. Read beside the Keras one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from onnxpress.core.errors import BadModel
from onnxpress.training.losses import Array

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_ROLES: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {"weight": "kernel", "bias": "bias"},
    nn.Conv1d: {"weight": "kernel", "bias": "bias"},
    nn.Conv2d: {"weight": "kernel", "bias": "bias"},
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    nn.LayerNorm: {"weight": "gamma", "bias": "beta"},
    nn.Embedding: {"weight": "embeddings"},
    nn.LSTM: {
        f"{part}_{torch_role}_l0{suffix}": f"{direction}{role}"
        for suffix, direction in (("", "forward_"), ("_reverse", "backward_"))
        for part, torch_role, role in (
            ("weight", "ih", "kernel"),
            ("weight", "hh", "recurrent_kernel"),
            ("bias", "ih", "bias"),
        )
    },
}
"""kind of layer → torch's name of a tensor → Keras's"""
_UNTRAINED = {"num_batches_tracked", "bias_hh_l0", "bias_hh_l0_reverse"}
"""a count, and the LSTM's second bias, which is 0 in the families' networks; see layers.bidirectional_lstm"""


def load(network: nn.Module, path: Path) -> None:
    """A run's state dict into `network`."""
    network.load_state_dict(load_file(path))


def read(network: nn.Module) -> dict[str, dict[str, Array]]:
    """Layer name → role → array. Raises BadModel for a kind of layer that has no known counterpart."""
    return {
        name: {role: _to_keras(role, tensor) for role, tensor in tensors.items()}
        for name, tensors in _layers(network).items()
    }


def write(network: nn.Module, layers: Mapping[str, Mapping[str, Array]]) -> None:
    """Put weights of the same names, roles and shapes into `network`."""
    with torch.no_grad():
        for name, tensors in _layers(network).items():
            for role, tensor in tensors.items():
                tensor.copy_(torch.from_numpy(_from_keras(role, layers[name][role])))


def _layers(network: nn.Module) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for path, module in network.named_modules():
        own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        tensors = {name: tensor for name, tensor in own.items() if name not in _UNTRAINED}
        if not tensors:
            continue
        if type(module) not in _ROLES:
            raise BadModel(f"the layer {path!r} is a {type(module).__name__}, which cannot be ported yet")
        name = path.rpartition(".")[2]
        if name in found:
            raise BadModel(f"two layers are called {name!r}, so they cannot be told apart in Keras")
        found[name] = {_ROLES[type(module)][key]: tensor for key, tensor in tensors.items()}
    return found


def _to_keras(role: str, tensor: Tensor) -> Array:
    """Kernels: (units, inputs, *size) → (*size, inputs, units). The LSTM's gates have one order in both."""
    array: Array = tensor.detach().numpy()
    return np.moveaxis(array, (0, 1), (-1, -2)) if role.endswith("kernel") else array


def _from_keras(role: str, array: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)) if role.endswith("kernel") else array)
