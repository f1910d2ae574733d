"""The document classifier in PyTorch: vectors, or an encoder's, then dense layers. Read beside the Keras one."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from onnxpress.core.errors import UsageError
from onnxpress.training import pretrained
from onnxpress.training.pytorch import weights
from onnxpress.training.pytorch.models import encoder as encoders
from onnxpress.training.pytorch.models import layers


class OfTokens(nn.Module):
    """input_ids, attention_mask (batch, sequence) int64 → logits (batch, classes) float32; the encoder is frozen."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(False), head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(self.encoder(input_ids, attention_mask))


def build(width: int, hidden: int, classes: int, dropout: float, encoder: str | None) -> nn.Module:
    """A fresh network, vectors (batch, width) float32 → logits (batch, classes) float32.

    With `encoder`, the name of an installed one, input_ids and attention_mask (batch, sequence) int64 take the place of
    vectors; its weights are frozen, `width` is that of its vectors, and the two parts are `encoder` and `head`. See
    families.Document. Raises UsageError for another width, and what `pretrained.read` raises.
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
    settings, trained = pretrained.read(encoder)
    if settings["width"] != width:
        raise UsageError(f"{encoder} gives vectors of {settings['width']}, not {width}", where="width")
    encoding = encoders.build(**settings)
    weights.write(encoding, trained)
    return OfTokens(encoding, head)
