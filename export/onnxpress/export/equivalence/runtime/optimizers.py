"""Which of ONNX Runtime's graph optimisers makes a sound graph answer wrongly: found by switching them off."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel
from onnxpress.core.manifest import SessionSettings
from onnxpress.serving.engine import Engine

Item = TypeVar("Item")
# The names that the library of ONNX Runtime 1.31 holds; one that another version does not know is ignored by it.
NAMES = (
    "Pad_Fusion", "AttentionFusion", "BiasDropoutFusion", "BiasGeluFusion", "BiasSkipLayerNormFusion",
    "BiasSoftmaxFusion", "CastChainElimination", "CastElimination", "ClipQuantRewrite",
    "CommonSubexpressionElimination", "ConstantFolding", "ConstantSharing", "ConvAddActivationFusion",
    "ConvAddFusion", "ConvBNFusion", "ConvMulFusion", "DivMulFusion", "DoubleQDQPairsRemover",
    "DynamicQuantizeMatMulFusion", "EliminateDropout", "EliminateIdentity", "EliminateSlice", "EmbedLayerNormFusion",
    "ExpandElimination", "FastGeluFusion", "FuseReluClip", "GatherSliceToSplitFusion", "GatherToSliceFusion",
    "GeluApproximation", "GeluFusionL1", "GeluFusionL2", "GemmActivationFusion", "GemmSumFusion",
    "GemmTransposeFusion", "GroupQueryAttentionFusion", "GroupQueryAttentionPreNormFusion", "LabelEncoderFusion",
    "LayerNormFusionL1", "LayerNormFusionL2", "MatMulActivationFusion", "MatMulAddFusion",
    "MatMulIntegerToFloatFusion", "MatMulScaleFusion", "MatMul_BatchNormalization_Fusion", "MatmulTransposeFusion",
    "NchwcTransformer", "NhwcTransformer", "NoopElimination", "NotWhereFusion", "PreShapeNodeElimination",
    "QuickGeluFusion", "ReluQuantRewrite", "ReshapeFusion", "SimplifiedLayerNormFusion", "SkipLayerNormFusion",
    "SliceConcatToSpaceToDepthFusion", "TransposeOptimizer", "UnsqueezeElimination",
)  # fmt: skip


def guilty(content: bytes | Path, feeds: dict[str, Array], provider: str) -> list[str]:
    """The fewest optimisers without which the served rung agrees with the unoptimised one on `feeds`; empty if none
    helps.
    """
    plain = answer(content, provider, SessionSettings(optimization="none"), feeds)
    wrong = distance(plain, answer(content, provider, SessionSettings(), feeds))
    if plain is None or wrong == 0:
        return []

    def sound(disabled: Sequence[str]) -> bool:
        settings = SessionSettings(disabled_optimizers=list(disabled))
        return distance(plain, answer(content, provider, settings, feeds)) < wrong / 10

    if not sound(NAMES):
        return []
    return fewest(NAMES, sound)


def fewest(candidates: Sequence[Item], suffices: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """A smallest part of the candidates that still suffices, where all of them do: halves that are not needed go first.

    >>> fewest("abcdefg", lambda chosen: {"b", "f"} <= set(chosen))
    ['b', 'f']
    """
    needed, size = list(candidates), max(len(candidates) // 2, 1)
    while size >= 1:
        start = 0
        while start < len(needed):
            without = needed[:start] + needed[start + size :]
            if suffices(without):
                needed = without
            else:
                start += size
        size //= 2
    return needed


def answer(
    content: bytes | Path, provider: str, settings: SessionSettings, feeds: dict[str, Array]
) -> dict[str, Array] | None:
    """What the graph answers under these settings; None where it cannot."""
    try:
        return Engine.load(content, provider=provider, settings=settings, self_test=False).run(feeds)
    except (BadData, BadModel):
        return None


def distance(plain: dict[str, Array] | None, other: dict[str, Array] | None) -> float:
    """The largest difference over all outputs, relative to each output's scale; infinity where there is no answer."""
    if plain is None or other is None:
        return math.inf
    worst = 0.0
    for name, expected in plain.items():
        found = other[name]
        if expected.shape != found.shape or expected.dtype != found.dtype:
            return math.inf
        if expected.dtype.kind != "f":
            worst = max(worst, float(np.any(expected != found)))
            continue
        a, b = np.nan_to_num(expected.astype(np.float64)), np.nan_to_num(found.astype(np.float64))
        scale = max(float(np.abs(a).max(initial=0.0)), float(np.finfo(np.float32).tiny))
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)) / scale)
    return worst
