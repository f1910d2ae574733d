"""The document classifier: a text's embedding → dense → ReLU → classes.

The embedding is a transformer's, exported with the head as one graph from token ids, or a vector that callers bring.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData
from onnxpress.core.optional import require
from onnxpress.core.processing import Step
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training import pretrained
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.fitting.loop import Inputs
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]


class Document(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="document"
):
    """The spec of the network, the same for both frameworks; the encoder's weights stay as they are."""

    text: str | None = None
    """the column of raw text; without it the rows are vectors already"""
    encoder: Literal["all-minilm-l6-v2"] | None = None
    """the transformer that embeds the text, from an installed package"""
    tokens: Annotated[int, msgspec.Meta(ge=2, le=512)] = 256
    """at most, of one text; what comes after is cut"""
    hidden: _Units = 512
    """units of the hidden layer"""
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """share of the values that dropout sets to zero in training"""

    def __post_init__(self) -> None:
        if (self.text is None) != (self.encoder is None):
            raise ValueError("text and encoder belong together: give both, or neither for precomputed vectors")

    def reading(self) -> Reading:
        """One text column; of vectors, nothing."""
        return Reading(numbers=(), texts=(self.text,)) if self.text else Reading()

    def parameters(self, *, width: int, classes: int) -> int:
        """The two dense layers'; the encoder learns nothing."""
        return (width + 1) * self.hidden + (self.hidden + 1) * classes

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows and, of text, look its tokens up. Raises BadData for rows that do not fit."""
        classes = classification.classes_of(table)
        y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        raw, specs, width = self._tokens(table) if self.text else self._vectors(table)

        def rows(part: Array) -> Inputs:
            return {name: column[part] for name, column in raw.items()}

        return Prepared(
            network="document",
            settings={
                "width": width,
                "hidden": self.hidden,
                "classes": len(classes),
                "dropout": self.dropout,
                "encoder": self.encoder,
            },
            parameters=self.parameters(width=width, classes=len(classes)),
            loss="cross_entropy",
            train=classification.examples(rows(train), y[train], classes, training),
            validation=classification.examples(rows(validation), y[validation], classes, training),
            held_out=rows(held_out),
            target=y[held_out],
            classes=classes,
            before=list[Step](),
            inputs=specs,
            network_inputs=specs,
            network_outputs=[TensorSpec(name="logits", dtype="float32", shape=("batch", len(classes)))],
            frozen_encoder=self.encoder is not None,
        )

    def _vectors(self, table: Table) -> tuple[Inputs, list[TensorSpec], int]:
        if "vectors" not in table.columns:
            raise BadData(
                "the rows are no vectors",
                where="data.source",
                hint="use the source npz, or name model.text and model.encoder",
            )
        vectors = table.columns["vectors"]
        width = vectors.shape[1]
        return {"vectors": vectors}, [TensorSpec(name="vectors", dtype="float32", shape=("batch", width))], width

    def _tokens(self, table: Table) -> tuple[Inputs, list[TensorSpec], int]:
        """Token ids and attention mask (rows, longest) int64, padded with zeros, of every text."""
        assert self.text is not None
        assert self.encoder is not None
        tokenizers = require("tokenizers", needed_by="reading text into tokens")
        sizes = pretrained.settings(self.encoder)
        tokenizer = tokenizers.Tokenizer.from_file(str(pretrained.folder(self.encoder) / "tokenizer.json"))
        tokenizer.enable_truncation(self.tokens)
        tokenizer.enable_padding()
        encodings = tokenizer.encode_batch(table.columns[self.text].tolist())
        raw = {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
        }
        dimensions = ("batch", "sequence")
        specs = [
            TensorSpec(
                name="input_ids",
                dtype="int64",
                shape=dimensions,
                domain=Domain(low=0, high=sizes["vocabulary"] - 1),
            ),
            TensorSpec(name="attention_mask", dtype="int64", shape=dimensions, domain=Domain(low=1, high=1)),
        ]
        return raw, specs, sizes["width"]

    def finish(self, prepared: Prepared, predict: Predict, *, title: str) -> Outcome:
        """Probabilities, label and confidence, measured on the held-out rows."""
        return classification.outcome(prepared, predict, title=title)
