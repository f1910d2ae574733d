"""A PyTorch network's weights in the neutral form of `pipeline.port`. Read beside the Keras one."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel

_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_ROLES: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {"weight": "kernel", "bias": "bias"},
    nn.Conv1d: {"weight": "kernel", "bias": "bias"},
    nn.Conv2d: {"weight": "kernel", "bias": "bias"},
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    nn.LayerNorm: {"weight": "gamma", "bias": "beta"},
    nn.Embedding: {"weight": "embeddings"},
}
"""kind of layer → torch's name of a tensor → Keras's"""
_UNTRAINED = {"num_batches_tracked"}
_LSTM = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel", "bias_ih": "bias", "bias_hh": "bias"}
_Tensors = dict[str, list[Tensor]]
"""role → the tensors that add up to it: one, but for the bias of an LSTM, of which torch has two"""


def load(network: nn.Module, path: Path) -> None:
    """A run's state dict into `network`."""
    network.load_state_dict(load_file(path))


def read(network: nn.Module) -> dict[str, dict[str, Array]]:
    """Layer name → role → array. Raises BadModel for a kind of layer that has no known counterpart."""
    return {
        name: {
            role: functools.reduce(np.add, [_to_keras(role, tensor) for tensor in parts])
            for role, parts in tensors.items()
        }
        for name, tensors in _layers(network).items()
    }


def write(network: nn.Module, layers: Mapping[str, Mapping[str, Array]]) -> None:
    """Put weights of the same names, roles and shapes into `network`."""
    with torch.no_grad():
        for name, tensors in _layers(network).items():
            for role, (first, *others) in tensors.items():
                first.copy_(torch.from_numpy(_from_keras(role, layers[name][role])))
                for other in others:
                    other.zero_()


def _layers(network: nn.Module) -> dict[str, _Tensors]:
    """The layers of the network and of its parts by the last part of their paths, which names them in Keras."""
    layers: dict[str, _Tensors] = {}
    for path, module in network.named_modules():
        own = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
        tensors = {name: tensor for name, tensor in own.items() if name not in _UNTRAINED}
        if not tensors:
            continue
        name = path.rpartition(".")[2]
        if path.startswith("member_"):  # of an ensemble, whose members have layers of the same names
            name = f"{path.partition('.')[0]}/{name}"
        if name in layers:
            raise BadModel(f"two layers are called {name!r}, so they cannot be told apart in Keras")
        if type(module) is nn.LSTM:
            layers[name] = _of_lstm(path, module, tensors)
        elif type(module) in _ROLES:
            layers[name] = {_ROLES[type(module)][key]: [tensor] for key, tensor in tensors.items()}
        else:
            raise BadModel(f"the layer {path!r} is a {type(module).__name__}, which cannot be ported yet")
    return layers


def _of_lstm(path: str, module: nn.LSTM, tensors: Mapping[str, Tensor]) -> _Tensors:
    """`kernel`, `recurrent_kernel` and `bias`, each with its direction before it where there are two."""
    if module.num_layers > 1 or module.proj_size or not module.bias:
        raise BadModel(f"the LSTM {path!r} has more than one layer, a projection or no biases: it cannot be ported yet")
    by_role: _Tensors = {}
    for key, tensor in tensors.items():
        kind, _, direction = key.partition("_l0")
        prefix = ("backward_" if direction else "forward_") if module.bidirectional else ""
        by_role.setdefault(prefix + _LSTM[kind], []).append(tensor)
    return by_role


def _to_keras(role: str, tensor: Tensor) -> Array:
    """Kernels: (units, inputs, *size) → (*size, inputs, units)."""
    array: Array = tensor.detach().numpy()
    return np.moveaxis(array, (0, 1), (-1, -2)) if role.endswith("kernel") else array


def _from_keras(role: str, array: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)) if role.endswith("kernel") else array)
