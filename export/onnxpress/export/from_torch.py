"""A torch.nn.Module as a Network: asked in float32 and float64, converted with torch.onnx.export(dynamo=True)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.conversion import OPSET, Array, Precision, TruthUnavailable, converter_talk
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

_EXAMPLE_BATCH = 3  # torch.export specialises sizes 0 and 1, and 2 is a common size of something else


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load a `.safetensors` state dict. Raises BadModel naming the parameters that do not fit."""
    from safetensors.torch import load_file

    try:
        module.load_state_dict(load_file(path))
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error


class TorchNetwork:
    """A copy of the module in eval mode; the caller's module (mode, buffers, hooks) stays as it was."""

    def __init__(self, source: Source) -> None:
        original: torch.nn.Module = source.network
        self.framework_version = str(torch.__version__)
        self.converter = f"torch.onnx dynamo {torch.__version__}"
        self.notes: list[str] = []
        training = [name or type(original).__name__ for name, module in original.named_modules() if module.training]
        try:
            self._module = copy.deepcopy(original).eval().cpu()
        except Exception as error:
            raise BadModel(
                f"the module cannot be copied: {error}",
                where=source.reference,
                hint="export needs a deep copy so that your own model stays untouched; name a factory instead",
            ) from error
        if training:
            shown = ", ".join(training[:3]) + (" …" if len(training) > 3 else "")
            self.notes.append(f"was in training mode ({shown}); measured and exported in eval mode")
        self._double: torch.nn.Module | None = None
        parameters = inspect.signature(self._module.forward).parameters.values()
        self._argument_names = [
            parameter.name
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        self._given = self._named_examples(source)
        self.inputs = source.network_inputs or [_spec(name, array) for name, array in self._given.items()]
        if source.network_inputs:
            self._check_names(source)
        self.output_names = (
            [spec.name for spec in source.network_outputs] if source.network_outputs else self._tell_outputs()
        )

    def _named_examples(self, source: Source) -> dict[str, Array]:
        """The author's example inputs by argument name."""
        given = source.example_inputs
        if given is None:
            if not source.network_inputs and source.samples:
                return source.samples
            if not source.network_inputs:
                arguments = self._argument_names or ["x"]
                raise UsageError(
                    "a torch module does not tell the shapes of its inputs",
                    where=source.reference,
                    hint=f"return (model, example_inputs) from the factory, pass --samples FILE.npz, or add "
                    f"--input '{arguments[0]}:float32[batch,...]'",
                )
            return {}
        if isinstance(given, torch.Tensor | np.ndarray):
            given = (given,)
        if isinstance(given, Mapping):
            named = dict(given)
        elif isinstance(given, Sequence):
            named = dict(zip(self._argument_names, given, strict=False))
        else:
            raise UsageError(
                f"example_inputs is {type(given).__name__}", where=source.reference, hint="a tensor, tuple or dict"
            )
        arrays = {}
        for name, value in named.items():
            if not isinstance(value, torch.Tensor | np.ndarray):
                raise UsageError(
                    f"the example of {name!r} is {type(value).__name__}, not a tensor", where=source.reference
                )
            arrays[name] = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        return arrays

    def _check_names(self, source: Source) -> None:
        # A run's single network input may carry another name than forward's argument; positions decide then.
        if len(self.inputs) > len(self._argument_names):
            raise UsageError(
                f"{len(self.inputs)} inputs are described, forward takes {', '.join(self._argument_names) or 'none'}",
                where=source.reference,
            )

    def _tell_outputs(self) -> list[str]:
        feeds = self.examples(_EXAMPLE_BATCH)
        if feeds is None:
            feeds = {spec.name: _blank(spec) for spec in self.inputs}
        return list(self.run(feeds, "float32"))

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The given examples, their rows repeated or cut to `batch`."""
        if not self._given:
            return None
        return {
            name: np.resize(array, (batch, *array.shape[1:])) if array.ndim else array
            for name, array in self._given.items()
        }

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """Name → array for each output, flattened; see Network.run."""
        module = self._module if precision == "float32" else self._in_double()
        tensors = []
        for spec in self.inputs:
            tensor = torch.from_numpy(np.array(feeds[spec.name]))  # a copy: forward may write into its input
            if spec.dtype in ("float32", "float64"):
                tensor = tensor.to(getattr(torch, precision))
            tensors.append(tensor)
        args, kwargs = self._arguments(tensors)
        try:
            with torch.no_grad():
                answer = module(*args, **kwargs)
        except Exception as error:
            if precision == "float64":
                raise TruthUnavailable(str(error)) from error
            shapes = {spec.name: list(feeds[spec.name].shape) for spec in self.inputs}
            raise BadModel(f"the module fails on inputs of shape {shapes}: {error}") from error
        flat = _flatten(answer)
        names = getattr(self, "output_names", None) or list(flat)
        return dict(zip(names, (value.detach().numpy() for value in flat.values()), strict=True))

    def _arguments(self, tensors: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional where the described names are not arguments of forward, by name where they are."""
        names = [spec.name for spec in self.inputs]
        if set(names) <= set(self._argument_names) and names != self._argument_names[: len(names)]:
            return [], dict(zip(names, tensors, strict=True))
        return tensors, {}

    def _in_double(self) -> torch.nn.Module:
        if self._double is None:
            self._double = copy.deepcopy(self._module).double()
        return self._double

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
            if any(not torch.equal(a, b) for a, b in zip(_tensors(first), _tensors(second), strict=False)):
                return f"{name} ({type(self._module.get_submodule(name)).__name__})"
        return f"the forward method of {type(self._module).__name__}"

    def convert(self) -> onnx.ModelProto:
        """torch.onnx.export with every named dimension dynamic; raises NotEquivalent where one is baked in."""
        feeds = self.examples(_EXAMPLE_BATCH) or {spec.name: _blank(spec) for spec in self.inputs}
        tensors = [torch.from_numpy(np.array(feeds[spec.name])) for spec in self.inputs]
        dynamic = [
            {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)}
            for spec in self.inputs
        ]
        args, kwargs = self._arguments(tensors)
        by_name = dict(zip([spec.name for spec in self.inputs], dynamic, strict=True))
        # A copy again: the exporter swaps parameters for fake tensors while it traces, and a failure leaves them in.
        module = copy.deepcopy(self._module)
        with converter_talk() as talk:
            try:
                program = torch.onnx.export(
                    module,
                    tuple(args),
                    kwargs=kwargs or None,
                    dynamo=True,
                    opset_version=OPSET,
                    dynamic_shapes=by_name if kwargs else tuple(dynamic),
                    input_names=[spec.name for spec in self.inputs],
                    output_names=self.output_names,
                    external_data=False,
                    verbose=False,
                )
            except Exception as error:
                raise self._explain(error) from error
        if program is None:
            raise BadModel("torch.onnx.export returned nothing", hint=talk.tail() or None)
        proto: onnx.ModelProto = program.model_proto
        return proto

    def _explain(self, error: Exception) -> Exception:
        chain: list[str] = []
        cause: BaseException | None = error
        while cause is not None:
            chain.append(str(cause))
            cause = cause.__cause__ or cause.__context__
        text = "\n".join(chain)
        if "marked dynamic" in text or "Constraints violated" in text or "specialized" in text:
            names = ", ".join(sorted({name for spec in self.inputs for name in spec.named_dimensions}))
            return NotEquivalent(
                f"the module works at one size only: a dimension that should vary ({names}) is fixed in forward",
                hint="replace sizes written into the code (reshape(4, -1), torch.zeros(4, ...)) by x.shape[0] or -1; "
                "torch.export says: " + _first_line(text, "specialized", "marked dynamic", "Constraints violated"),
            )
        return BadModel(
            f"torch.onnx.export cannot convert it: {_first_line(chain[-1])}", hint="run with --debug for all"
        )


def _spec(name: str, array: Array) -> TensorSpec:
    shape = ("batch", *array.shape[1:]) if array.ndim else ()
    return TensorSpec(name=name, dtype=str(array.dtype), shape=shape)


def _blank(spec: TensorSpec) -> Array:
    """Random inputs of a described shape for tracing; every named size gets a number of its own."""
    names = list(spec.named_dimensions)
    sizes = {name: _EXAMPLE_BATCH + 2 * names.index(name) for name in names}
    shape = [sizes[size] if isinstance(size, str) else size for size in spec.shape]
    generator = np.random.default_rng(0)
    if spec.dtype.startswith(("int", "uint")):
        low, high = (spec.domain.low, spec.domain.high) if spec.domain else (None, None)
        return generator.integers(int(low or 0), int(high if high is not None else 1) + 1, shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    return generator.standard_normal(shape).astype(spec.dtype)


def _flatten(answer: Any, prefix: str = "") -> dict[str, Any]:
    """Outputs by stable names: dict keys as they are, positions as `output_0`, a lone tensor as `output`."""
    if isinstance(answer, torch.Tensor):
        return {prefix or "output": answer}
    if isinstance(answer, Mapping):
        items = [(str(key), value) for key, value in answer.items()]
    elif hasattr(answer, "_asdict"):
        items = list(answer._asdict().items())
    elif isinstance(answer, list | tuple):
        items = [(str(number) if prefix else f"output_{number}", value) for number, value in enumerate(answer)]
    else:
        raise BadModel(
            f"forward returns {type(answer).__name__}, which has no tensor form", hint="return tensors, tuples or dicts"
        )
    flat: dict[str, Any] = {}
    for name, value in items:
        if value is not None:
            flat.update(_flatten(value, f"{prefix}.{name}" if prefix else name))
    return flat


def _tensors(answer: Any) -> list[Any]:
    if isinstance(answer, torch.Tensor):
        return [answer]
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if isinstance(answer, list | tuple):
        return [tensor for value in answer for tensor in _tensors(value)]
    return []


def _first_line(text: str, *needles: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines:
        if any(needle in line for needle in needles):
            return line
    return lines[0] if lines else "no reason given"
