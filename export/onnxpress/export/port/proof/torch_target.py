"""The written torch module, imported, filled and asked in the source's own order of axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.building import built, imported


class TorchTarget:
    """The model that `path` builds, filled with `state`.

    `inputs` says of each input which of the source's axes lies at each place, `outputs` the same of each answer in its
    structure: a list, a dict, or one layout.
    """

    def __init__(self, path: Path, state: Mapping[str, Any], names: Sequence[str], inputs: Sequence[tuple[int, ...]],
                 outputs: list[tuple[str, Any, tuple[int, ...]]]) -> None:  # fmt: skip
        self._path, self._state = path, state
        self.names, self.layouts, self.outputs = list(names), list(inputs), outputs
        self._model: Any = None
        self._learning: frozenset[str] = frozenset()

    def model(self) -> Any:
        """The built and filled model in its own precision, in inference mode."""
        if self._model is None:
            self._model = self.built("float32")
            self._learning = frozenset(n for n, p in self._model.named_parameters() if p.requires_grad)
        return self._model

    def learning(self) -> frozenset[str]:
        """The parameters that training changes."""
        if not self._learning:
            self.model()
        return self._learning

    def forget(self) -> None:
        """Free that model; it is built anew when it is asked for."""
        self._model = None

    def built(self, precision: str) -> Any:
        """One that is built and filled anew."""
        import torch

        model = built(self._path, f"ported_{self._path.stem}")
        model.load_state_dict({name: torch.as_tensor(value) for name, value in self._state.items()})
        return (model if precision == "float32" else model.to(getattr(torch, precision))).eval()

    def function(self, name: str) -> Any:
        """What the written module says beside the model, `penalty` or `constrain` of it; None where it says nothing."""
        return getattr(imported(self._path, f"ported_{self._path.stem}"), name, None)

    def inputs(self, feeds: dict[str, Array]) -> list[Any]:
        """The feeds as tensors, with their axes as the written model takes them."""
        import torch

        return [
            torch.from_numpy(np.array(np.transpose(feeds[name], perm)))
            for name, perm in zip(self.names, self.layouts, strict=True)
        ]

    def flat(self, answer: Any) -> list[Any]:
        """The answers one after the other."""
        found = []
        for _, path, _ in self.outputs:
            value = answer
            for key in path:
                value = value[key]
            found.append(value)
        return found

    def answer(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """In float32, by name, with the axes as the source has them."""
        import torch

        with torch.no_grad():
            return self._named([value.numpy() for value in self.flat(self.model()(*self.inputs(feeds)))])

    def named(self, leaves: Sequence[Array], tensors: Sequence[Any]) -> dict[str, Array]:
        """What another answers to these tensors, leaf by leaf in the order of this model's structure, by name."""
        import torch

        from onnxpress.export.networks.pytorch.structure import flatten

        with torch.no_grad():
            answer = self.model()(*tensors)
        places = [id(value) for value in flatten(answer).values()]
        return self._named([leaves[places.index(id(value))] for value in self.flat(answer)])

    def _named(self, found: Sequence[Array]) -> dict[str, Array]:
        return {
            name: np.transpose(value, np.argsort(perm))
            for (name, _, perm), value in zip(self.outputs, found, strict=True)
        }
