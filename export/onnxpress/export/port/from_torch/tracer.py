"""A torch module's forward traced with torch.fx, every value computed at two sizes of what varies.

Sizes that are the same in both runs are plain numbers in the trace, as the rank and the dtype are, so code that asks
for them is followed. Code that decides by a tensor's values, or by a size that varies, is refused by its line.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import fx
from torch.nn.utils import rnn

from onnxpress.export.port.from_torch.changes import Held, InPlace, assigned, followed, refuse_stale, with_plain_places
from onnxpress.export.port.from_torch.drawing import at_the_end, is_draw
from onnxpress.export.port.from_torch.indexing import depends, of_each_row, several_of_each_row, size_of, without_arange
from onnxpress.export.port.from_torch.learning import could_learn
from onnxpress.export.port.from_torch.lines import line
from onnxpress.export.port.from_torch.numpy_calls import AnswersNumpy
from onnxpress.export.port.from_torch.structures import Given, field, fields_of, is_plain, item_of, keys_of, structured
from onnxpress.export.port.refusal import NoCorrespondence

PACKED = ("pack_padded_sequence", "pad_packed_sequence")


_ON_SIZES = (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod)
_OF_KIND = (torch.is_floating_point, torch.is_complex, torch.is_tensor)


class Traced(AnswersNumpy, InPlace):
    """A value in the trace, with what it is at both sizes in `pair`."""

    held: Held

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
        if isinstance(self.pair[0], Mapping):
            return lambda: [self[key] for key in self.pair[0]]
        return self[0]

    @property
    def indices(self) -> Any:
        return self[1]

    def __getattr__(self, name: str) -> Any:
        pair = self.__dict__.get("pair")
        if pair is not None and (keys := keys_of(pair[0])) is not None:
            if name in keys:
                return self[name]
            if name in fields_of(pair[0]):
                return None  # as transformers' outputs, which keep what is not None
            if name == "items" and isinstance(pair[0], Mapping):
                return lambda: [(key, self[key]) for key in keys]
        return super().__getattr__(name)

    def keys(self) -> Any:
        return self.pair[0].keys() if isinstance(self.pair[0], Mapping) else super().keys()

    def __getitem__(self, key: Any) -> Any:
        value = self.pair[0]
        if isinstance(value, tuple | list) and isinstance(key, slice):
            return tuple(self[number] for number in range(*key.indices(len(value))))
        if isinstance(value, tuple | list) and isinstance(key, int):
            first, second = (several[key] for several in self.pair)
            if is_plain(first) and first == second:
                return first
        if (keys := keys_of(value)) is None:
            key = without_arange(value, with_plain_places(key))
            if (places := of_each_row(self, key)) is not None:
                return torch.take_along_dim(self, places, 1)[:, 0]
            if (taken := several_of_each_row(self, key)) is not None:
                return taken
            return self.tracer.create_proxy("call_function", operator.getitem, (self, key), {})
        kept = list(keys) if isinstance(key, str) else [k for k in keys if field(value, k) is not None]
        name = key if isinstance(key, str) else kept[key]
        if field(value, name) is None:
            return None
        place = [k for k in keys if field(value, k) is not None].index(name)
        return self.tracer.create_proxy("call_function", item_of, (self, place), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        assigned(self.tracer, self, key, value, line()[0])

    def new_tensor(self, data: Any, **options: Any) -> Any:
        if isinstance(data, Traced):
            return data.detach().to(options.get("dtype") or self.dtype)
        return torch.tensor(data, dtype=options.get("dtype") or self.dtype)

    def is_floating_point(self) -> bool:
        return bool(self.pair[0].is_floating_point())

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.pair[0], Mapping):
            return iter(self.pair[0])
        first, second = (len(value) for value in self.pair)
        if first != second:
            raise NoCorrespondence(
                "a loop over an axis whose size varies cannot be traced",
                where=line()[0],
                hint="functions of the whole axis, or a size that the example inputs and --input give, can be followed",
            )
        return iter([self[number] for number in range(first)])

    def __len__(self) -> int:
        first, second = (len(value) for value in self.pair)
        if first != second:
            raise NoCorrespondence("len() of an axis whose size varies cannot be traced", where=line()[0])
        return first

    def __bool__(self) -> bool:
        first, second = (bool(value) if _is_one(value) else None for value in self.pair)
        if first is not None and first == second and not depends(self.node):
            return first
        if not isinstance(self.pair[0], torch.Tensor) and bool(self.pair[0]) == bool(self.pair[1]):
            return self.tracer.decided(bool(self.pair[0]))
        of_values = isinstance(self.pair[0], torch.Tensor)
        raise NoCorrespondence(
            f"the code takes a way that depends on {'the values of a tensor' if of_values else 'a size that varies'}",
            where=line()[0],
            hint="torch.where(condition, one, other) takes both ways" if of_values else None,
        )

    def _number(self) -> Any:
        raise NoCorrespondence(
            "a tensor's value or a varying size is needed as a plain number",
            where=line()[0],
            hint="leave it a tensor: without item(), int() and float(), and with functions of torch in math's stead",
        )

    __index__ = __int__ = __float__ = item = tolist = _number


class Tracer(fx.Tracer):
    """Every submodule is one call; what each was called with is kept in `calls`, to trace it in its turn."""

    proxy_buffer_attributes = True

    def __init__(self, inlined: frozenset[str] = frozenset()) -> None:
        super().__init__(autowrap_modules=(), autowrap_functions=tuple(getattr(rnn, name) for name in PACKED))
        self.inlined = inlined
        """submodules that are followed where they are called, as each call does something else"""
        self.decisions: list[str] = []
        """lines at which a size that varies decided, at both sizes in the same way"""
        self.turned: int | None = None
        """the one of them that goes the other way in this trace"""
        self.own_gradients: list[str] = []
        """functions of the author's with a backward of their own, and their lines"""
        self.trained_at = ""
        """the line from which on training mode computes something else"""
        self.draws: list[Any] = []
        """what each random draw of training mode is for; see `drawing`"""
        self.given: tuple[Any, Any] = (None, None)
        self.concrete = False
        self.calls: dict[str, tuple[Any, Any]] = {}
        self.differing: dict[str, str] = {}
        """a submodule that is called with other plain arguments than before → the line"""
        self.resized: dict[str, tuple[Any, Any]] = {}
        """a submodule that is called with tensors of other sizes than before → these arguments"""
        self.variables: dict[str, list[str]] = {}
        self.lines: dict[str, str] = {}
        self.pairs: dict[str, tuple[Any, Any]] = {}
        self.entered: set[torch.nn.Module] = set()
        """modules whose own code was followed, as where their forward is called by its name"""
        self.unlearning: set[str] = set()
        """what was computed under torch.no_grad()"""
        self.detached: dict[str, Traced] = {}

    def proxy(self, node: fx.Node) -> Traced:
        traced = Traced(node, self)
        traced.held = Held(traced)
        return traced

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self.concrete else super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.inlined

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        def called(root: torch.nn.Module) -> Any:
            return root_fn(root, *args, **kwargs)

        args, kwargs = structured((concrete_args or {})["all"], self._placeholder)
        return called, [self.root]

    def decided(self, way: bool) -> bool:
        """The way to go, and a note of it."""
        self.decisions.append(line()[0])
        return way is not (len(self.decisions) - 1 == self.turned)

    def _placeholder(self, value: Any) -> Any:
        if not isinstance(value, Given):
            return value
        self.given = value.pair
        return self.create_proxy("placeholder", value.name, (), {})

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Traced):
            refuse_stale(a, line()[0])
            if a.node.name in self.unlearning and torch.is_grad_enabled() and isinstance(a.pair[0], torch.Tensor):
                a = self._detached(a)
        if (keys := keys_of(a)) is not None and type(a) is not dict:
            a = {key: field(a, key) for key in keys if field(a, key) is not None}
        return super().create_arg(a)

    def _constant(self, value: Any) -> Any:
        """A tensor that no input has a part in, such as a mask that the module keeps, as a value in the trace."""
        if not isinstance(value, torch.Tensor):
            return value
        proxy = self.proxy(self.create_arg(value))
        proxy.pair = value, value
        self.pairs[proxy.node.name] = proxy.pair
        return proxy

    def _detached(self, value: Traced) -> Traced:
        """What was computed under torch.no_grad(), as the code behind it reads it."""
        name = value.node.name
        if not could_learn(self.root, self.pairs, value.node):
            return value
        if name not in self.detached:
            with torch.no_grad():
                self.detached[name] = self.create_proxy("call_method", "detach", (value,), {})
            self.unlearning.discard(self.detached[name].node.name)
        return self.detached[name]

    def call_module(self, m: Any, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.concrete:
            return forward(*args, **kwargs)
        if m not in self.submodule_paths and not any(True for _ in m.parameters()):  # made in forward, as nn.ReLU()(x)
            return forward(*args, **kwargs)
        args, kwargs = structured((args, kwargs), lambda value: self._constant(_one_by_one(value)))
        return super().call_module(m, forward, args, kwargs)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **more: Any) -> Any:
        if target in _OF_KIND:  # asked of a tensor's kind, not of its values
            return target(_filled(args[0] if args else kwargs["input"], 0))
        if target in _ON_SIZES and all(isinstance(_filled(arg, 0), int) for arg in args):
            first, second = (target(*_filled(args, which)) for which in (0, 1))
            if first == second:  # as a length less itself
                return first
        where, scope = line()
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        if kind == "placeholder":
            proxy.pair = self.given
        elif kind != "output":
            copies: list[tuple[Any, Any]] = []
            first = self._computed(kind, target, args, kwargs, 0, copies)
            proxy.pair = first, self._computed(kind, target, args, kwargs, 1, [])
        if hasattr(proxy, "pair"):
            self.pairs[proxy.node.name] = proxy.pair
        if self._learns_nothing(kind, args, proxy):
            self.unlearning.add(proxy.node.name)
        self.lines[proxy.node.name] = where
        proxy.held.is_stored = kind == "get_attr"
        proxy.held.divided = args if target is operator.truediv else None
        if kind in ("call_function", "call_method", "call_module"):
            followed(self, proxy, copies, target, args, where)
        if isinstance(owner := scope.get("self"), torch.nn.Module) and owner in self.submodule_paths:
            self.entered.add(owner)
        for name, value in scope.items():
            if isinstance(value, Traced) and name != "self" and not name.startswith((".", "_")):
                names = self.variables.setdefault(value.node.name, [])
                if name not in names:
                    names.append(name)
        return proxy

    def _learns_nothing(self, kind: str, args: Any, proxy: Any) -> bool:
        """Whether it was computed under torch.no_grad(), or is one item of what was."""
        if kind in ("placeholder", "get_attr", "output"):
            return False
        first = args[0] if args else None
        of_several = isinstance(first, Traced) and not isinstance(first.pair[0], torch.Tensor)
        first = proxy.pair[0]
        whole = isinstance(first, torch.Tensor) and not first.is_floating_point()
        return not whole and (not torch.is_grad_enabled() or (of_several and args[0].node.name in self.unlearning))

    def _computed(self, kind: str, target: Any, args: Any, kwargs: Any, which: int, copies: list[Any]) -> Any:
        """What it computes; `copies` gets each value that is taken with the copy that was handed in."""
        value = self._called(kind, target, args, kwargs, which, copies)
        return at_the_end(target, value, which) if is_draw(target) else value

    def _called(self, kind: str, target: Any, args: Any, kwargs: Any, which: int, copies: list[Any]) -> Any:
        values, named = _filled(args, which, copies), _filled(kwargs, which, copies)
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
                    self.calls[target] = structured((args, kwargs), _as_given)
                if which == 0 and _plain_of(self.calls[target]) != _plain_of((args, kwargs)):
                    self.differing.setdefault(target, line()[0])
                if which == 0 and _sizes_of(self.calls[target]) != _sizes_of((args, kwargs)):
                    self.resized.setdefault(target, structured((args, kwargs), _as_given))
                return module(*values, **named)
        finally:
            self.concrete = False


def _is_one(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


def _plain_of(arguments: Any) -> str:
    """What a call is given beside tensors."""
    return str(structured(arguments, lambda value: ... if isinstance(value, Traced | Given) else value))


def _sizes_of(arguments: Any) -> str:
    """The sizes of the tensors that a call is given."""

    def sizes(value: Any) -> Any:
        if not isinstance(value, Traced | Given):
            return None
        return [tuple(one.shape) if isinstance(one, torch.Tensor) else None for one in value.pair]

    return str(structured(arguments, sizes))


def _one_by_one(value: Any) -> Any:
    """A tuple that was computed as a tuple of what is in it."""
    if isinstance(value, Traced) and isinstance(value.pair[0], tuple | list) and keys_of(value.pair[0]) is None:
        return tuple(_one_by_one(value[number]) for number in range(len(value.pair[0])))
    return value


def _as_given(value: Any) -> Any:
    return Given("", value.pair) if isinstance(value, Traced) else value


def _filled(value: Any, which: int, copies: list[Any] | None = None) -> Any:
    if isinstance(value, Traced):
        found = value.pair[which]
        if isinstance(found, torch.Tensor):
            found = found.clone()
            if copies is not None:
                copies.append((value, found))
        return found
    if isinstance(value, slice):
        return slice(*(_filled(item, which) for item in (value.start, value.stop, value.step)))
    return structured(value, lambda item: _filled(item, which, copies) if isinstance(item, Traced | slice) else item)
