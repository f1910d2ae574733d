"""Tiny random encoders, decoders without cache, vision and speech models of `transformers`, each as a factory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_TEXT = ("input_ids:int64[batch,sequence]", "attention_mask:int64[batch,sequence]")
_SPEECH = ("input_values:float32[batch,time]",)
_SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_DECODER = _SIZES | {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_VISION = {k: v for k, v in _SIZES.items() if k not in ("vocab_size", "max_position_embeddings")} | {
    "image_size": 32,
    "patch_size": 8,
}


@dataclass(frozen=True)
class Model:
    """A class of `transformers`, its tiny configuration, and the inputs whose sizes must vary (none: batch only)."""

    class_name: str
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    part: str = ""
    """the part to export, as a method that returns it"""
    keeps_scale: bool = False


def _text(class_name: str, sizes: dict[str, Any] = _SIZES, *, part: str = "", **settings: Any) -> Model:
    return Model(class_name, sizes | settings, _TEXT, part)


def _decoder(class_name: str, **settings: Any) -> Model:
    return Model(class_name, _DECODER | {"use_cache": False} | settings, _TEXT)


def _vision(class_name: str, sizes: dict[str, Any] = _VISION, **settings: Any) -> Model:
    return Model(class_name, sizes | settings)


_T5 = {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
_CONV = {"feat_extract_norm": "layer", "conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3)}
_POS_CONV = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2}
_STAGES = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 2, 1]}

MODELS: dict[str, Model] = {
    # encoders of text
    "bert": _text("BertModel"),
    "roberta": _text("RobertaModel"),
    "xlm_roberta": _text("XLMRobertaModel"),
    "camembert": _text("CamembertModel"),
    "distilbert": _text(
        "DistilBertModel", {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    ),
    "albert": _text("AlbertModel", embedding_size=16),
    "electra": _text("ElectraModel", embedding_size=16),
    "mpnet": _text("MPNetModel"),
    "deberta": _text("DebertaModel", relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "deberta_v2": _text(
        "DebertaV2Model", relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, share_att_key=True
    ),
    "ernie": _text("ErnieModel"),
    "convbert": _text("ConvBertModel", embedding_size=16, head_ratio=2, conv_kernel_size=5),
    "roformer": _text("RoFormerModel", embedding_size=16),
    "squeezebert": _text("SqueezeBertModel", embedding_size=32),
    "mobilebert": _text("MobileBertModel", embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16),
    "modernbert": _text(
        "ModernBertModel", pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2
    ),
    "layoutlm": _text("LayoutLMModel"),
    "data2vec_text": _text("Data2VecTextModel"),
    "t5_encoder": _text("T5EncoderModel", _T5),
    "mt5_encoder": _text("MT5EncoderModel", _T5),
    "umt5_encoder": _text("UMT5EncoderModel", _T5),
    "bart_encoder": _text(
        "BartModel",
        {"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_ffn_dim": 48}
        | {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "max_position_embeddings": 64},
        part="get_encoder",
    ),
    "clip_text": _text("CLIPTextModel", bos_token_id=1, eos_token_id=2),
    "siglip_text": _text("SiglipTextModel", bos_token_id=1, eos_token_id=2),
    # decoders of text, without cache
    "gpt2": _text(
        "GPT2Model",
        {
            "vocab_size": 99,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "use_cache": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "gpt_neox": _decoder("GPTNeoXModel"),
    "gptj": _text(
        "GPTJModel",
        {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4, "use_cache": False}
        | {"bos_token_id": 1, "eos_token_id": 2},
    ),
    "opt": _decoder("OPTModel", ffn_dim=48, word_embed_proj_dim=32),
    "bloom": _decoder("BloomModel", n_layer=2, n_head=4),
    "falcon": _decoder("FalconModel", new_decoder_architecture=False),
    "llama": _decoder("LlamaModel"),
    "mistral": _decoder("MistralModel", sliding_window=4),
    "qwen2": _decoder("Qwen2Model"),
    "qwen3": _decoder("Qwen3Model", head_dim=8),
    "gemma": _decoder("GemmaModel", head_dim=8),
    "gemma2": _decoder("Gemma2Model", head_dim=8, sliding_window=4),
    "phi": _decoder("PhiModel"),
    "phi3": _decoder("Phi3Model"),
    "stablelm": _decoder("StableLmModel"),
    "olmo": _decoder("OlmoModel"),
    "starcoder2": _decoder("Starcoder2Model"),
    "granite": _decoder("GraniteModel"),
    "cohere": _decoder("CohereModel"),
    # vision
    "vit": _vision("ViTModel"),
    "deit": _vision("DeiTModel"),
    "beit": _vision("BeitModel", use_relative_position_bias=True),
    "dinov2": _vision("Dinov2Model"),
    "clip_vision": _vision("CLIPVisionModel"),
    "siglip_vision": _vision("SiglipVisionModel"),
    "swin": _vision(
        "SwinModel",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4]},
        window_size=4,
    ),
    "swinv2": _vision(
        "Swinv2Model",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [1, 2], "num_heads": [2, 4]},
        window_size=4,
    ),
    "convnext": _vision("ConvNextModel", _STAGES, layer_scale_init_value=0.5),
    "resnet": _vision("ResNetModel", _STAGES, embedding_size=8),
    "regnet": _vision("RegNetModel", _STAGES, embedding_size=8, groups_width=4),
    "mobilenet_v2": Model("MobileNetV2Model", {"image_size": 32, "depth_multiplier": 0.35}, keeps_scale=True),
    "segformer": _vision(
        "SegformerModel", {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 4]}
    ),
    "poolformer": _vision("PoolFormerModel", {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}),
    # speech
    "wav2vec2": Model("Wav2Vec2Model", _SIZES | _CONV | _POS_CONV, _SPEECH),
    "hubert": Model("HubertModel", _SIZES | _CONV | _POS_CONV, _SPEECH),
    "whisper_encoder": Model(
        "WhisperModel",
        {"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4}
        | {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "num_mel_bins": 20, "max_source_positions": 30}
        | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        part="get_encoder",
    ),
}


def __getattr__(name: str) -> Callable[[], Any]:
    if name not in MODELS:
        raise AttributeError(name)
    return lambda: build(name)


def build(name: str) -> tuple[Any, dict[str, Any]]:
    """The model with random weights in eval mode, and its example inputs."""
    import transformers

    model = MODELS[name]
    kind = getattr(transformers, model.class_name)
    module = kind(kind.config_class(**model.settings)).eval()
    if model.keeps_scale:
        _keep_scale(module)
    whole = getattr(module, model.part)() if model.part else module
    return whole, examples(model)


def _keep_scale(module: Any) -> None:
    """Fresh convolutions of this family shrink the signal by ten thousands; He's draw keeps it."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)


def examples(model: Model) -> dict[str, Any]:
    """Three rows; text padded on the right, as a tokeniser does."""
    import torch

    generator = torch.Generator().manual_seed(0)
    if model.inputs == _TEXT:
        ids = torch.randint(3, model.settings["vocab_size"], (3, 9), generator=generator)
        return {"input_ids": ids, "attention_mask": (torch.arange(9) < torch.tensor([[9], [5], [2]])).long()}
    if model.inputs == _SPEECH:
        return {"input_values": torch.randn(3, 400, generator=generator)}
    if model.class_name == "WhisperModel":
        return {"input_features": torch.randn(3, model.settings["num_mel_bins"], 60, generator=generator)}
    size = model.settings.get("image_size", 32)
    return {"pixel_values": torch.randn(3, 3, size, size, generator=generator)}
