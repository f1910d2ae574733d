"""Tiny random models of `transformers` beside those of the sweeps: further encoders of images, text and series."""

from __future__ import annotations

from typing import Any

from benchmarks.sweeps import transformers_models
from benchmarks.sweeps.transformers_models import Model

_TEXT = ("input_ids:int64[batch,sequence]", "attention_mask:int64[batch,sequence]")
_SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_VISION = {k: v for k, v in _SIZES.items() if k not in ("vocab_size", "max_position_embeddings")} | {
    "image_size": 32,
    "patch_size": 8,
}
_SPEECH = ("input_values:float32[batch,400]",)
_WAVES = {
    "feat_extract_norm": "layer",
    "conv_dim": (16, 16),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}
"""without what training leaves out at random"""

MODELS: dict[str, Model] = {
    "ibert": Model("IBertModel", _SIZES | {"quant_mode": False}, _TEXT),
    "rembert": Model("RemBertModel", _SIZES | {"input_embedding_size": 16, "output_embedding_size": 16}, _TEXT),
    "xmod": Model("XmodModel", _SIZES | {"languages": ["en"], "default_language": "en"}, _TEXT),
    "megatron_bert": Model("MegatronBertModel", _SIZES, _TEXT),
    "splinter": Model("SplinterModel", _SIZES, _TEXT),
    "convnextv2": Model("ConvNextV2Model", {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 2, 1]}),
    "pvt": Model(
        "PvtModel",
        {"image_size": 32, "hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4]}
        | {"sequence_reduction_ratios": [2, 2, 1, 1]},
    ),
    "wav2vec2_that_masks_nothing": Model("Wav2Vec2Model", _SIZES | _WAVES, _SPEECH),
    "hubert_that_masks_nothing": Model("HubertModel", _SIZES | _WAVES, _SPEECH),
    "vit_msn": Model("ViTMSNModel", _VISION),
    "dinov2_with_registers": Model("Dinov2WithRegistersModel", _VISION),
    "ijepa": Model("IJepaModel", _VISION),
    "levit": Model(
        "LevitModel",
        {"image_size": 64, "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1]}
        | {"key_dim": [8, 8, 8]},
    ),
}


def build(name: str) -> tuple[Any, dict[str, Any]]:
    """The model with random weights in eval mode, and its example inputs."""
    import torch
    import transformers

    model = MODELS[name]
    kind = getattr(transformers, model.class_name)
    module = kind(kind.config_class(**model.settings)).eval()
    if model.inputs == _SPEECH:
        return module, {"input_values": torch.randn(3, 400, generator=torch.Generator().manual_seed(0))}
    return module, transformers_models.examples(model)
