"""A torch module written as Keras code that nobody has proven yet, and the rungs that prove it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import LIMIT
from onnxpress.core.processing import Processing
from onnxpress.export.equivalence.cases import Case, cases, example_sizes, generate
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.ties import marked
from onnxpress.export.equivalence.values import NOTHING_SHOWN, Shown
from onnxpress.export.network import Network
from onnxpress.export.networks.wrap import wrap
from onnxpress.export.port.attention_kinds import refuse_other_attention
from onnxpress.export.port.code import identifier
from onnxpress.export.port.hidden_rows import with_hidden_row
from onnxpress.export.port.proof.answers import answers_or_failure
from onnxpress.export.port.proof.aside import filed
from onnxpress.export.port.proof.divergence import divergence
from onnxpress.export.port.proof.emptied import emptied
from onnxpress.export.port.proof.gradients import Sides, gradients
from onnxpress.export.port.proof.keeping import gradient_hooks, hooks
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.parameters import parameters
from onnxpress.export.port.proof.rung import Rung, first_line, unasked
from onnxpress.export.port.proof.training import training
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.to_keras.model import written
from onnxpress.export.source import Source

if TYPE_CHECKING:
    from onnxpress.export.networks.pytorch.module import TorchNetwork

MOST_ROWS = 16
"""of a batch of the proof's questions"""
_LARGE = 1 << 25
"""bytes of weights from which one copy less is held, and fewer rows are asked"""
_ROWS, _ROWS_OF_LARGE = 7, 3
"""for gradients and training"""


class Draft:
    """The source's network, the code written of it, and what is asked of both.

    Raises NoCorrespondence for what the table has no row for, with its line.
    """

    def __init__(self, source: Source, weights_name: str, *, keep: bool = False, origin: str = "torch") -> None:
        from onnxpress.export.networks.pytorch.module import TorchNetwork
        from onnxpress.export.port.from_torch.blocks import block_of, within
        from onnxpress.export.port.from_torch.folding import folded, parametrized
        from onnxpress.export.port.from_torch.sharing import sharing

        network = wrap(source, converts=False)
        if not isinstance(network, TorchNetwork):
            raise NoCorrespondence(
                "an exported program has no layers to carry", where=source.reference, hint="give the module"
            )
        self.network = network
        kinds = {str(value.dtype).removeprefix("torch.") for value in source.network.parameters()}
        if "bfloat16" in kinds or ("float64" in kinds and len(kinds) > 1):
            what = "weights in bfloat16" if "bfloat16" in kinds else "weights in float64 beside others"
            raise NoCorrespondence(f"{what} have no correspondence", where=source.reference, hint="module.float()")
        refuse_unseen(source, network.module)
        as_given = None
        if hasattr(network.module, "set_attn_implementation"):  # transformers' models: attention as it is written
            as_given = wrap(source, converts=False)
            network.module.set_attn_implementation("eager")
        self.folded = parametrized(network.module)
        """the weights that the source computes from others; here they are plain ones of the present value"""
        plain = folded(network.module)
        self.module = module = within(plain, several=len(network.inputs) > 1)
        self.rows = dict(source.samples) or own_rows(network)
        state = {n: v.detach().cpu().numpy() for n, v in [*module.named_parameters(), *module.named_buffers()]}
        original = dict(source.network.named_parameters())
        if module is not plain:  # a layer alone, see `within`
            original = {f"0.{name}": parameter for name, parameter in original.items()}
        self.learning = frozenset(n for n, p in module.named_parameters() if _learns(n, p, original))
        given, named = _arguments(network, two_sizes(network, self.rows))
        taken = (given, named) if module is network.module else ([*given, *named.values()], {})
        kept = {id(v): n for n, v in module.named_parameters()}
        names = module.named_parameters(remove_duplicate=False)
        tied = {n: kept[id(v)] for n, v in names if kept[id(v)] != n}
        block = block_of(module, taken)
        if together := sharing(block, tied):
            block = block_of(module, taken, inlined=together)
        state |= block.all_constants()
        self.drawn = block.all_draws()
        """what the source draws at random in training mode, by the module that draws"""
        self.beside = [f"{what} is not carried" for what in hooks(source.network)]
        self.beside += [
            f"the backward of {what} is not carried; on what was asked its gradient is that of its forward"
            for what in block.all_own_gradients()
        ]
        self.trained_at = block.all_trained_at()
        """the lines from which on the source computes something else in training mode"""
        by_argument = dict(zip(_names(network), network.inputs, strict=True))
        self.specs = [by_argument[step.name] for step in block.steps if step.kind == "input"]
        """in the order in which the code takes them"""
        title = f"{source.name}, carried from {origin} by onnxpress port."
        self.code = written(block, self.specs, state, self.learning, tied, title, weights_name, keep=keep)
        carried = {name for one in self.code.carried for name in one.sources}
        alone = {name: kept for name, kept in tied.items() if kept not in carried}
        self.code.carried = [
            dataclasses.replace(one, sources=tuple(alone.get(name, name) for name in one.sources))
            for one in self.code.carried
        ]
        for name in (name for one in self.code.carried for name in one.sources if name in tied):
            raise NoCorrespondence(
                f"{name} is {tied[name]} too, which has no correspondence",
                where=source.reference,
                hint="give each its own, or call the embedding and the linear layer in one forward",
            )
        self.large = is_large(state.values())
        self.state: Mapping[str, Array] = filed(state) if self.large else state
        drawn = [_without_signs(case) for case in cases(network.inputs, self.rows, largest=most_rows(self.large))]
        if as_given is not None:
            refuse_other_attention(as_given, network, drawn, source.reference)
        asked = with_hidden_row(drawn, network)
        self.asked = marked(Reference(network, Processing(), network.inputs), asked, LIMIT)

    def target(self, path: Path) -> KerasTarget:
        """The code in the file `path`, filled with the source's weights."""
        return KerasTarget(path, self.code, self.state, [spec.name for spec in self.specs], self.network.output_names)

    def rungs(self, target: KerasTarget) -> Iterator[Rung]:
        """Every rung of `target`, one after the other."""
        said = self.answers(target)
        yield said
        if said.worst == math.inf:
            yield from unasked("parameters", "gradients", "training")
            return
        rung = parameters(self.code, target, self.state, self.learning)
        learns = [f"{name}: computed from other weights in the source, a plain weight here" for name in self.folded]
        yield msgspec.structs.replace(rung, differences=[*rung.differences, *learns])
        if self.large:
            target.forget()
        sides: Sides | None = None
        with emptied(self.module, self.state) if self.large else contextlib.nullcontext():
            for name, ask in (("gradients", gradients), ("training", training)):
                try:
                    sides = sides or self.sides(target)
                    rung = ask(sides)
                except OnnxpressError:
                    raise
                except Exception as error:  # of a source that fixes dtypes inside, say
                    what = f"it cannot be computed in float64: {first_line(error)}"
                    rung = Rung(name=name, holds=False, detail=what)
                yield self._explained(rung)

    def _explained(self, rung: Rung) -> Rung:
        """With the lines that only training mode takes, and what acts beside forward."""
        if rung.name == "gradients" and self.beside:
            return msgspec.structs.replace(rung, differences=[*rung.differences, *self.beside])
        if rung.name != "training" or not self.trained_at:
            return rung
        only = f"only in training mode the source goes by {', '.join(self.trained_at)}"
        if rung.holds:
            said = f"{only}, which is left out; on what was asked it trains the same"
            return msgspec.structs.replace(rung, differences=[*rung.differences, said])
        return msgspec.structs.replace(rung, detail=f"{only}, which has no correspondence ({rung.detail})")

    def answers(self, target: KerasTarget) -> Rung:
        """Rung 1, with the layer at which the answers part."""
        # What a network holds to answer in float64 goes with the copy that is asked.
        near = [] if self.large else self.network.near()
        rung = answers_or_failure(copy.copy(self.network), target.answer, self.asked, near)
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
        """The source and `target` in float64, on one batch."""
        feeds = one_batch(self.asked, self.large)
        sides = Sides(self.module, self.state, self._call, target, self.code, feeds, self.learning, large=self.large)
        sides.drawn = self.drawn
        return sides

    def _call(self, module: Any, tensors: dict[str, Any]) -> list[Any]:
        from onnxpress.export.networks.pytorch.structure import flatten

        args, kwargs = arguments(self.network, tensors)
        if type(module) is not type(self.network.module):
            args, kwargs = [*args, *kwargs.values()], {}
        return list(flatten(module(*args, **kwargs)).values())


def refuse_unseen(source: Source, module: Any) -> None:
    """Raise NoCorrespondence for layers that forward makes, and for hooks of parameters, which no copy has."""
    own, now = (dict(one.named_parameters()) for one in (source.network, module))
    if len(now) > len(own):
        made = sorted(name for name in now if name not in own)
        raise NoCorrespondence(
            f"forward makes {made[0]} when it is called, of which the source holds no value yet",
            where=source.reference,
            hint="call the module once before it is carried, or make the layer in __init__",
        )
    if hooked := gradient_hooks(source.network):
        raise NoCorrespondence(
            f"a hook sees the gradient of {hooked[0]}, which has no correspondence",
            where=source.reference,
            hint="remove the hook, and register it with the written model's optimiser",
        )


def _without_signs(case: Case) -> Case:
    """The case with one zero: Keras's argmax takes 0.0 for larger than −0.0, and torch's takes the first."""
    feeds = {name: value + 0.0 if value.dtype.kind == "f" else value for name, value in case.feeds.items()}
    return dataclasses.replace(case, feeds={n: v.astype(case.feeds[n].dtype) for n, v in feeds.items()})


def two_sizes(network: Network, rows: Mapping[str, Array], shown: Shown = NOTHING_SHOWN) -> list[dict[str, Array]]:
    """Feeds in which every size that varies differs, each by another number.

    `shown` is what a graph tells of its inputs' values.
    """
    specs = network.inputs
    usual = example_sizes(specs, rows)
    named = sorted({name for spec in specs for name in spec.named_dimensions} - {"batch"})
    generator = np.random.default_rng(0)
    return [
        generate(
            specs,
            rows,
            {"batch": 3 + 2 * number, **{n: usual.get(n, 8) + number * (3 + 2 * k) for k, n in enumerate(named)}},
            generator,
            shown,
        )
        for number in (0, 1)
    ]


def own_rows(network: Network) -> dict[str, Array]:
    """The author's example without repetitions: of one row, sixteen that are equal would tell nothing of batch norm."""
    rows = network.examples(MOST_ROWS) or {}
    along = {spec.name: spec.shape.index("batch") for spec in network.inputs if "batch" in spec.shape}
    for count in range(1, MOST_ROWS):
        again = np.arange(MOST_ROWS) % count
        if all(np.array_equal(rows[n], np.take(rows[n], again, a), equal_nan=True) for n, a in along.items() if rows):
            return {n: np.take(v, np.arange(count), along[n]) if n in along else v for n, v in rows.items()}
    return rows


def is_large(weights: Iterable[Any]) -> bool:
    """Whether these arrays are so large that what is asked is limited."""
    return sum(weight.nbytes for weight in weights) > _LARGE


def most_rows(large: bool) -> int:
    """Of a batch of the proof's questions."""
    return _ROWS if large else MOST_ROWS


def one_batch(asked: Sequence[Case], large: bool = False) -> dict[str, Array]:
    """The feeds for gradients and training: of seven rows where there are such, of three of a large model."""
    rows = _ROWS_OF_LARGE if large else _ROWS
    chosen = [case.feeds for case in asked if case.batch == rows]
    return next((feeds for feeds in chosen if _tells(feeds)), chosen[0] if chosen else asked[0].feeds)


def _tells(feeds: Mapping[str, Array]) -> bool:
    """Whether some floats differ within every row.

    Of a row of one number the first weights learn nothing, and of equal steps rounding says which is the largest.
    """
    floats = [np.reshape(v, (len(v), -1)) for v in feeds.values() if v.dtype.kind == "f" and v.ndim and v.size > len(v)]
    return not floats or any(bool(np.all(np.ptp(np.nan_to_num(rows), axis=1) > 0)) for rows in floats)


def arguments(network: TorchNetwork, values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The args and kwargs that forward is called with, holding these values of the inputs."""
    from onnxpress.export.networks.pytorch.structure import put_together

    args, kwargs = put_together(network.binding.structure, [values[name] for name in network.binding.names])
    return args, kwargs


def _names(network: TorchNetwork) -> list[str]:
    """What each input of the network is called in the code: forward's argument, or the name within its dict."""
    from onnxpress.export.networks.pytorch.structure import Leaf

    args, kwargs = arguments(network, {spec.name: Leaf(n) for n, spec in enumerate(network.inputs)})
    bound = inspect.signature(network.module.forward).bind(*args, **kwargs).arguments
    plain = {value.index: name for name, value in bound.items() if isinstance(value, Leaf)}
    found: list[str] = []
    for number, spec in enumerate(network.inputs):
        name = plain.get(number) or identifier(spec.name.rpartition(".")[2])
        found.append(name if name not in found else identifier(spec.name))
    return found


def _arguments(network: TorchNetwork, feeds: list[dict[str, Array]]) -> tuple[list[Any], dict[str, Any]]:
    """Forward's args and kwargs, each tensor in them at both sizes."""
    import torch

    from onnxpress.export.port.from_torch.structures import Given

    given = {}
    for name, spec in zip(_names(network), network.inputs, strict=True):
        first, second = (torch.from_numpy(np.array(feed[spec.name])) for feed in feeds)
        given[spec.name] = Given(name, (first, second))
    return arguments(network, given)


def _learns(name: str, parameter: Any, original: dict[str, Any]) -> bool:
    """Whether training changes it in the source: itself, or what it is computed from."""
    if name in original:
        return bool(original[name].requires_grad)
    owner, _, own = name.rpartition(".")
    start = f"{owner}.parametrizations.{own}." if owner else f"parametrizations.{own}."
    older = [f"{name}_g", f"{name}_v", f"{name}_orig"]  # torch.nn.utils.weight_norm and spectral_norm
    made_of = [p for n, p in original.items() if n.startswith(start) or n in older]
    return any(p.requires_grad for p in made_of) if made_of else bool(parameter.requires_grad)
