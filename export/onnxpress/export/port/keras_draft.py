"""A Keras model written as torch code that nobody has proven yet, and the rungs that prove it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import LIMIT
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.cases import cases
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.ties import marked
from onnxpress.export.networks.tensorflow.keras_model import KerasNetwork
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.draft import is_large, most_rows, one_batch, own_rows, two_sizes
from onnxpress.export.port.from_keras.like_keras import LikeKeras
from onnxpress.export.port.from_keras.model import root_graph, translated
from onnxpress.export.port.hidden_rows import with_hidden_row
from onnxpress.export.port.proof.answers import answers_or_failure
from onnxpress.export.port.proof.aside import filed, hand_back
from onnxpress.export.port.proof.emptied import KerasWeights
from onnxpress.export.port.proof.keras_asked import NearKeras, OfKeras
from onnxpress.export.port.proof.keras_source import KerasSides, gradients, parameters
from onnxpress.export.port.proof.keras_training import training
from onnxpress.export.port.proof.keras_twin import kept, uncompiled, widened
from onnxpress.export.port.proof.rung import Rung, first_line, unasked
from onnxpress.export.port.proof.torch_target import TorchTarget
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.to_torch.model import written
from onnxpress.export.source import Source


class KerasDraft:
    """The source's network, the code written of it, and what is asked of both.

    Raises NoCorrespondence for what the table has no row for, with its layer or line.
    """

    def __init__(self, source: Source, weights_name: str, *, keep: bool = False) -> None:
        import keras

        network = wrap(source)
        if not isinstance(network, KerasNetwork):
            raise NoCorrespondence(
                "a function of TensorFlow has no layers to carry",
                where=source.reference,
                hint="give a Keras model, or port the .onnx file that onnxpress export makes of the function",
            )
        self.network, self.model = network, source.network
        if any(spec.dtype == "string" for spec in network.inputs):
            raise NoCorrespondence("torch has no strings", where=source.reference, hint="look the words up before")
        self.rows = dict(source.samples) or own_rows(network)
        symbols = [
            keras.KerasTensor(tuple(None if isinstance(s, str) else s for s in spec.shape), spec.dtype, name=spec.name)
            for spec in network.inputs
        ]
        graph, names, order = root_graph(self.model, network.call, symbols)
        self.specs = [network.inputs[n] for n in order]
        """in the order in which the code takes them"""
        self.translated = translated(self.model, graph, names, self.specs, two_sizes(network, self.rows), keep=keep)
        owner = self.translated.block.owner
        begin = LikeKeras(owner, self.translated.starts)
        title = f"{source.name}, carried from Keras by onnxpress port."
        if self.translated.renamed:
            old, new = next(iter(self.translated.renamed.items()))
            title += f"\n\nLayers stand in their blocks: `{old}` of Keras\nis `{new}` here."
        self.code = written(
            self.translated.block,
            self.as_taken(),
            title=title,
            weights=weights_name,
            begin=begin.code,
            settled=begin.settled,
            penalties=self.translated.penalties,
            bounds=self.translated.bounds,
        )
        self.state: Mapping[str, Any] = self.code.state
        self.asked_of = OfKeras(network, self.model)
        self.large = is_large(self.state.values())
        if self.large:
            self.state = filed(self.state)
            self.code.state.clear()
            owner.to("meta")  # which has the same weights
        asked = cases(network.inputs, self.rows, largest=most_rows(self.large))
        asked = with_hidden_row(asked, self.asked_of)
        self.asked = marked(Reference(network, Processing(), network.inputs), asked, LIMIT)

    def as_taken(self) -> list[TensorSpec]:
        """The inputs with their axes as the code takes them."""
        return [
            msgspec.structs.replace(spec, shape=tuple(spec.shape[axis] for axis in perm))
            for spec, perm in zip(self.specs, self.translated.inputs, strict=True)
        ]

    def target(self, path: Path) -> TorchTarget:
        """The code in the file `path`, filled with the source's weights."""
        names = [spec.name for spec in self.specs]
        return TorchTarget(path, self.state, names, self.translated.inputs, self._outputs())

    def _outputs(self) -> list[tuple[str, Any, tuple[int, ...]]]:
        """(name, where it stands in the answer, its layout) of each output, in the network's order."""
        from keras import tree

        found = tree.flatten_with_path(self.translated.outputs)
        layouts = [(tuple(path), layout.perm) for path, layout in found]
        by_key = {".".join(map(str, path)): (path, perm) for path, perm in layouts if path}
        names = self.network.output_names
        keys = [name if name in by_key else name.removesuffix("_out") for name in names]  # an input has the key as well
        if set(keys) == set(by_key):
            return [(name, *by_key[key]) for name, key in zip(names, keys, strict=True)]
        if len(names) != len(layouts):
            raise NoCorrespondence(f"the model answers {len(names)} arrays, its graph {len(layouts)}")
        return [(name, *one) for name, one in zip(names, layouts, strict=True)]

    def rungs(self, target: TorchTarget) -> Iterator[Rung]:
        """Every rung of `target`, one after the other."""
        said = self.answers(target)
        yield said
        if said.worst == math.inf:
            yield from unasked("parameters", "gradients", "training")
            return
        yield parameters(self.translated, target, list(self.model.weights))
        self.network.forget_float64()
        if self.large:
            target.forget()
            hand_back()
        try:
            with self.sides(target) as sides:
                yield gradients(sides)
                yield training(sides)
        except OnnxpressError:
            raise
        except Exception as error:
            yield Rung(name="gradients", holds=False, detail=f"they cannot be computed: {first_line(error)}")

    def answers(self, target: TorchTarget) -> Rung:
        """Rung 1."""
        near = [] if self.large else [NearKeras(self.network, self.model)]
        return answers_or_failure(self.asked_of, partial(self._answer, target), self.asked, near)

    def _answer(self, target: TorchTarget, feeds: dict[str, Array]) -> dict[str, Array]:
        """The written model's; of a large source the twin in float64, which has been asked all by now, goes before."""
        if self.large and self.network.has_float64:
            self.network.forget_float64()
            hand_back()
        return target.answer(feeds)

    @contextlib.contextmanager
    def sides(self, target: TorchTarget) -> Iterator[KerasSides]:
        """The source and `target` in float64, or in float32 where TensorFlow cannot compute the source in float64."""
        feeds = one_batch(self.asked, self.large)
        weights = KerasWeights(self.model)
        order = [spec.name for spec in self.network.inputs]
        ways: list[tuple[Callable[[Any], contextlib.AbstractContextManager[Any]], str, KerasWeights | None]] = [
            (partial(self._of_config, weights), "float64", weights),
            (widened, "float64", None),
            (kept, "float32", None),
        ]
        for open_twin, precision, first in ways:
            sides = KerasSides(
                partial(open_twin, self.model),
                self.ask,
                target,
                self.translated,
                feeds,
                order,
                precision,
                large=self.large,
            )
            sides.first = first
            try:
                sides.ask_once()
            except Exception:  # this way there is no twin, a kernel is missing, or a dtype is written in the code
                sides.close()
                weights.bring_back()
                if precision == "float32":
                    raise
                continue
            break
        try:
            with contextlib.closing(sides):
                yield sides
        finally:
            weights.bring_back()

    @contextlib.contextmanager
    def _of_config(self, weights: KerasWeights, model: Any) -> Iterator[Any]:
        """The network's own twin, which is not used again."""
        import keras

        weights.bring_back()
        own = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
        with keras.saving.CustomObjectScope({n: c for n, c in own.items() if not c.__module__.startswith("keras.")}):
            twin = self.network.in_double()
        if self.large:
            weights.put_aside()
        try:
            with uncompiled(twin):
                yield twin
        finally:
            self.network.forget_float64()  # its weights were trained

    def ask(self, model: Any, tensors: list[Any], training: bool) -> dict[str, Any]:
        return self.network.by_name(self.network.call(model, tensors, training=training))
