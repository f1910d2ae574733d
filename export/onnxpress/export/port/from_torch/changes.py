"""What is changed in place while it is traced: every name of a tensor, and what it is a view of, has the new value.

A view whose change cannot be written back, or one that was taken before, is refused where it is read the next time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from onnxpress.export.port.refusal import NoCorrespondence

_MOST_PLACES = 32
_SAME_DATA = ("view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as")
"""views of all values in one order, so that a reshape brings them back"""
_SHAPE_ALONE = ("unsqueeze_", "squeeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "requires_grad_")


def item_set(x: Any, key: Any, value: Any) -> Any:
    """The function that stands in the graph for `x[key] = value`: a copy that holds it."""
    changed = x.clone()
    changed[key] = value
    return changed


def with_plain_places(key: Any) -> Any:
    """The index with short tensors of fixed places as lists of numbers."""
    if isinstance(key, tuple):
        return tuple(map(with_plain_places, key))
    is_short = (
        isinstance(key, torch.Tensor) and key.dim() == 1 and key.dtype == torch.int64 and len(key) <= _MOST_PLACES
    )
    return key.tolist() if is_short else key


class Held:
    """What values in the trace hold: of what it is a view, which views were taken of it, and what became of it."""

    def __init__(self, name: Any) -> None:
        self.names: list[Any] = [name]
        """the values in the trace that are this one"""
        self.base: Any = None
        self.views: list[Held] = []
        self.key: Any = None
        """of a view how its base is told from it: the item that it is, or the name of the function"""
        self.is_stored = False
        """whether it is a parameter or buffer"""
        self.last_set: Any = None
        """the item that was assigned last: key, value, and the value of the whole since then"""
        self.divided: Any = None
        """of a quotient what was divided by what"""
        self.changed_at = ""
        """the line at which it was changed in a way that this name of it does not show"""


def followed(tracer: Any, proxy: Any, given: list[tuple[Any, Any]], target: Any, args: Any, where: str) -> None:
    """Note what a call did. `given` are the values that it took, each with the copy that was handed in."""
    results = list(_tensors(proxy.pair[0]))
    for taken, copy in given:
        shares = copy.numel() and any(
            one.untyped_storage().data_ptr() == copy.untyped_storage().data_ptr() for one in results
        )
        if target in _SHAPE_ALONE and taken is args[0]:
            taken.node, taken.pair = proxy.node, proxy.pair
        elif shares and _placed(results[0]) == _placed(copy):  # the same under another name, changed or not
            _same(proxy, taken)
            if copy._version:
                _spread(tracer, taken, proxy, where)
        elif copy._version:
            taken.held.changed_at = where
            _spread(tracer, taken, taken, where)
        elif shares:
            _view(proxy, taken, getattr(target, "__name__", target), args)


def _same(proxy: Any, taken: Any) -> None:
    proxy.held = taken.held
    proxy.held.names.append(proxy)


def _view(proxy: Any, taken: Any, name: str, args: Any) -> None:
    proxy.held.base = taken
    taken.held.views.append(proxy.held)
    if name == "getitem" and isinstance(taken.pair[0], torch.Tensor):
        proxy.held.key = (args[1],)
    elif name in _SAME_DATA:
        proxy.held.key = "reshape"


def assigned(tracer: Any, x: Any, key: Any, value: Any, where: str) -> None:
    """`x[key] = value`."""
    key = with_plain_places(key)
    node = getattr(value, "node", None)
    if node is not None and x.held.last_set == (repr(key), node, x.node):  # the end of x[key] += 1
        return
    proxy = tracer.create_proxy("call_function", item_set, (x, key, value), {})
    x.held.last_set = (repr(key), node, proxy.node)
    _spread(tracer, x, proxy, where)


def refuse_stale(value: Any, where: str) -> None:
    """Raise NoCorrespondence where the value was changed under another name."""
    if value.held.changed_at:
        raise NoCorrespondence(
            f"what is read here was changed in place at {value.held.changed_at}, by another name or by a layer; that "
            "has no correspondence",
            where=where or value.held.changed_at,
            hint="write the change as an assignment: y = x + 1 for x.add_(1), inplace=False for a layer",
        )


def _spread(tracer: Any, changed: Any, new: Any, where: str) -> None:
    """Give what `changed` holds the value `new`, under all names; also what it is a view of, and the views of it."""
    held = changed.held
    for name in held.names:
        name.node, name.pair = new.node, new.pair
    if held.is_stored:
        raise NoCorrespondence(
            "forward changes a parameter or buffer of the module, which has no correspondence", where=where
        )
    for view in held.views:
        _outdated(view, where)
    held.views = []
    base = held.base
    if base is None or base.held.changed_at:
        return
    base.held.views = [view for view in base.held.views if view is not held]
    if isinstance(held.key, tuple):
        assigned(tracer, base, held.key[0], changed, where)
    elif held.key == "reshape":
        whole = tracer.create_proxy("call_method", "reshape", (changed, *base.shape), {})
        _spread(tracer, base, whole, where)
    else:
        _outdated(base.held, where)
    base.held.views.append(held)


def _outdated(held: Held, where: str) -> None:
    """This one and all that shares its data."""
    if not held.changed_at:
        held.changed_at = where
        for view in held.views:
            _outdated(view, where)
        if held.base is not None and not isinstance(held.base.pair[0], torch.Tensor):
            _outdated(held.base.held, where)


def _placed(value: torch.Tensor) -> Any:
    return value.shape, value.stride(), value.storage_offset(), value.dtype


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


class InPlace(fx.Proxy):
    """The augmented assignments of a value in the trace: of a tensor they change it, of a number they make another."""

    pair: tuple[Any, Any]

    def _changed(self, method: str, other: Any) -> Any:
        if not isinstance(self.pair[0], torch.Tensor):
            return NotImplemented
        self.tracer.create_proxy("call_method", method, (self, other), {})
        return self

    def __iadd__(self, other: Any) -> Any:
        return self._changed("add_", other)

    def __isub__(self, other: Any) -> Any:
        return self._changed("sub_", other)

    def __imul__(self, other: Any) -> Any:
        return self._changed("mul_", other)

    def __itruediv__(self, other: Any) -> Any:
        return self._changed("div_", other)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._changed("floor_divide_", other)

    def __imod__(self, other: Any) -> Any:
        return self._changed("remainder_", other)

    def __ipow__(self, other: Any) -> Any:
        return self._changed("pow_", other)

    def __iand__(self, other: Any) -> Any:
        return self._changed("bitwise_and_", other)

    def __ior__(self, other: Any) -> Any:
        return self._changed("bitwise_or_", other)

    def __ixor__(self, other: Any) -> Any:
        return self._changed("bitwise_xor_", other)
