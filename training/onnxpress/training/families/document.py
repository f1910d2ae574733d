"""The document classifier: a text's embedding → dense → ReLU → classes.

The embedding is a transformer's, exported with the head as one graph from token ids, or a vector that callers bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.processing import Step
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.training import pretrained
from onnxpress.training.data.table import Reading, Table
from onnxpress.training.families import classification
from onnxpress.training.families.prepared import Outcome, Predict, Prepared
from onnxpress.training.families.sizes import dense_parameters
from onnxpress.training.fitting.loop import Inputs
from onnxpress.training.settings import Training

_Units = Annotated[int, msgspec.Meta(ge=1, le=65536)]


class Document(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="family", tag="document"
):
    """The spec of the network, the same for both frameworks; the encoder stays as it is but for `fine_tune` layers."""

    text: str | None = None
    """the column of raw text; without it the rows are vectors already"""
    encoder: str | None = None
    """the transformer that embeds the text: a Hugging Face model's folder, or an installed package that holds one"""
    pooling: Literal["mean", "cls", "max"] | None = None
    """how a text's tokens become one vector; by default as the folder's modules.json says, else mean"""
    normalise: bool | None = None
    """whether that vector has length 1; by default as the folder's modules.json says, else it has"""
    fine_tune: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """how many of the encoder's last layers learn too; give a small learning rate with them"""
    prefix: str = ""
    """what stands before every text, such as E5's `query: `; callers put it there too"""
    tokens: Annotated[int, msgspec.Meta(ge=2, le=512)] = 256
    """at most, of one text; what comes after is cut"""
    hidden: _Units = 512
    """units of the hidden layer"""
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """share of the values that dropout sets to zero in training"""

    def __post_init__(self) -> None:
        if (self.text is None) != (self.encoder is None):
            raise ValueError("text and encoder belong together: give both, or neither for precomputed vectors")
        if self.encoder is None and (self.pooling or self.normalise is not None or self.fine_tune or self.prefix):
            raise ValueError("pooling, normalise, fine_tune and prefix are an encoder's: give text and encoder")

    def reading(self) -> Reading:
        """One text column; of vectors, nothing."""
        return Reading(numbers=(), texts=(self.text,)) if self.text else Reading()

    def parameters(self, *, width: int, classes: int, sizes: Mapping[str, Any] | None = None) -> int:
        """The two dense layers', and those of the encoder's layers that learn."""
        head = dense_parameters(width, self.hidden, classes)
        return head + (pretrained.parameters(sizes, self.fine_tune) if sizes else 0)

    def prepare(self, table: Table, training: Training) -> Prepared:
        """Divide the rows and, of text, look its tokens up. Raises BadData for rows that do not fit."""
        classes = classification.classes_of(table)
        y, (train, validation, held_out) = classification.divide(table, training, classes=classes)
        sizes = None
        if self.encoder is not None:
            sizes = pretrained.settings(self.encoder, pooling=self.pooling, normalise=self.normalise)
            self._refuse_more_than_there_is(sizes)
        raw, specs, width = self._vectors(table) if sizes is None else self._tokens(table, sizes)

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
                "sizes": sizes,
                "fine_tune": self.fine_tune,
            },
            parameters=self.parameters(width=width, classes=len(classes), sizes=sizes),
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
            frozen_encoder=self.encoder is not None and not self.fine_tune,
        )

    def _refuse_more_than_there_is(self, sizes: Mapping[str, Any]) -> None:
        for name, asked, most in (
            ("fine_tune", self.fine_tune, sizes["layers"]),
            ("tokens", self.tokens, sizes["positions"]),
        ):
            if asked > most:
                raise UsageError(f"the encoder has {most}, not {asked}", where=f"model.{name}", hint="ask for fewer")

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

    def _tokens(self, table: Table, sizes: Mapping[str, Any]) -> tuple[Inputs, list[TensorSpec], int]:
        """Token ids and attention mask (rows, longest) int64, padded with zeros, of every text."""
        assert self.text is not None
        assert self.encoder is not None
        tokenizer = pretrained.tokenizer(self.encoder, most=self.tokens)
        encodings = tokenizer.encode_batch([self.prefix + text for text in table.columns[self.text].tolist()])
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
