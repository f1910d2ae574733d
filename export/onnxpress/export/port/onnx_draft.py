"""An .onnx file written as torch code that nobody has proven yet, and the rungs that prove it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.export.equivalence.cases import cases
from onnxpress.export.equivalence.evaluator.numpy_graph import NotEvaluated
from onnxpress.export.equivalence.graph_domain import shown
from onnxpress.export.networks.onnx_file import OnnxNetwork
from onnxpress.export.port.draft import MOST_ROWS, Draft, one_batch, two_sizes
from onnxpress.export.port.from_onnx.blocks import block_of
from onnxpress.export.port.from_onnx.free_batch import with_free_batch
from onnxpress.export.port.from_onnx.preparing import prepared
from onnxpress.export.port.layout import identity
from onnxpress.export.port.proof.answers import answers, answers_or_failure
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.onnx_source import OnnxOriginal, Slopes, parameters
from onnxpress.export.port.proof.rung import Rung, first_line, unasked
from onnxpress.export.port.proof.torch_target import TorchTarget
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.port.to_torch.model import written
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object

NO_TRAINING = (
    "an .onnx file holds no training: dropout is gone from it, batch norm has the momentum that the file says, and "
    "what was frozen is not told"
)


class OnnxDraft:
    """The file as a network, the torch code written of it, and what is asked of both.

    Raises NoCorrespondence for what cannot be carried, with the node's name.
    """

    def __init__(self, source: Source, weights_name: str) -> None:
        if source.against is not None:
            raise NoCorrespondence("a file is carried by itself", where=source.reference, hint="leave --against out")
        source, self._rows_of_file = with_free_batch(source)
        network = OnnxNetwork(source)
        self._proto = prepared(source.network)
        if any(spec.dtype == "string" for spec in network.inputs):
            raise NoCorrespondence("torch has no strings", where=source.reference, hint="look the words up before")
        self.original = OnnxOriginal(network, self._proto)
        self.rows: dict[str, Array] = dict(source.samples)
        self.specs = network.inputs
        known = shown(self._proto)
        read = block_of(self._proto, self.specs, two_sizes(network, self.rows, known))
        self._origins, self._ranks = read.origins, read.ranks
        title = f"{source.name}, carried from an .onnx file by onnxpress port."
        self.code = written(read.block, self.specs, title=title, weights=weights_name)
        asked = cases(self.specs, self.rows, largest=MOST_ROWS, shown=known)
        self.asked = [case for case in asked if self.original.answers(case.feeds)]

    def target(self, path: Path) -> TorchTarget:
        """The code in the file `path`, filled with the file's weights."""
        names = self.original.output_names
        places = [(n,) for n in range(len(names))] if len(names) > 1 else [()]
        outputs = [(name, place, identity(rank)) for name, place, rank in zip(names, places, self._ranks, strict=True)]
        layouts = [identity(len(spec.shape)) for spec in self.specs]
        return TorchTarget(path, self.code.state, [spec.name for spec in self.specs], layouts, outputs)

    def rungs(self, target: TorchTarget) -> Iterator[Rung]:
        """Every rung of `target`, one after the other."""
        said = answers_or_failure(self.original, target.answer, self.asked)
        if self._rows_of_file:
            rows = self._rows_of_file
            many = f"the file takes a batch of {rows}, and the code any: rows are answered as the file does"
            said = msgspec.structs.replace(said, differences=[*said.differences, many])
        yield said
        if said.worst == math.inf:
            yield from unasked("parameters", "gradients")
        else:
            yield parameters(self._origins, target, self._proto)
            yield self._gradients(target)
        yield Rung(name="training", holds=None, detail=NO_TRAINING)

    def _gradients(self, target: TorchTarget) -> Rung:
        try:
            return Slopes(self._proto, self._origins, target, one_batch(self.asked)).rung()
        except (NotEvaluated, RuntimeError) as error:  # a graph that fixes dtypes inside; nothing to differentiate by
            return Rung(name="gradients", holds=None, detail=f"not provable in float64: {first_line(error)}")


class OnnxKerasDraft:
    """The file as Keras code by way of torch: the torch code is proven against the file, Keras's against both."""

    def __init__(self, source: Source, weights_name: str, folder: Path, *, keep: bool = False) -> None:
        self._first = OnnxDraft(source, weights_name)
        self.original, self.asked = self._first.original, self._first.asked
        path = folder / "twin" / "in_torch.py"  # no file that the caller may name lies there
        path.parent.mkdir()
        path.write_text(self._first.code.text)
        self._twin = self._first.target(path)
        module = self._twin.model()
        names = list(inspect.signature(module.forward).parameters)
        self.arguments = {spec.name: name for spec, name in zip(self._first.specs, names, strict=True)}
        """what the file calls an input → the code's argument"""
        self.input_names = {argument: name for name, argument in self.arguments.items()}
        self.output_names = self._first.original.output_names
        specs = [msgspec.structs.replace(spec, name=self.arguments[spec.name]) for spec in self._first.specs]
        rows = self._first.asked[0].feeds
        ref = SourceRef(reference=source.reference, inputs=list(specs))
        torch_source = from_object(module, source.name, ref, {self.arguments[n]: v for n, v in rows.items()})
        try:
            self.draft = Draft(torch_source, weights_name, keep=keep, origin="an .onnx file")
        except NoCorrespondence as error:
            raise NoCorrespondence(
                f"to torch it can be carried, from there to Keras not: {error.what}",
                where=source.reference,
                hint=f"`--to pytorch` writes it; {error.where or 'there'} has no counterpart in Keras",
            ) from error

    def rungs(self, target: KerasTarget) -> Iterator[Rung]:
        """Every rung: answers against the file's, all else against the torch code, and that against the file."""
        original = self._first.original

        def answer(feeds: dict[str, Array]) -> dict[str, Array]:
            found = target.answer({self.arguments[name]: value for name, value in feeds.items()})
            return dict(zip(original.output_names, found.values(), strict=True))

        proven = {rung.name: rung for rung in self._first.rungs(self._twin)}
        for rung in self.draft.rungs(target):
            before = proven[rung.name]
            if rung.name == "answers" and rung.worst != math.inf:
                yield answers(original, answer, self._first.asked)
            elif before.holds is False:
                yield msgspec.structs.replace(before, detail=f"in torch already: {before.detail}")
            else:
                yield msgspec.structs.replace(rung, detail=f"{rung.detail}; in torch: {before.detail}")
