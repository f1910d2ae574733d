"""A torch.nn.Module as a Network: asked in float32 and float64, converted with torch.onnx.export."""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.external_data import LARGE
from onnxpress.export.network import Precision, See, TruthUnavailable
from onnxpress.export.networks.batch_axis import opened, repeated, rows_of, summed, ways
from onnxpress.export.networks.pytorch.binding import (
    EXAMPLE_BATCH,
    Binding,
    argument_names,
    bind,
    blank,
    called_with,
    narrowed,
)
from onnxpress.export.networks.pytorch.choosing import choices
from onnxpress.export.networks.pytorch.copying import copied
from onnxpress.export.networks.pytorch.exporters import TORCHSCRIPT_OPSET, export_dynamo, export_torchscript
from onnxpress.export.networks.pytorch.float64 import StaysWide, layers_in_float64
from onnxpress.export.networks.pytorch.neighbours import neighbour, rounding_of
from onnxpress.export.networks.pytorch.parametrizations import fix, parametrized
from onnxpress.export.networks.pytorch.structure import Flat, flatten, put_together
from onnxpress.export.networks.pytorch.unconvertible import refuse_unconvertible
from onnxpress.export.networks.pytorch.watching import random_layer, watching
from onnxpress.export.networks.pytorch.weights import take
from onnxpress.export.networks.truth import refuse_other_truth
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

_ONE_COPY = 1 << 28
"""bytes of weights from which no second copy of them is held, in float32 or in float64"""
_ONE_COPY_TO_ASK = 1 << 25
"""the same of a network that is not converted: who asks it holds another beside it"""
_NEIGHBOURS = 3
"""how far one alone is moved is chance"""


class TorchNetwork:
    """A copy of the module in eval mode; the caller's module (mode, buffers, hooks) stays as it was."""

    def __init__(self, source: Source, *, converts: bool = True) -> None:
        """Raises BadModel where no exporter has an ONNX form of it; not so where it is only asked, not `converts`."""
        self._converts = converts
        self.framework_version = str(torch.__version__)
        self.converter = f"torch.onnx dynamo {torch.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        self._source, self._opset = source, source.opset
        self.module = self._copy(source)
        self._double: torch.nn.Module | None = None
        self._double_checked = False
        self.choices = choices(self.notes)
        self.binding = self._bind(source)
        self.inputs = self.binding.inputs
        if self.binding.fixed:
            self.notes.append(f"not tensors, so fixed in the graph: {', '.join(self.binding.fixed)}")
        self.output_names = (
            [spec.name for spec in source.network_outputs] if source.network_outputs else self._tell_outputs()
        )

    def _copy(self, source: Source) -> Any:
        original: torch.nn.Module = getattr(source.network, "_orig_mod", source.network)  # torch.compile's wrapper
        size = sum(value.nbytes for value in original.parameters())
        self._large, self._one_copy = size > LARGE, size > (_ONE_COPY if self._converts else _ONE_COPY_TO_ASK)
        training = [name or type(original).__name__ for name, module in original.named_modules() if module.training]
        try:
            # A large module that was built from its name, for this export, is nobody else's: no second one in memory.
            module = (original if self._one_copy and source.ref else copied(original)).eval().cpu()
        except Exception as error:
            raise BadModel(
                f"the module cannot be copied: {error}",
                where=source.reference,
                hint="export needs a deep copy so that your own model stays untouched; name a factory instead",
            ) from error
        if self._converts:
            refuse_unconvertible(module, source.reference)
        if training:
            shown = ", ".join(training[:3]) + (" …" if len(training) > 3 else "")
            self.notes.append(f"was in training mode ({shown}); measured and exported in eval mode")
        if any(value.dtype == torch.bfloat16 for value in (*module.parameters(), *module.buffers())):
            module = module.float()
            self.notes.append("bfloat16 weights were widened to float32: the runtime has no CPU kernels for them")
        return module

    def _bind(self, source: Source) -> Binding:
        names = argument_names(self.module)
        called = _called(source, self.module, names)
        binding = bind(source, names, called)
        if source.network_inputs is not None or not binding.examples:
            return binding
        shapes = [binding.examples[name].shape for name in binding.names]
        for axes in ways(shapes):
            tried = bind(source, names, called, axes)
            if not self._takes(tried, {"batch": rows_of(shapes) + 2}, tried.inputs):
                continue
            takes = partial(self._takes, tried)
            inputs = opened(tried.inputs, takes) if any(axes) else tried.inputs
            return replace(tried, inputs=summed(inputs, takes))
        return _answered(self._answering, binding, source.reference)

    def _answering(self, binding: Binding, sizes: Mapping[str, int], inputs: list[TensorSpec]) -> dict[str, Array]:
        self.binding, self.inputs, self.output_names = binding, inputs, []
        return self.run({spec.name: repeated(binding.examples[spec.name], spec, sizes) for spec in inputs}, "float32")

    def _takes(self, binding: Binding, sizes: Mapping[str, int], inputs: list[TensorSpec]) -> bool:
        """Whether the module answers the example at these sizes of the dimensions that `inputs` name."""
        try:
            self._answering(binding, sizes, inputs)
        except BadModel:
            return False
        return True

    def _tell_outputs(self) -> list[str]:
        self.output_names = []
        taken = {spec.name for spec in self.inputs}
        # A graph has one tensor of a name; an output that is called as an input gets another.
        return [f"{name}_out" if name in taken else name for name in self.run(self._trace_feeds(), "float32")]

    def _trace_feeds(self) -> dict[str, Array]:
        given = self.examples(EXAMPLE_BATCH)
        return given if given is not None else {spec.name: blank(spec, self.inputs) for spec in self.inputs}

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The given examples, their rows repeated or cut to `batch`; inputs without a batch axis as they are."""
        if not self.binding.examples:
            return None
        specs = {spec.name: spec for spec in self.inputs}
        examples = self.binding.examples
        return {name: repeated(array, specs[name], {"batch": batch}) for name, array in examples.items()}

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output, flattened; see Network.run."""
        if precision == "float64" and not self._double_checked:
            self._double_checked = True
            refuse_other_truth(self.run(feeds, "float32"), self._first_truth(feeds))
        module = self.module if precision == "float32" else self._in_double()
        tensors = _tensors(feeds, self.binding.names, self.inputs)
        if precision == "float64":
            tensors = [tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors]
        args, kwargs = put_together(self.binding.structure, tensors)
        try:
            with torch.no_grad(), self.choices.kept(), contextlib.ExitStack() as precisely:
                if precision == "float64":
                    precisely.enter_context(StaysWide())
                    if self._one_copy:
                        precisely.enter_context(layers_in_float64(module))
                flat = flatten(module(*args, **kwargs))
        except BadModel:
            raise
        except Exception as error:
            if precision == "float64":
                raise TruthUnavailable(str(error)) from error
            shapes = {spec.name: list(feeds[spec.name].shape) for spec in self.inputs}
            raise BadModel(f"the module fails on inputs of shape {shapes}: {error}") from error
        return _named(flat, self.output_names or list(flat))

    def compiled(self) -> Callable[[dict[str, Array]], object]:
        """By torch.compile; see Compilable."""
        other = copy.copy(self)
        other.module, other.choices = torch.compile(self.module), choices([], chooses=False)
        return lambda feeds: other.run(feeds, "float32")

    def chosen_otherwise(self, feeds: dict[str, Array], limit: float, turns: int) -> Iterator[dict[str, Array]]:
        """With noise on the scores that are chosen from; see Choosing."""
        return self.choices.otherwise(partial(self.run, feeds), limit, turns)

    def begun(self, first: dict[str, Array], feeds: dict[str, Array]) -> dict[str, Array] | None:
        """By another copy of the author's module; see Beginning. None of a large one, of which there is no second."""
        if self._one_copy:
            return None
        other = copy.copy(self)
        other.notes = []
        other.module = other._copy(self._source)
        other.run(first, "float32")
        return other.run(feeds, "float32")

    def near(self) -> list[TorchNetwork]:
        """Some that are as near as rounding leaves them; none of a large one, as `begun`."""
        rounding = rounding_of(self.module, self.inputs)
        found = [copy.copy(self) for _ in range(0 if self._one_copy else _NEIGHBOURS)]
        for seed, other in enumerate(found):
            other._take(neighbour(copied(self.module), seed, rounding))
        return found

    def _take(self, module: Any) -> None:
        """Ask this module from now on, whose float64 is known to be the same more precisely."""
        self.module, self._double, self._double_checked = module, None, True

    def _first_truth(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """In float64; by a second copy of the weights where a layer reads another's and they are not too many."""
        try:
            return self.run(feeds, "float64")
        except TruthUnavailable:
            if not self._one_copy or self._large:
                raise
            self._one_copy = False
            return self.run(feeds, "float64")

    def _in_double(self) -> torch.nn.Module:
        if self._one_copy:
            return self.module  # widened layer by layer while it runs
        if self._double is None:
            try:
                self._double = copied(self.module).double()
            except Exception as error:
                raise TruthUnavailable(f"no float64 copy: {error}") from error
        return self._double

    def watch(self, feeds: dict[str, Array], precision: Precision, see: See) -> None:
        """What every module and function computes; see Layered."""
        if precision == "float64" and not self._double_checked:
            self.run(feeds, precision)  # the check runs the network itself
        with watching(self.module if precision == "float32" else self._in_double(), see):
            self.run(feeds, precision)

    def layer_names(self) -> frozenset[str]:
        """The paths of the modules."""
        return frozenset(name for name, _ in self.module.named_modules())

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The innermost module whose output changed first between two runs on the same input."""
        return random_layer(self.module, lambda: self.run(feeds, "float32"))

    def convert(self, folder: Path) -> onnx.ModelProto:
        """With torch.export; where that cannot and nothing would be fixed by tracing, with the TorchScript exporter."""
        tensors = _tensors(self._trace_feeds(), self.binding.names, self.inputs)
        specs = {spec.name: spec for spec in self.inputs}
        inputs = [specs[name] for name in self.binding.names]
        beside = folder if self._large else None

        def dynamo(flat: Any) -> onnx.ModelProto:
            return export_dynamo(
                flat, tensors, inputs, self.output_names, opset=self._opset, log=self.talk, beside=beside
            )

        try:
            if isinstance(self.module, torch.jit.ScriptModule):
                raise BadModel("TorchScript is a legacy format that torch.export does not take")
            return dynamo(self._flat())
        except BadModel as refusal:
            if computed := parametrized(self.module):
                with contextlib.suppress(BadModel):
                    proto = dynamo(self._flat(fixed=True))
                    self.notes.append(f"computed once, as it has no ONNX form in the graph: {', '.join(computed)}")
                    return proto
            try:
                with tempfile.TemporaryDirectory() as own:
                    proto = export_torchscript(
                        self._flat(),
                        tensors,
                        inputs,
                        self.output_names,
                        opset=min(self._opset, TORCHSCRIPT_OPSET),
                        log=self.talk,
                        folder=Path(own),
                    )
            except BadModel as second:
                raise BadModel(refusal.what, hint=refusal.hint or second.what) from refusal
            self.converter = f"torch.onnx TorchScript {torch.__version__}"
            self.notes.append(f"converted by the older TorchScript exporter, because: {refusal.what}")
            return proto

    def _flat(self, *, fixed: bool = False) -> Any:
        # A copy: the exporters swap parameters for fake tensors while they trace, and a failure leaves them in. Of the
        # structure only: the tensors themselves are read.
        if isinstance(self.module, torch.jit.ScriptModule):
            return copied(self.module)  # a script module inside a traced one is not found by the tracer
        if fixed:
            return Flat(fix(copied(self.module)), self.binding.structure, self.output_names).eval()
        shared = {id(value): value for value in self._state().values()}
        return Flat(copied(self.module, shared), self.binding.structure, self.output_names).eval()

    def parameters(self) -> dict[str, Array]:
        """Parameters and buffers, as they are exported."""
        values = {name: one.detach().cpu() for name, one in self._state().items() if one.dtype != torch.bfloat16}
        return {name: value.numpy() for name, value in values.items()}

    def write_state(self, path: Path) -> None:
        """Parameters and buffers, also those that a state dict leaves out."""
        torch.save({name: value.detach() for name, value in self._state().items()}, path)

    def read_state(self, path: Path) -> None:
        """Take the values of `write_state`. Raises BadModel where the module has other parameters or shapes."""
        take(torch.load(path, weights_only=True, mmap=True), self._state())

    def _state(self) -> dict[str, torch.Tensor]:
        return dict(self.module.named_parameters()) | dict(self.module.named_buffers())


def _called(source: Source, module: torch.nn.Module, names: list[str]) -> tuple[list[Any], dict[str, Any]] | None:
    """The example call; None where the source shows none."""
    given = source.example_inputs
    if given is None and source.network_inputs is None and source.samples:
        given = source.samples
    if all(value.dtype != torch.float64 for value in module.parameters()):
        given = narrowed(given)
    return None if given is None else called_with(given, names, source.reference)


def _answered(answering: Callable[..., object], binding: Binding, where: str) -> Binding:
    """The binding. Raises BadModel where the module fails on its own example, or answers no other number of rows."""
    failed: list[BadModel] = []
    rows = rows_of([value.shape for value in binding.examples.values()])
    for sizes in ({}, {"batch": rows + 2}):
        try:
            answering(binding, sizes, binding.inputs)
        except BadModel as error:
            failed.append(error)
    if len(failed) == 2:
        own = failed[0].what.replace("fails on inputs", "fails on its own example,", 1)
        hint = failed[0].hint or "the first axis of every example is the rows: one row is x[None]"
        raise BadModel(own, where=where, hint=hint)
    if failed:
        raise BadModel(
            f"{failed[0].what}; it answers its own example, and no other number of rows",
            where=where,
            hint="the first axis is the rows: write x.shape[0] or -1 for their number in forward; one row is x[None]",
        )
    return binding


def _tensors(feeds: Mapping[str, Array], names: list[str], inputs: list[TensorSpec]) -> list[torch.Tensor]:
    """In the order of `names`, in the inputs' dtypes; copies, as forward may write into its input."""
    dtypes = {spec.name: spec.dtype for spec in inputs}
    tensors = []
    for name in names:
        tensor = torch.from_numpy(np.array(feeds[name]))
        tensors.append(tensor.to(getattr(torch, dtypes[name])) if tensor.is_floating_point() else tensor)
    return tensors


def _named(flat: Mapping[str, torch.Tensor], names: list[str]) -> dict[str, Array]:
    """The outputs by these names. Raises BadModel where there are not as many."""
    if len(names) != len(flat):
        raise BadModel(
            f"forward returns {len(flat)} tensors on some inputs and {len(names)} on others",
            hint="an ONNX graph has a fixed number of outputs",
        )
    return {name: _array(value) for name, value in zip(names, flat.values(), strict=True)}


def _array(value: torch.Tensor) -> Array:
    value = value.detach()
    array: Array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return array.copy()  # forward may return a view of a buffer that its next call changes
