"""Blocks of attention as keras.io and keras_hub write them: masks of words, causal ones, and rows that see nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [
    pytest.mark.torch,
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:You are using a softmax over axis"),  # of rows of one word
]
L = keras.layers


class Words(L.Layer):
    """Words and their places; word 0 is none."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.words, self.places = L.Embedding(20, 8), L.Embedding(30, 8)

    def call(self, ids: Any) -> Any:
        return self.words(ids) + self.places(ops.arange(0, ops.shape(ids)[-1], 1))

    def compute_mask(self, ids: Any, mask: Any = None) -> Any:
        return ops.not_equal(ids, 0)


class Encoder(L.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.attention, self.norm = L.MultiHeadAttention(2, 4, dropout=0.1), L.LayerNormalization()
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        seen = None if mask is None else ops.cast(mask[:, None, :], "int32")
        return self.norm(x + self.attention(query=x, value=x, key=x, attention_mask=seen))


class Decoder(L.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.own, self.other = L.MultiHeadAttention(2, 4), L.MultiHeadAttention(2, 4)
        self.norm = L.LayerNormalization()
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        x, encoded = inputs
        of_x, of_encoded = (None, None) if mask is None else mask
        x = x + self.own(query=x, value=x, key=x, use_causal_mask=True, query_mask=of_x)
        found, _ = self.other(
            query=x, value=encoded, key=encoded, query_mask=of_x, key_mask=of_encoded, return_attention_scores=True
        )
        return self.norm(x + found)


@pytest.fixture(scope="module")
def draft() -> KerasDraft:
    keras.utils.set_random_seed(1)
    source, target = (keras.Input((None,), dtype="int32", name=name) for name in ("source", "target"))
    decoded = Decoder()([Words()(target), Encoder()(Words()(source))])
    model = keras.Model([source, target], L.Dense(20)(decoded))
    ids = np.random.default_rng(0).integers(0, 20, (6, 9)).astype(np.int32)
    ids[0], ids[1, :5] = 0, 0  # a row that is nothing, and one that begins late
    example = [ids, ids[:, :7]]
    return KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}, example), "nets.safetensors")


def test_every_rung_holds_of_a_translation(draft: KerasDraft, tmp_path: Path) -> None:
    path = tmp_path / "nets.py"
    path.write_text(draft.code.text)
    rungs = list(draft.rungs(draft.target(path)))
    assert [rung.name for rung in rungs if not rung.holds] == [], rungs


def test_weights_where_nothing_is_seen_are_missed(draft: KerasDraft, tmp_path: Path) -> None:
    """Where attention has dropout or answers its weights, Keras has none there; else a softmax over all."""
    path = tmp_path / "nets.py"
    wrong = "\n".join(line for line in draft.code.text.split("\n") if ", 0.0)" not in line)
    assert wrong != draft.code.text
    path.write_text(wrong)
    assert draft.answers(draft.target(path)).holds is False


class Noisy(L.Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(ops.shape(x), seed=self.seeds)


def test_what_a_layer_draws_always_is_refused_by_its_line() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, Noisy()(L.Dense(6)(x)))
    with pytest.raises(NoCorrespondence, match="draws other numbers with each call") as refused:
        KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")
    assert str(refused.value.where).startswith("test_keras_attention.py:")
