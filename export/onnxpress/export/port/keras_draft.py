"""A Keras model written as torch code that nobody has proven yet, and the rungs that prove it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import LIMIT
from onnxpress.export.equivalence.cases import cases
from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.draft import MOST_ROWS, first_line, two_sizes
from onnxpress.export.port.from_keras import like_keras
from onnxpress.export.port.from_keras.model import root_graph, translated
from onnxpress.export.port.proof.answers import answers
from onnxpress.export.port.proof.keras_source import KerasSides, gradients, parameters, training
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.proof.torch_target import TorchTarget
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.to_torch.model import written
from onnxpress.export.source import Source


class KerasDraft:
    """The source's network, the code written of it, and what is asked of both.

    Raises NoCorrespondence for what the table has no row for, with its layer or line.
    """

    def __init__(self, source: Source, weights_name: str) -> None:
        import keras

        network = wrap(source)
        if not isinstance(network, KerasNetwork):
            raise NoCorrespondence(
                "a function of TensorFlow has no layers to carry", where=source.reference, hint="give a Keras model"
            )
        self.network, self.model = network, source.network
        self.rows = dict(source.samples) or network.examples(MOST_ROWS) or {}
        symbols = [
            keras.KerasTensor(tuple(None if isinstance(s, str) else s for s in spec.shape), spec.dtype, name=spec.name)
            for spec in network.inputs
        ]
        graph, names, order = root_graph(self.model, network.call, symbols)
        self.specs = [network.inputs[n] for n in order]
        """in the order in which the code takes them"""
        self.translated = translated(self.model, graph, names, self.specs, two_sizes(network, self.rows))
        owner = self.translated.block.owner
        functions, last = like_keras.code(owner, self.translated.starts)
        title = f"{source.name}, carried from Keras by onnxpress port."
        self.code = written(
            self.translated.block, self.specs, title=title, weights=weights_name, helpers=functions, last=last
        )
        self.state = owner.state_dict()
        self.asked = cases(network.inputs, self.rows, largest=MOST_ROWS)

    def target(self, path: Path) -> TorchTarget:
        """The code in the file `path`, filled with the source's weights."""
        names = [spec.name for spec in self.specs]
        return TorchTarget(path, self.state, names, self.translated.inputs, self._outputs())

    def _outputs(self) -> list[tuple[str, Any, tuple[int, ...]]]:
        """(name, where it stands in the answer, its layout) of each output, in the network's order."""
        from keras import tree

        found = tree.flatten_with_path(self.translated.outputs)
        layouts = [(tuple(path), layout.perm) for path, layout in found]
        by_key = {str(path[-1]): (path, perm) for path, perm in layouts if path}
        names = self.network.output_names
        if set(names) == set(by_key):
            return [(name, *by_key[name]) for name in names]
        if len(names) != len(layouts):
            raise NoCorrespondence(f"the model answers {len(names)} arrays, its graph {len(layouts)}")
        return [(name, *one) for name, one in zip(names, layouts, strict=True)]

    def rungs(self, target: TorchTarget) -> Iterator[Rung]:
        """Every rung of `target`, one after the other."""
        said = self.answers(target)
        yield said
        if said.worst == math.inf:
            for name in ("parameters", "gradients", "training"):
                yield Rung(name=name, holds=None, detail="the code fails, or its answers have another shape")
            return
        yield parameters(self.translated, target, list(self.model.weights))
        sides: KerasSides | None = None
        for name, ask in (("gradients", gradients), ("training", training)):
            try:
                sides = sides or self.sides(target)
                rung = ask(sides)
            except OnnxpressError:
                raise
            except Exception as error:
                rung = Rung(name=name, holds=False, detail=f"it cannot be computed in float64: {first_line(error)}")
            yield rung

    def answers(self, target: TorchTarget) -> Rung:
        """Rung 1."""
        try:
            return answers(self.network, target.answer, self.asked)
        except OnnxpressError:
            raise
        except Exception as error:
            said = f"the written code fails: {first_line(error)}"
            return Rung(name="answers", holds=False, detail=said, worst=math.inf, limit=LIMIT)

    def sides(self, target: TorchTarget) -> KerasSides:
        """The source and `target` in float64, on a batch of seven rows where there is one."""
        import keras

        batch: dict[str, Array] = next((case.feeds for case in self.asked if case.batch == 7), self.asked[0].feeds)
        own = {type(layer).__name__: type(layer) for layer in self.model._flatten_layers()}
        with keras.saving.CustomObjectScope({n: c for n, c in own.items() if not c.__module__.startswith("keras.")}):
            twin = self.network.in_double()

        def call(model: Any, tensors: list[Any], is_training: bool) -> dict[str, Any]:
            return self.network.by_name(self.network.call(model, tensors, training=is_training))

        return KerasSides(twin, call, target, self.translated, batch, [spec.name for spec in self.network.inputs])
