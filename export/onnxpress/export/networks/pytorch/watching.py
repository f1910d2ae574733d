"""What a torch module computes on the way: every call of a torch function, by the module whose forward makes it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from onnxpress.core.raised import own_frame, place
from onnxpress.export.network import See, Seen
from onnxpress.export.networks.pytorch.structure import tensors_of

_TORCH = str(Path(torch.__file__).parent)
_OWN = str(Path(__file__).parent)
_EXPORT = str(Path(__file__).parents[2])
_RUNS = 8


class _Functions(TorchFunctionMode):
    """Shows what every torch function returns, and every module: `stack` holds the modules whose forward is running."""

    def __init__(self, module: torch.nn.Module, see: See) -> None:
        super().__init__()
        self.stack = [("", type(module).__name__)]
        self._see, self._seeing = see, False

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        answer = function(*args, **dict(kwargs or {}))
        name = getattr(function, "__name__", "")
        if name != "__get__" and not self._seeing:  # an attribute, such as .shape or .data
            self.show(self.stack[-1], name, answer, [args, kwargs])
        return answer

    def show(self, layer: tuple[str, str], operation: str, answer: Any, given: Any) -> None:
        """Show the float tensors of one answer."""
        self._seeing = True
        try:
            inputs, source = tensors_of(given), _source() if operation else ""
            for tensor in tensors_of(answer):
                if tensor.is_floating_point():
                    self._see(Seen(*layer, operation, source, tensor, _array(tensor), inputs))
        finally:
            self._seeing = False


@contextlib.contextmanager
def watching(module: torch.nn.Module, see: See) -> Iterator[None]:
    """While active, what the module and its submodules compute is shown; see Layered.watch."""
    functions = _Functions(module, see)
    with contextlib.ExitStack() as entered:
        for name, part in module.named_modules():
            if not name or isinstance(part, torch.jit.ScriptModule):
                continue

            def enter(part: torch.nn.Module, _: Any, name: str = name) -> None:
                functions.stack.append((name, type(part).__name__))

            def leave(part: torch.nn.Module, given: Any, answer: Any) -> None:
                functions.show(functions.stack.pop(), "", answer, given)

            entered.callback(part.register_forward_pre_hook(enter).remove)
            entered.callback(part.register_forward_hook(leave).remove)
        entered.enter_context(functions)
        yield


def random_layer(module: torch.nn.Module, run: Callable[[], object]) -> str:
    """The innermost module whose output changed first between runs on the same input; of few values two may agree."""
    first = _outputs(module, run)
    for _ in range(_RUNS):
        for (name, one), (_, other) in zip(first, _outputs(module, run), strict=False):
            if any(not torch.equal(a, b) for a, b in zip(tensors_of(one), tensors_of(other), strict=False)):
                return f"{name} ({type(module.get_submodule(name)).__name__})"
    return f"the forward method of {type(module).__name__}"


def _outputs(module: torch.nn.Module, run: Callable[[], object]) -> list[tuple[str, Any]]:
    """What every module inside gives in one run, in the order in which they end."""
    seen: list[tuple[str, Any]] = []
    hooks = [
        part.register_forward_hook(lambda _m, _i, out, name=name: seen.append((name, out)))
        for name, part in module.named_modules()
        if name
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return seen


class _Meets(TorchDispatchMode):
    def __init__(self, operator: str) -> None:
        super().__init__()
        self.place, self._operator = "", operator

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not self.place and function.overloadpacket.__name__.removeprefix("_") == self._operator:
            self.place = _source()
        return function(*args, **dict(kwargs or {}))


def line_of(operator: str, run: Callable[[], object]) -> str:
    """`model.py:12`, the author's line that comes to this operator of torch's first; empty where nobody can tell."""
    with contextlib.suppress(Exception), torch.no_grad(), _Meets(operator) as meets:
        run()
    return meets.place


def raised_at(error: BaseException) -> str:
    """`model.py:12`, the author's innermost line among those that an error of torch's came through; else empty."""
    return place(own_frame(error, lambda file: file.startswith((_TORCH, _EXPORT))))


def _source() -> str:
    """The innermost line of the running forward that is neither torch's nor ours."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_TORCH, _OWN)):
            return f"{Path(file).name}:{frame.f_lineno}"
        if frame.f_code.co_name in ("run", "line_of") and file.startswith(_OWN):
            return ""
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _array(tensor: torch.Tensor) -> Any:
    value = tensor.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
