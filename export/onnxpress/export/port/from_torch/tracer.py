"""A torch module's forward traced with torch.fx, every value computed at two sizes of what varies.

Sizes that are the same in both runs are plain numbers in the trace, as the rank and the dtype are, so code that asks
for them is followed. Code that decides by a tensor's values, or by a size that varies, is refused by its line.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import fx

from onnxpress.export.port.refusal import NoCorrespondence

MADE = ("arange", "zeros", "ones", "full", "eye", "linspace", "zeros_like", "ones_like", "full_like", "tril", "triu")
_INSIDE = (os.path.dirname(torch.__file__), os.path.dirname(os.path.dirname(__file__)), "contextlib.py")


def size_of(tensor: Any, axis: int) -> int:
    """The function that stands in the graph for a size that varies."""
    return int(tensor.shape[axis])


class Traced(fx.Proxy):
    """A value in the trace, with what it is at both sizes in `pair`."""

    pair: tuple[Any, Any]

    @property
    def shape(self) -> tuple[Any, ...]:
        first, second = (value.shape for value in self.pair)
        return tuple(
            a if a == b else self.tracer.create_proxy("call_function", size_of, (self, axis), {})
            for axis, (a, b) in enumerate(zip(first, second, strict=True))
        )

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return self.pair[0].dim()

    ndimension = dim

    @property
    def ndim(self) -> int:
        return self.pair[0].dim()

    @property
    def dtype(self) -> Any:
        return self.pair[0].dtype

    @property
    def device(self) -> Any:
        return self.pair[0].device

    @property
    def is_cuda(self) -> bool:
        return False

    @property
    def is_nested(self) -> bool:
        return False

    @property
    def requires_grad(self) -> bool:
        return bool(self.pair[0].requires_grad)

    @property
    def T(self) -> Any:  # noqa: N802 - torch's name
        return self.permute(*reversed(range(self.dim())))

    @property
    def mT(self) -> Any:  # noqa: N802
        return self.transpose(-2, -1)

    @property
    def values(self) -> Any:
        return self[0]

    @property
    def indices(self) -> Any:
        return self[1]

    def is_floating_point(self) -> bool:
        return bool(self.pair[0].is_floating_point())

    def __iter__(self) -> Iterator[Any]:
        first, second = (len(value) for value in self.pair)
        if first != second:
            raise NoCorrespondence("a loop over an axis whose size varies cannot be traced", where=line()[0])
        return iter([self[number] for number in range(first)])

    def __len__(self) -> int:
        first, second = (len(value) for value in self.pair)
        if first != second:
            raise NoCorrespondence("len() of an axis whose size varies cannot be traced", where=line()[0])
        return first

    def __bool__(self) -> bool:
        what = "the values of a tensor" if isinstance(self.pair[0], torch.Tensor) else "a size that varies"
        raise NoCorrespondence(f"the code takes a way that depends on {what}", where=line()[0])

    def _number(self) -> Any:
        raise NoCorrespondence("a tensor's value or a varying size is needed as a plain number", where=line()[0])

    __index__ = __int__ = __float__ = item = tolist = _number


class Tracer(fx.Tracer):
    """Every submodule is one call; what each was called with is kept in `calls`, to trace it in its turn."""

    proxy_buffer_attributes = True

    def __init__(self, given: list[tuple[Any, Any]]) -> None:
        super().__init__(autowrap_modules=())
        self.given, self.concrete = iter(given), False
        self.calls: dict[str, tuple[Any, Any]] = {}
        self.variables: dict[str, list[str]] = {}
        self.lines: dict[str, str] = {}
        self.pairs: dict[str, tuple[Any, Any]] = {}
        self.left_out: frozenset[str] = frozenset()

    def proxy(self, node: fx.Node) -> Traced:
        return Traced(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.concrete else super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return True

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        names = list(inspect.signature(root_fn).parameters)[1:]
        constants = concrete_args or {}

        def called(root: torch.nn.Module) -> Any:
            return root_fn(root, **given)

        given = {
            name: constants[name] if name in constants else self.create_proxy("placeholder", name, (), {})
            for name in names
            if name in constants or name not in self.left_out
        }
        return called, [self.root]

    def call_module(self, m: Any, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.concrete:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        where, scope = line()
        if kind == "placeholder":
            proxy.pair = next(self.given)
        elif kind != "output":
            proxy.pair = tuple(self._computed(kind, target, args, kwargs, which) for which in (0, 1))
        if hasattr(proxy, "pair"):
            self.pairs[proxy.node.name] = proxy.pair
        self.lines[proxy.node.name] = where
        for name, value in scope.items():
            if isinstance(value, Traced) and name != "self" and not name.startswith((".", "_")):
                names = self.variables.setdefault(value.node.name, [])
                if name not in names:
                    names.append(name)
        return proxy

    def _computed(self, kind: str, target: Any, args: Any, kwargs: Any, which: int) -> Any:
        values, named = _filled(args, which), _filled(kwargs, which)
        self.concrete = True
        try:
            with torch.no_grad():
                if kind == "get_attr":
                    value: Any = self.root
                    for part in target.split("."):
                        value = getattr(value, part)
                    return value.detach()
                if kind == "call_function":
                    return target(*values, **named)
                if kind == "call_method":
                    return getattr(values[0], target)(*values[1:], **named)
                module = self.root.get_submodule(target)
                if which == 0 and target not in self.calls:
                    self.calls[target] = (args, kwargs)
                return module(*values, **named)
        finally:
            self.concrete = False


def _filled(value: Any, which: int) -> Any:
    if isinstance(value, Traced):
        found = value.pair[which]
        return found.clone() if isinstance(found, torch.Tensor) else found
    if isinstance(value, tuple | list):
        return type(value)(_filled(item, which) for item in value)
    if isinstance(value, dict):
        return {key: _filled(item, which) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(*(_filled(item, which) for item in (value.start, value.stop, value.step)))
    return value


def line() -> tuple[str, dict[str, Any]]:
    """`nets.py:12` and the local variables of the innermost frame that is the user's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_INSIDE[:2]) and not name.endswith(_INSIDE[2]) and "forward" in _names(frame):
            return f"{os.path.basename(name)}:{frame.f_lineno}", frame.f_locals
        frame = frame.f_back
    return "", {}


def _names(frame: Any) -> set[str]:
    """The functions from this frame outwards: whether forward is among them."""
    found = set()
    while frame is not None:
        found.add(frame.f_code.co_name)
        frame = frame.f_back
    return found


def trace(root: torch.nn.Module, given: list[tuple[Any, Any]], constants: dict[str, Any]) -> tuple[fx.Graph, Tracer]:
    """The graph of root's forward. `given` holds the tensor arguments, at both sizes, in forward's order.

    `constants` are the other arguments. Raises NoCorrespondence with the line that cannot be followed.
    """
    tracer = Tracer(given)
    kinds = inspect.signature(type(root).forward).parameters.values()
    tracer.left_out = frozenset(p.name for p in kinds if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    try:
        with _made(tracer):
            return tracer.trace(root, constants), tracer
    except NoCorrespondence:
        raise
    except Exception as error:
        trail, where = error.__traceback__, ""
        while trail is not None:
            name = trail.tb_frame.f_code.co_filename
            if not name.startswith(_INSIDE[:2]):
                where = f"{os.path.basename(name)}:{trail.tb_lineno}"
            trail = trail.tb_next
        said = str(error).strip() or type(error).__name__
        raise NoCorrespondence(f"this line cannot be traced: {said.splitlines()[0]}", where=where) from error


@contextlib.contextmanager
def _made(tracer: Tracer) -> Iterator[None]:
    """Tensors made out of numbers stand in the trace as they are written, also where a number varies."""

    def patched(name: str) -> Callable[..., Any]:
        original = getattr(torch, name)

        def made(*args: Any, **kwargs: Any) -> Any:
            if tracer.concrete or not hasattr(tracer, "root"):
                return original(*args, **kwargs)
            return tracer.create_proxy("call_function", original, args, kwargs)

        return made

    with contextlib.ExitStack() as stack:
        for name in MADE:
            stack.enter_context(mock.patch.object(torch, name, patched(name)))
        yield
