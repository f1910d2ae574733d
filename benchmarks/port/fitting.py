"""A short training in either framework, as a user of a written module writes it: one optimiser, one schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import torch
from torch.nn import functional

from benchmarks.port.datasets import Rows
from onnxpress.core.arrays import Array

Answers = Literal["logits", "probabilities", "logit", "probability"]
"""of all classes, or of the second of two"""
_EPSILON = 1e-7
_SLOW = 3
"""The last of so many parts of a training has a tenth of the learning rate."""


class _Fitting:
    """A network's builder and what it answers."""

    def __init__(self, answers: Answers, build: Callable[[], Any]) -> None:
        self.answers, self.build = answers, build

    def _built(self) -> Any:
        built = self.build()
        return built[0] if isinstance(built, tuple) else built

    def _share(self, answers: Array, labels: Array) -> float:
        """Percent of the labels that are told rightly."""
        one = self.answers in ("logit", "probability")
        least = 0.0 if self.answers == "logit" else 0.5
        told = answers.reshape(-1) > least if one else answers.argmax(axis=1)
        return 100 * float(np.mean(told == labels))


class TorchFitting(_Fitting):
    """Of a torch module."""

    suffix = ".safetensors"

    def begun(self, seed: int, _rows: Rows) -> torch.nn.Module:
        """The network with the first weights of a seed."""
        torch.manual_seed(seed)
        module: torch.nn.Module = self._built()
        return module

    def fit(
        self, model: torch.nn.Module, rows: Rows, *, seed: int, epochs: int, learning_rate: float, batch_size: int
    ) -> None:
        """Learn from the rows."""
        torch.manual_seed(seed)
        learning = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(learning, learning_rate, eps=_EPSILON)
        inputs, labels = [torch.from_numpy(one) for one in map(np.ascontiguousarray, rows.inputs)], rows.labels
        model.train()
        for epoch in range(epochs):
            if epoch == epochs - epochs // _SLOW:
                optimizer.param_groups[0]["lr"] = learning_rate / 10
            for chosen in torch.randperm(len(labels)).split(batch_size):
                optimizer.zero_grad()
                self._loss(model(*[one[chosen] for one in inputs]), torch.from_numpy(labels)[chosen]).backward()
                optimizer.step()

    def _loss(self, answers: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        match self.answers:
            case "logits":
                return functional.cross_entropy(answers, labels)
            case "probabilities":
                return functional.nll_loss(answers.clamp(_EPSILON, 1 - _EPSILON).log(), labels)
            case "logit":
                return functional.binary_cross_entropy_with_logits(answers.reshape(-1), labels.float())
            case "probability":
                return functional.binary_cross_entropy(answers.reshape(-1), labels.float())

    def accuracy(self, model: torch.nn.Module, rows: Rows) -> float:
        """In percent."""
        model.eval()
        with torch.no_grad():
            answers = model(*[torch.from_numpy(np.ascontiguousarray(one)) for one in rows.inputs])
        return self._share(answers.numpy(), rows.labels)

    def parameters(self, model: torch.nn.Module) -> int:
        """How many values learn."""
        return sum(p.numel() for p in model.parameters() if p.requires_grad)

    def save(self, model: torch.nn.Module, path: Path) -> None:
        """The weights, as `onnxpress port --weights` reads them."""
        from safetensors.torch import save_model

        save_model(model, str(path))

    def load(self, model: torch.nn.Module, path: Path) -> None:
        """The weights of a file."""
        from safetensors.torch import load_model

        load_model(model, str(path))


class KerasFitting(_Fitting):
    """Of a Keras model."""

    suffix = ".weights.h5"

    def begun(self, seed: int, rows: Rows) -> keras.Model:
        """The network with the first weights of a seed."""
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        model: keras.Model = self._built()
        if not model.built:
            model(self._given(rows[:2]))
        return model

    def fit(
        self, model: keras.Model, rows: Rows, *, seed: int, epochs: int, learning_rate: float, batch_size: int
    ) -> None:
        """Learn from the rows."""
        keras.utils.set_random_seed(seed)
        steps = -(-len(rows.labels) // batch_size) * (epochs - epochs // _SLOW)
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([steps], [learning_rate, learning_rate / 10])
        model.compile(optimizer=keras.optimizers.Adam(rate, epsilon=_EPSILON), loss=self._loss())
        model.fit(self._given(rows), rows.labels, batch_size=batch_size, epochs=epochs, verbose=0)

    def _loss(self) -> keras.losses.Loss:
        if self.answers in ("logits", "probabilities"):
            return keras.losses.SparseCategoricalCrossentropy(from_logits=self.answers == "logits")
        return keras.losses.BinaryCrossentropy(from_logits=self.answers == "logit")

    def accuracy(self, model: keras.Model, rows: Rows) -> float:
        """In percent."""
        return self._share(np.asarray(model(self._given(rows), training=False)), rows.labels)

    def _given(self, rows: Rows) -> Any:
        return rows.inputs[0] if len(rows.inputs) == 1 else list(rows.inputs)

    def parameters(self, model: keras.Model) -> int:
        """How many values learn."""
        return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)

    def save(self, model: keras.Model, path: Path) -> None:
        """The weights, as `onnxpress port --weights` reads them."""
        model.save_weights(path)

    def load(self, model: keras.Model, path: Path) -> None:
        """The weights of a file."""
        model.load_weights(path)


FITTING: dict[str, type[TorchFitting] | type[KerasFitting]] = {"pytorch": TorchFitting, "tensorflow": KerasFitting}
"""framework → its fitting"""
