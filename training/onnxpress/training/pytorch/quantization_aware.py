"""Learning with rounded products, so that the network says the same in 8 bits: quantisation-aware training.

After Jacob et al., CVPR 2018. Forwards, weights and activations are rounded to the steps that the first candidate of
`onnxpress derive --precision int8` has; backwards, as if they were not (the straight-through estimator). The steps of
a weight are the same behind a folded batch norm, which only multiplies whole channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from onnxpress.core.errors import UsageError

_TURNED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""their outputs are the second axis of the weight"""
_PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TURNED)
_WEIGHT, _ACTIVATION = 64, 255
"""the largest step: 7 bits with a sign, which cannot overflow on a processor without VNNI; 8 bits without"""
_TINY = torch.finfo(torch.float32).tiny


class Rounded(nn.Module):
    """A network whose products are computed from rounded weights and activations; it shares its weights.

    Layers that do not learn, recurrent ones and embeddings stay as they are. A range of an activation is that of the
    batch at hand: it needs no state, and the one that is published is calibrated when the version is derived.
    """

    def __init__(self, network: nn.Module) -> None:
        """Raises UsageError where there is no linear layer or convolution that learns."""
        super().__init__()
        self.network = network
        axes = {id(module.weight): int(isinstance(module, _TURNED)) for module in network.modules() if _learns(module)}
        parameters = network.named_parameters(remove_duplicate=False)  # layers may share one
        self._axes = {name: axes[id(parameter)] for name, parameter in parameters if id(parameter) in axes}
        if not self._axes:
            raise UsageError(
                "no linear layer or convolution learns, so there is nothing to round",
                where="training.quantization_aware",
                hint="leave it out of the recipe",
            )
        for module, follower in pairwise([*_leaves(network), None]):
            if _learns(module):
                module.register_forward_pre_hook(_round_inputs)
                if not isinstance(follower, _BatchNorm):  # else it is folded, and what comes out is the batch norm's
                    module.register_forward_hook(_round_output)

    def forward(self, *inputs: Tensor) -> Any:
        return functional_call(self.network, self.weights(), inputs, tie_weights=False)

    def weights(self) -> dict[str, Tensor]:
        """Name in the network → the weight that it computes with."""
        return {name: rounded_weight(self.network.get_parameter(name), axis) for name, axis in self._axes.items()}


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    """In the order in which they were added."""
    return (module for module in network.modules() if next(module.children(), None) is None)


def _learns(module: nn.Module) -> bool:
    return isinstance(module, _PRODUCTS) and module.weight.requires_grad


def _round_inputs(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(rounded_activation(x) if isinstance(x, Tensor) else x for x in given)


def _round_output(module: nn.Module, given: tuple[Any, ...], found: Tensor) -> Tensor:
    return rounded_activation(found)


def rounded_weight(weight: Tensor, axis: int = 0) -> Tensor:
    """Symmetric, with a scale for each index along `axis`, that of the outputs; float32 of the same shape."""
    others = [number for number in range(weight.dim()) if number != axis]
    scale = (weight.detach().abs().amax(others) / _WEIGHT).clamp(min=_TINY)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, -_WEIGHT, _WEIGHT)


def rounded_activation(x: Tensor) -> Tensor:
    """Asymmetric, with one scale and zero point for the whole tensor; zero is one of the steps."""
    if not x.numel():
        return x  # one of several processes may have no row of a batch
    low, high = torch.aminmax(x.detach())
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / _ACTIVATION).clamp(min=_TINY)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, _ACTIVATION)
