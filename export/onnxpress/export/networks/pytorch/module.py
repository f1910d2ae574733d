"""A torch.nn.Module as a Network: asked in float32 and float64, converted with torch.onnx.export."""

from __future__ import annotations

import contextlib
import copy
import inspect
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.equivalence.layerwise.recording import See
from onnxpress.export.network import LARGE, Precision, TruthUnavailable, refuse_other_truth
from onnxpress.export.networks.pytorch.exporters import TORCHSCRIPT_OPSET, export_dynamo, export_torchscript
from onnxpress.export.networks.pytorch.float64 import StaysWide, widened
from onnxpress.export.networks.pytorch.structure import Flat, Leaf, flatten, put_together, take_apart, tensors_of
from onnxpress.export.networks.pytorch.watching import watching
from onnxpress.export.sources.resolve import Source

if TYPE_CHECKING:
    import onnx

_ONE_COPY = 1 << 28
"""bytes of weights from which no second copy of them is held, in float32 or in float64"""
_EXAMPLE_BATCH = 3  # torch.export specialises sizes 0 and 1, and 2 is a common size of something else


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a state dict: `.safetensors`, or what torch.save wrote, without running code that may be in it.

    Raises BadModel naming the parameters that do not fit.
    """
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            held = load_file(path)
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
            held = held.get("state_dict", held)  # a checkpoint of Lightning's, with more beside it
        module.load_state_dict(held)
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error


class TorchNetwork:
    """A copy of the module in eval mode; the caller's module (mode, buffers, hooks) stays as it was."""

    def __init__(self, source: Source) -> None:
        self.framework_version = str(torch.__version__)
        self.converter = f"torch.onnx dynamo {torch.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        self._opset = source.opset
        self._module = self._copy(source)
        self._double: torch.nn.Module | None = None
        self._double_checked = False
        self._argument_names = _argument_names(self._module)
        self._given: dict[str, Array] = {}
        self._structure: Any = None
        self._bind(source)
        self.output_names = (
            [spec.name for spec in source.network_outputs] if source.network_outputs else self._tell_outputs()
        )

    def _copy(self, source: Source) -> Any:
        original: torch.nn.Module = getattr(source.network, "_orig_mod", source.network)  # torch.compile's wrapper
        size = sum(value.nbytes for value in original.parameters())
        self._large, self._one_copy = size > LARGE, size > _ONE_COPY
        training = [name or type(original).__name__ for name, module in original.named_modules() if module.training]
        try:
            # A large module that was built from its name, for this export, is nobody else's: no second one in memory.
            module = (original if self._one_copy and source.origin else copy.deepcopy(original)).eval().cpu()
        except Exception as error:
            raise BadModel(
                f"the module cannot be copied: {error}",
                where=source.reference,
                hint="export needs a deep copy so that your own model stays untouched; name a factory instead",
            ) from error
        if any(isinstance(part, torch.nn.LSTM) and part.proj_size for part in module.modules()):
            raise BadModel(
                "it holds an LSTM with proj_size, for which neither of torch's exporters has an ONNX form",
                where=source.reference,
                hint="replace it by an LSTM followed by a Linear over its outputs",
            )
        if training:
            shown = ", ".join(training[:3]) + (" …" if len(training) > 3 else "")
            self.notes.append(f"was in training mode ({shown}); measured and exported in eval mode")
        if any(value.dtype == torch.bfloat16 for value in (*module.parameters(), *module.buffers())):
            module = module.float()
            self.notes.append("bfloat16 weights were widened to float32: the runtime has no CPU kernels for them")
        return module

    def _bind(self, source: Source) -> None:
        """Find the inputs: names, specs, the author's examples, and the structure that forward takes them in."""
        given = source.example_inputs
        described = source.network_inputs
        if given is None and described is None and source.samples:
            given = source.samples
        leaves: list[tuple[str, torch.Tensor]] = []
        fixed: list[str] = []
        if given is not None:
            args, kwargs = self._called_with(given, source)
            names = [*self._argument_names, *(f"input_{n}" for n in range(len(self._argument_names), len(args)))]
            self._structure = (
                [take_apart(value, name, leaves, fixed) for name, value in zip(names, args, strict=False)],
                {name: take_apart(value, name, leaves, fixed) for name, value in kwargs.items()},
            )
            if fixed:
                self.notes.append(f"not tensors, so fixed in the graph: {', '.join(fixed)}")
            leaves = [(n, t.float() if t.dtype == torch.bfloat16 else t) for n, t in leaves]
        elif described is not None:
            self._structure = self._called_by(described)
        else:
            first = self._argument_names[0] if self._argument_names else "x"
            raise UsageError(
                "a torch module does not tell the shapes of its inputs",
                where=source.reference,
                hint="return (model, example_inputs) from the factory, pass --samples FILE.npz, or add "
                f"--input '{first}:float32[batch,...]'",
            )
        found = [_spec(name, tensor.numpy()) for name, tensor in leaves]
        if described and leaves:
            if len(described) != len(found):
                raise UsageError(
                    f"{len(described)} inputs are described, the examples hold {', '.join(s.name for s in found)}",
                    where=source.reference,
                )
            by_name = {spec.name: spec for spec in described}
            # A run's network input may carry another name than forward's argument; positions decide then.
            same = set(by_name) == {spec.name for spec in found}
            self._bound = [spec.name for spec in (found if same else described)]
        else:
            self._bound = [spec.name for spec in (described or found)]
        self.inputs = list(described or found)
        self._given = {name: tensor.numpy() for name, (_, tensor) in zip(self._bound, leaves, strict=False)}

    def _called_with(self, given: Any, source: Source) -> tuple[list[Any], dict[str, Any]]:
        """The arguments that the author's examples stand for."""
        if isinstance(given, torch.Tensor | np.ndarray):
            return [given], {}
        if isinstance(given, Mapping):
            if set(given) <= set(self._argument_names):
                return [], dict(given)
            return [given], {}  # forward takes the dict itself
        if isinstance(given, Sequence) and not isinstance(given, str):
            return list(given), {}
        raise UsageError(
            f"example_inputs is {type(given).__name__}", where=source.reference, hint="a tensor, tuple or dict"
        )

    def _called_by(self, described: list[TensorSpec]) -> Any:
        """By name where the described names are arguments of forward, by position where they are not."""
        if len(described) > len(self._argument_names) > 0:
            raise UsageError(f"{len(described)} inputs are described, forward takes {', '.join(self._argument_names)}")
        names = [spec.name for spec in described]
        if set(names) <= set(self._argument_names) and names != self._argument_names[: len(names)]:
            return [], {name: Leaf(index) for index, name in enumerate(names)}
        return [Leaf(index) for index in range(len(names))], {}

    def _tell_outputs(self) -> list[str]:
        self.output_names = []
        return list(self.run(self._trace_feeds(), "float32"))

    def _trace_feeds(self) -> dict[str, Array]:
        given = self.examples(_EXAMPLE_BATCH)
        return given if given is not None else {spec.name: _blank(spec, self.inputs) for spec in self.inputs}

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The given examples, their rows repeated or cut to `batch`; inputs without a batch axis as they are."""
        if not self._given:
            return None
        varies = {spec.name for spec in self.inputs if spec.shape and spec.shape[0] == "batch"}
        return {
            name: np.resize(array, (batch, *array.shape[1:])) if name in varies else array
            for name, array in self._given.items()
        }

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output, flattened; see Network.run."""
        if precision == "float64" and not self._double_checked:
            self._double_checked = True
            refuse_other_truth(self.run(feeds, "float32"), self._first_truth(feeds))
        module = self._module if precision == "float32" else self._in_double()
        tensors = self._tensors(feeds)
        if precision == "float64":
            tensors = [tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors]
        args, kwargs = put_together(self._structure, tensors)
        try:
            with torch.no_grad(), contextlib.ExitStack() as precisely:
                if precision == "float64":
                    precisely.enter_context(StaysWide())
                    if self._one_copy:
                        precisely.enter_context(widened(module))
                flat = flatten(module(*args, **kwargs))
        except BadModel:
            raise
        except Exception as error:
            if precision == "float64":
                raise TruthUnavailable(str(error)) from error
            shapes = {spec.name: list(feeds[spec.name].shape) for spec in self.inputs}
            raise BadModel(f"the module fails on inputs of shape {shapes}: {error}") from error
        names = self.output_names or list(flat)
        if len(names) != len(flat):
            raise BadModel(
                f"forward returns {len(flat)} tensors on some inputs and {len(names)} on others",
                hint="an ONNX graph has a fixed number of outputs",
            )
        return {name: _array(value) for name, value in zip(names, flat.values(), strict=True)}

    def _tensors(self, feeds: Mapping[str, Array]) -> list[torch.Tensor]:
        """In the structure's order; copies, as forward may write into its input."""
        dtypes = {spec.name: spec.dtype for spec in self.inputs}
        found = []
        for name in self._bound:
            tensor = torch.from_numpy(np.array(feeds[name]))
            found.append(tensor.to(getattr(torch, dtypes[name])) if tensor.is_floating_point() else tensor)
        return found

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
            return self._module  # widened layer by layer while it runs
        if self._double is None:
            try:
                self._double = copy.deepcopy(self._module).double()
            except Exception as error:
                raise TruthUnavailable(f"no float64 copy: {error}") from error
        return self._double

    def watch(self, feeds: dict[str, Array], precision: Precision, see: See) -> None:
        """What every module and function computes; see Layered."""
        if precision == "float64" and not self._double_checked:
            self.run(feeds, precision)  # the check runs the network itself
        with watching(self._module if precision == "float32" else self._in_double(), see):
            self.run(feeds, precision)

    def layer_names(self) -> frozenset[str]:
        """The paths of the modules."""
        return frozenset(name for name, _ in self._module.named_modules())

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The innermost module whose output changed first between two runs on the same input."""
        runs: list[list[tuple[str, Any]]] = []
        for _ in range(2):
            seen: list[tuple[str, Any]] = []
            hooks = [
                module.register_forward_hook(lambda _m, _i, out, name=name, seen=seen: seen.append((name, out)))
                for name, module in self._module.named_modules()
                if name
            ]
            try:
                self.run(feeds, "float32")
            finally:
                for hook in hooks:
                    hook.remove()
            runs.append(seen)
        for (name, first), (_, second) in zip(*runs, strict=False):
            if any(not torch.equal(a, b) for a, b in zip(tensors_of(first), tensors_of(second), strict=False)):
                return f"{name} ({type(self._module.get_submodule(name)).__name__})"
        return f"the forward method of {type(self._module).__name__}"

    def convert(self, folder: Path) -> onnx.ModelProto:
        """With torch.export; where that cannot and nothing would be fixed by tracing, with the TorchScript exporter."""
        tensors = self._tensors(self._trace_feeds())
        specs = {spec.name: spec for spec in self.inputs}
        inputs = [specs[name] for name in self._bound]
        try:
            if isinstance(self._module, torch.jit.ScriptModule):
                raise BadModel("TorchScript is a legacy format that torch.export does not take")
            return export_dynamo(
                self._flat(),
                tensors,
                inputs,
                self.output_names,
                opset=self._opset,
                log=self.talk,
                beside=folder if self._large else None,
            )
        except BadModel as refusal:
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
                raise BadModel(refusal.what, hint=second.what) from refusal
            self.converter = f"torch.onnx TorchScript {torch.__version__}"
            self.notes.append(f"converted by the older TorchScript exporter, because: {refusal.what}")
            return proto

    def _flat(self) -> Any:
        # A copy: the exporters swap parameters for fake tensors while they trace, and a failure leaves them in. Of the
        # structure only: the tensors themselves are read.
        if isinstance(self._module, torch.jit.ScriptModule):
            return copy.deepcopy(self._module)  # a script module inside a traced one is not found by the tracer
        shared = {id(value): value for value in self._state().values()}
        return Flat(copy.deepcopy(self._module, shared), self._structure, self.output_names).eval()

    def parameters(self) -> dict[str, Array]:
        """Parameters and buffers, as they are exported."""
        values = {name: value.detach().cpu() for name, value in self._state().items()}
        return {name: value.numpy() for name, value in values.items() if value.dtype != torch.bfloat16}

    def write_state(self, path: Path) -> None:
        """Parameters and buffers, also those that a state dict leaves out."""
        torch.save({name: value.detach() for name, value in self._state().items()}, path)

    def read_state(self, path: Path) -> None:
        """Take the values of `write_state`. Raises BadModel where the module has other parameters or shapes."""
        given, own = torch.load(path, weights_only=True, mmap=True), self._state()
        other = [name for name in {*given, *own} if name not in own or name not in given]
        other += [name for name in given.keys() & own.keys() if given[name].shape != own[name].shape]
        if other:
            raise BadModel(
                f"built a second time, the model has other weights: {', '.join(sorted(other)[:5])}",
                hint="the factory must build the same architecture every time it is called",
            )
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(given[name])

    def _state(self) -> dict[str, torch.Tensor]:
        return dict(self._module.named_parameters()) | dict(self._module.named_buffers())


def _argument_names(module: torch.nn.Module) -> list[str]:
    """The names of forward's arguments that may be given by name."""
    if isinstance(module, torch.jit.ScriptModule):
        return [argument.name for argument in module.forward.schema.arguments if argument.name != "self"]
    return [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def _array(value: torch.Tensor) -> Array:
    value = value.detach()
    array: Array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    return array.copy()  # forward may return a view of a buffer that its next call changes


def _spec(name: str, array: Array) -> TensorSpec:
    shape = ("batch", *array.shape[1:]) if array.ndim else ()
    return TensorSpec(name=name, dtype=str(array.dtype), shape=shape)


def _blank(spec: TensorSpec, inputs: Sequence[TensorSpec]) -> Array:
    """Random inputs of a described shape for tracing; every named size gets a number of its own."""
    names = ["batch", *sorted({name for other in inputs for name in other.named_dimensions} - {"batch"})]
    sizes = {name: _EXAMPLE_BATCH + 2 * number for number, name in enumerate(names)}
    shape = [sizes[size] if isinstance(size, str) else size for size in spec.shape]
    generator = np.random.default_rng(0)
    if spec.dtype.startswith(("int", "uint")):
        low, high = (spec.domain.low, spec.domain.high) if spec.domain else (None, None)
        return generator.integers(int(low or 0), int(high if high is not None else 1) + 1, shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    return generator.standard_normal(shape).astype(spec.dtype)
