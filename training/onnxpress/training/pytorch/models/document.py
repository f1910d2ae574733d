"""The document classifier in PyTorch: vectors, or an encoder's, then dense layers. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from onnxpress.training import pretrained
from onnxpress.training.pytorch import weights
from onnxpress.training.pytorch.models import encoder as encoders
from onnxpress.training.pytorch.models import layers


class OfTokens(nn.Module):
    """input_ids, attention_mask (batch, sequence) int64 → logits (batch, classes) float32.

    The encoder is frozen, but for the parameters whose names begin with one of `learning`.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module, *, learning: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(False), head
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(name.startswith(learning))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.encoder(input_ids, attention_mask))


def build(
    width: int,
    hidden: int,
    classes: int,
    dropout: float,
    encoder: str | None,
    sizes: dict[str, Any] | None = None,
    fine_tune: int = 0,
) -> nn.Module:
    """A fresh network, vectors (batch, width) float32 → logits (batch, classes) float32.

    With `encoder`, a folder or the name of an installed one, input_ids and attention_mask (batch, sequence) int64 take
    the place of vectors. Its weights are frozen but for the last `fine_tune` layers, `width` is that of its vectors,
    and the two parts are `encoder` and `head`. `sizes` are those of `encoder.build`; with them, an encoder whose folder
    is not here is left with fresh weights. See families.Document. Raises UsageError for another width, and what
    `pretrained.read` raises.
    """
    parts: list[tuple[str, nn.Module]] = [
        ("hidden", layers.dense(width, hidden)),
        ("relu", nn.ReLU()),
        ("dropout", nn.Dropout(dropout)),
        ("logits", layers.dense(hidden, classes)),
    ]
    head = nn.Sequential(OrderedDict(parts))
    if encoder is None:
        return head
    settings, trained = pretrained.built(encoder, sizes, width=width)
    encoding = encoders.build(**settings)
    if trained is not None:
        weights.write(encoding, trained)
    learning = pretrained.last_layers(settings["layers"], fine_tune)
    return OfTokens(encoding, head, learning=tuple(f"parts.{name}" for name in learning))
