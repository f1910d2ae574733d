"""The reference: the framework's network between the numpy forms of its processing, in float32 and in float64."""

from __future__ import annotations

from collections.abc import Iterator

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing, apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.network import Answering, Choice, Choosing, Deciding, Narrowing, Precision


class Reference:
    """Raw inputs → every tensor of the pipeline by name: the network's outputs and each processing step's."""

    def __init__(
        self, network: Answering, processing: Processing, inputs: list[TensorSpec], *, narrow: bool = False
    ) -> None:
        """`narrow`: what it is held against computes in float32; see `narrowed`."""
        self.network, self.processing, self.inputs, self.narrow = network, processing, inputs, narrow

    def run(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        """The answer in `precision`. Raises TruthUnavailable where the network cannot run in float64."""
        tensors = apply(self.processing.before, feeds, dtype=precision)
        tensors |= self.network.run(self._taken(tensors), precision)
        return apply(self.processing.after, tensors, dtype=precision)

    def narrowed(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array] | None:
        """Its answer as a float32 graph could give it; None where it shows float32's noise itself, see Narrowing.

        In float64: as such a graph means it. Raises TruthUnavailable as `run` does.
        """
        if not self.narrow or not isinstance(self.network, Narrowing):
            return None
        tensors = apply(self.processing.before, feeds, dtype=precision)
        tensors |= self.network.run_narrowed(self._taken(tensors), precision)
        return apply(self.processing.after, tensors, dtype=precision)

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """Its answers where scores that rounding may exchange are chosen from in another order; see Choosing."""
        if isinstance(self.network, Choosing):
            tensors = apply(self.processing.before, feeds, dtype="float32")
            for answer in self.network.chosen_otherwise(self._taken(tensors), limit, turns):
                yield apply(self.processing.after, tensors | answer, dtype="float32")

    def decisions(self) -> dict[str, tuple[str, Choice]]:
        """Which outputs of the network are decisions over others; see Deciding."""
        return self.network.decisions() if isinstance(self.network, Deciding) else {}

    def network_feeds(self, feeds: dict[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        """What the network itself receives for these raw inputs, processed in `precision`."""
        return self._taken(apply(self.processing.before, feeds, dtype=precision))

    def _taken(self, tensors: dict[str, Array]) -> dict[str, Array]:
        return {spec.name: tensors[spec.name] for spec in self.network.inputs}
