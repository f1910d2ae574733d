"""The CNN-LSTM with attention: classifies numeric feature vectors, or raw strings character by character.

vector → dense embedding (a sequence of single channels), or characters → embedding over the alphabet;
convolutions → max pool → bidirectional LSTM → additive attention (Bahdanau et al. 2015) → dense → classes
"""

from __future__ import annotations

import string
from typing import Annotated, Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing import CharacterFeatures, CharacterNgrams, Characters, Concatenate, Step, apply
from onnxpress.core.processing.character_features import Feature
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training.data import scaling
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.families.sizes import dense_parameters
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]
_Rate = Annotated[float, msgspec.Meta(ge=0, lt=1)]
ALPHABET = string.ascii_lowercase + string.digits + "-._"
FIGURES = "figures"
"""the network's second input, (rows, figures of the text)"""
_IDS_BEFORE_THE_ALPHABET = 2  # padding and unknown, see core.processing.Characters


class Ngrams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often pairs (or more) of characters that follow each other occur, by their hash."""

    n: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2
    """characters in one"""
    buckets: Annotated[int, msgspec.Meta(ge=2, le=4096)] = 128
    """columns; n-grams of the same hash share one"""


class CnnLstmAttention(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="cnn-lstm-attention"
):
    """The spec of the network, the same for both frameworks.

    ReLU and batch norm after each convolution, dropout after embedding and convolutions; dense layers with ReLU and
    dropout; max pooling by `pool`. Kernels start Glorot uniform, recurrent ones orthogonal, forget gates' biases at 1.
    """

    text: str | None = None
    """the column of raw strings to classify; without it, every other column is a number of the feature vector"""
    alphabet: str = ALPHABET
    """characters with an id of their own; capitals count as small letters, everything else as one unknown"""
    length: _Units = 64
    """characters read; longer strings are cut, shorter ones padded"""
    positive: str | None = None
    """of two labels, the one that is looked for: class 1"""
    embedding: _Units = 256
    """width of the vector that each character gets"""
    convolutions: Annotated[tuple[_Units, ...], msgspec.Meta(min_length=1)] = (128, 64)
    """filters of each convolution"""
    kernel: _Units = 3
    """width of the convolutions, in places"""
    pool: _Units = 2
    """places that max pooling makes one of"""
    lstm: _Units = 128
    """units of the LSTM"""
    attention: Annotated[int, msgspec.Meta(ge=0)] = 64
    """units of the additive attention; 0: the mean over time instead"""
    character_features: tuple[Feature, ...] = ()
    """figures of the text that enter the dense layers beside what the LSTM says: length, letters, vowels, consonants,
    digits, hyphens, dots, unknown, distinct, entropy; they are made in the graph, so callers send the text alone"""
    ngrams: Ngrams | None = None
    """n-grams of the text, beside them"""
    dense: tuple[_Units, ...] = (128, 64)
    """units of each dense layer after the LSTM"""
    dropout: _Rate = 0.3
    """of the embedding and the convolutions: share of the values that are set to zero in training"""
    dense_dropouts: tuple[_Rate, ...] = (0.3, 0.2)
    """the same after each dense layer"""
    epsilon: Annotated[float, msgspec.Meta(gt=0)] = 1e-3
    """what batch norm adds to the variance"""
    momentum: _Rate = 0.9
    """share of the old statistics that batch norm keeps at each step, as Keras counts it"""

    def __post_init__(self) -> None:
        if len(self.dense) != len(self.dense_dropouts):
            raise ValueError(f"{len(self.dense)} dense layers with {len(self.dense_dropouts)} dropout rates")
        if len(set(self.alphabet.lower())) != len(self.alphabet):
            raise ValueError("the alphabet names a character twice")
        if len(set(self.character_features)) != len(self.character_features):
            raise ValueError("character_features names one twice")
        if self.beside and not self.text:
            raise ValueError("character_features and ngrams are of a text: name its column in text")

    def reading(self) -> Reading:
        """One text column, or every column a number."""
        return Reading(numbers=(), texts=(self.text,)) if self.text else Reading()

    def network(self, *, width: int | None, classes: int) -> dict[str, Any]:
        """The settings of the network's factory in either framework: `width` features, or characters where None."""
        vocabulary = None if width else len(self.alphabet) + _IDS_BEFORE_THE_ALPHABET
        return {
            "width": width,
            "vocabulary": vocabulary,
            "length": None if width else self.length,
            "embedding": self.embedding,
            "convolutions": list(self.convolutions),
            "kernel": self.kernel,
            "pool": self.pool,
            "lstm": self.lstm,
            "attention": self.attention,
            "dense": list(self.dense),
            "dropout": self.dropout,
            "dense_dropouts": list(self.dense_dropouts),
            "classes": classes,
            "epsilon": self.epsilon,
            "momentum": self.momentum,
            **({"features": self.beside} if self.beside else {}),
        }

    @property
    def beside(self) -> int:
        """How many figures of the text enter the dense layers."""
        return len(self.character_features) + (self.ngrams.buckets if self.ngrams else 0)

    def parameters(self, *, width: int | None, classes: int) -> int:
        """Embedding, norms (2 a channel), convolutions, LSTM 2 × 4 × units × (inputs + units + 1), attention, dense."""
        vocabulary = len(self.alphabet) + _IDS_BEFORE_THE_ALPHABET
        total = self.embedding * ((width + 1) if width else vocabulary) + 2 * self.embedding
        channels = 1 if width else self.embedding
        for filters in self.convolutions:
            total += (self.kernel * channels + 1) * filters + 2 * filters
            channels = filters
        total += 2 * 4 * self.lstm * (channels + self.lstm + 1)
        if self.attention:
            total += (2 * self.lstm + 1) * self.attention + self.attention
        inputs = 2 * self.lstm + self.beside
        return total + dense_parameters(inputs, *self.dense, classes)

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows; scale the numbers, or look the characters up. Raises BadData for rows that do not fit."""
        classes = classification.classes_of(table, positive=self.positive)
        y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        before: list[Step]
        if self.text:
            raw: dict[str, Array] = {"text": table.columns[self.text]}
            step = Characters(input="text", output="characters", alphabet=self.alphabet, length=self.length)
            before, width = [step, *self._figures(step, raw["text"][train])], None
            public = TensorSpec(
                name="text",
                dtype="string",
                shape=("batch",),
                domain=Domain(values=sorted(raw["text"][train[:64]].tolist())),
            )
            inner = TensorSpec(
                name="characters",
                dtype="int64",
                shape=("batch", self.length),
                domain=Domain(low=0, high=len(self.alphabet) + 1),
            )
        else:
            width = len(table.feature_names)
            raw = {"features": table.x}
            before = [scaling.min_max(raw["features"][train], table.feature_names, raw="features", scaled="scaled")]
            public, inner = (
                TensorSpec(name=name, dtype="float32", shape=("batch", width)) for name in ("features", "scaled")
            )

        inners = [inner]
        if self.beside:
            inners.append(TensorSpec(name=FIGURES, dtype="float32", shape=("batch", self.beside)))

        def rows(part: Array) -> Any:
            own, names = {n: column[part] for n, column in raw.items()}, [spec.name for spec in inners]
            x = classification.network_tensors(before, own, names)
            return classification.examples({n: _small(given) for n, given in x.items()}, y[part], classes, training)

        return Prepared(
            network="cnn_lstm_attention",
            settings=self.network(width=width, classes=len(classes)),
            parameters=self.parameters(width=width, classes=len(classes)),
            loss="cross_entropy",
            train=rows(train),
            validation=rows(validation),
            held_out={name: column[held_out] for name, column in raw.items()},
            target=y[held_out],
            classes=classes,
            before=before,
            inputs=[public],
            network_inputs=inners,
            network_outputs=[TensorSpec(name="logits", dtype="float32", shape=("batch", len(classes)))],
        )

    def _figures(self, characters: Characters, texts: Array) -> list[Step]:
        """The steps from characters to the figures beside them, each scaled to [0, 1] by the training rows."""
        steps: list[Step] = []
        made: list[str] = []
        if self.character_features:
            of_text = CharacterFeatures(
                input="characters", output="counts", alphabet=self.alphabet, features=self.character_features
            )
            steps, made = [of_text], list(of_text.names)
        if self.ngrams:
            n, buckets = self.ngrams.n, self.ngrams.buckets
            steps.append(CharacterNgrams(input="characters", output="ngrams", n=n, buckets=buckets))
            made += [f"bucket {number}" for number in range(buckets)]
        if not steps:
            return []
        steps.append(Concatenate(inputs=[step.output for step in steps], output="raw_figures"))
        seen = apply([characters, *steps], {"text": texts})["raw_figures"]
        return [*steps, scaling.min_max(seen, made, raw="raw_figures", scaled=FIGURES)]

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """Probabilities, label and confidence, measured on the held-out rows."""
        return classification.outcome(prepared, predict, title=title)


def _small(ids: Array) -> Array:
    """Ids in as few bytes as they need: rows of text are kept this way, so that millions of them fit."""
    return ids if ids.dtype.kind == "f" else ids.astype(np.min_scalar_type(int(ids.max(initial=0))))
