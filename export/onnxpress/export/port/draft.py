"""A torch module written as Keras code that nobody has proven yet, and the rungs that prove it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import LIMIT
from onnxpress.export.equivalence.cases import cases, example_sizes, generate
from onnxpress.export.network import Network
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.proof.answers import answers
from onnxpress.export.port.proof.divergence import divergence
from onnxpress.export.port.proof.gradients import Sides, gradients
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.parameters import parameters
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.proof.training import training
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.to_keras.model import written
from onnxpress.export.source import Source

if TYPE_CHECKING:
    from onnxpress.export.networks.pytorch.module import TorchNetwork

MOST_ROWS = 16
"""of a batch of the proof's questions"""


class Draft:
    """The source's network, the code written of it, and what is asked of both.

    Raises NoCorrespondence for what the table has no row for, with its line.
    """

    def __init__(self, source: Source, weights_name: str) -> None:
        from onnxpress.export.networks.pytorch.module import TorchNetwork
        from onnxpress.export.port.from_torch.blocks import block_of

        network = wrap(source)
        if not isinstance(network, TorchNetwork):
            raise NoCorrespondence(
                "an exported program has no layers to carry", where=source.reference, hint="give the module"
            )
        self.network = network
        module = network.module
        self.rows = dict(source.samples) or network.examples(MOST_ROWS) or {}
        self.state = {n: v.detach().cpu().numpy() for n, v in [*module.named_parameters(), *module.named_buffers()]}
        original = dict(source.network.named_parameters())
        self.learning = frozenset(n for n, p in module.named_parameters() if original.get(n, p).requires_grad)
        block = block_of(module, *_arguments(network, two_sizes(network, self.rows)))
        by_argument = dict(zip(_places(network), network.inputs, strict=True))
        self.specs = [by_argument[step.name] for step in block.steps if step.kind == "input"]
        """in the order in which the code takes them"""
        kept = {id(v): n for n, v in module.named_parameters()}
        every = module.named_parameters(remove_duplicate=False)
        tied = {n: kept[id(v)] for n, v in every if kept[id(v)] != n}
        title = f"{source.name}, carried from torch by onnxpress port."
        self.code = written(block, self.specs, self.state, self.learning, tied, title, weights_name)
        for name in (name for one in self.code.carried for name in one.sources if name in tied):
            raise NoCorrespondence(
                f"{name} is {tied[name]} too, which has no correspondence",
                where=source.reference,
                hint="give each its own, or call the embedding and the linear layer in one forward",
            )
        self.asked = cases(network.inputs, self.rows, largest=MOST_ROWS)

    def target(self, path: Path) -> KerasTarget:
        """The code in the file `path`, filled with the source's weights."""
        return KerasTarget(path, self.code, self.state, [spec.name for spec in self.specs], self.network.output_names)

    def rungs(self, target: KerasTarget) -> Iterator[Rung]:
        """Every rung of `target`, one after the other."""
        said = self.answers(target)
        yield said
        if said.worst == math.inf:
            for name in ("parameters", "gradients", "training"):
                yield Rung(name=name, holds=None, detail="the code fails, or its answers have another shape")
            return
        yield parameters(self.code, target, self.state, self.learning)
        sides: Sides | None = None
        for name, ask in (("gradients", gradients), ("training", training)):
            try:
                sides = sides or self.sides(target)
                rung = ask(sides)
            except OnnxpressError:
                raise
            except Exception as error:  # of a source that fixes dtypes inside, say
                rung = Rung(name=name, holds=False, detail=f"it cannot be computed in float64: {first_line(error)}")
            yield rung

    def answers(self, target: KerasTarget) -> Rung:
        """Rung 1, with the layer at which the answers part."""
        try:
            rung = answers(self.network, target.answer, self.asked)
        except OnnxpressError:
            raise
        except Exception as error:
            said = f"the written code fails: {first_line(error)}"
            return Rung(name="answers", holds=False, detail=said, worst=math.inf, limit=LIMIT)
        if rung.holds or rung.worst == math.inf:
            return rung
        try:
            where = divergence(self.sides(target))
        except Exception:  # the layer cannot be told, as the source cannot be computed in float64
            where = ""
        if not where:
            return rung
        return msgspec.structs.replace(rung, detail=f"{rung.detail}: {where}")

    def sides(self, target: KerasTarget) -> Sides:
        """The source and `target` in float64, on a batch of seven rows where there is one."""
        batch = next((case.feeds for case in self.asked if case.batch == 7), self.asked[0].feeds)
        sides = Sides(self.network.module, self._call, target, self.code, batch)
        for name, parameter in sides.module.named_parameters():
            parameter.requires_grad_(name in self.learning)
        return sides

    def _call(self, module: Any, tensors: dict[str, Any]) -> list[Any]:
        from onnxpress.export.networks.pytorch.structure import flatten

        args, kwargs = arguments(self.network, tensors)
        return list(flatten(module(*args, **kwargs)).values())


def two_sizes(network: Network, rows: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Feeds in which every size that varies differs."""
    specs = network.inputs
    usual = example_sizes(specs, rows)
    named = sorted({name for spec in specs for name in spec.named_dimensions} - {"batch"})
    generator = np.random.default_rng(0)
    return [
        generate(specs, rows, {"batch": batch, **{n: usual.get(n, 8) + more for n in named}}, generator)
        for batch, more in ((3, 0), (5, 2))
    ]


def first_line(error: Exception) -> str:
    """What an error says, in a line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def arguments(network: TorchNetwork, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The args and kwargs that forward is called with, holding these values of the inputs."""
    from onnxpress.export.networks.pytorch.structure import put_together

    args, kwargs = put_together(network.binding.structure, [values[name] for name in network.binding.names])
    return args, kwargs


def _places(network: TorchNetwork) -> list[str]:
    """Forward's argument for each input of the network, in its order."""
    from onnxpress.export.networks.pytorch.structure import Leaf

    args, kwargs = arguments(network, {spec.name: Leaf(n) for n, spec in enumerate(network.inputs)})
    bound = inspect.signature(network.module.forward).bind(*args, **kwargs).arguments
    found = {value.index: name for name, value in bound.items() if isinstance(value, Leaf)}
    if len(found) != len(network.inputs):
        raise NoCorrespondence(
            "forward takes tensors within dicts or lists", hint="give each as an argument of its own"
        )
    return [found[n] for n in range(len(network.inputs))]


def _arguments(network: TorchNetwork, feeds: list[dict[str, Array]]) -> tuple[list[Any], dict[str, Any]]:
    """Forward's tensors at both sizes, in its order, and its other arguments by name."""
    import torch

    places = _places(network)
    tensors = [
        {name: torch.from_numpy(np.array(feed[spec.name])) for name, spec in zip(places, network.inputs, strict=True)}
        for feed in feeds
    ]
    args, kwargs = arguments(network, {spec.name: None for spec in network.inputs})
    signature = inspect.signature(network.module.forward)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given, constants = [], {}
    for name, parameter in signature.parameters.items():
        if name in places:
            given.append((tensors[0][name], tensors[1][name]))
        elif parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            constants[name] = bound.arguments[name]
    return given, constants
