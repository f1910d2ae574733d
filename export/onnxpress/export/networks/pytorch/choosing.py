"""What a torch module chooses among scores: the first of equal ones, and another where noise alone tells two apart.

Of equal values torch promises no order in `topk`, an unstable `sort`, `kthvalue` and `median`; ONNX's TopK takes the
first. So the first is taken here too, and the two can be compared on equal values as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from onnxpress.core.arrays import Array
from onnxpress.export.networks.choosing import Choices, Turn

_ATEN = torch.ops.aten
_NO_ORDER = {_ATEN.topk.default, _ATEN.sort.default, _ATEN.sort.stable, _ATEN.kthvalue.default, _ATEN.median.dim}
"""operators that may give equal values in any order"""
_FIRST = {_ATEN.max.dim, _ATEN.min.dim, _ATEN.argmax.default, _ATEN.argmin.default}
"""operators that promise the first of equal values, on the CPU"""


def choices(notes: list[str], *, chooses: bool | None = None) -> Choices:
    """How a module's runs choose. `notes` are told once of each operator that gave equal values in another order."""
    return Choices(partial(_Mode, notes), chooses=chooses)


class _Mode(TorchDispatchMode):
    def __init__(self, notes: list[str], turn: Turn | None) -> None:
        super().__init__()
        self.scores: list[Array] = []
        self._notes, self._turn = notes, turn

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if function not in _NO_ORDER and function not in _FIRST:
            return function(*args, **given)
        names = [argument.name for argument in function._schema.arguments]
        given |= dict(zip(names, args, strict=False))
        scores, place = given["self"], len(self.scores)
        self.scores.append(_array(scores))
        if scores.ndim == 0 or not scores.numel() or (scores.is_floating_point() and bool(scores.isnan().any())):
            return function(**given)
        if self._turn is None or not scores.is_floating_point():
            return self._first(function, given)
        axis = given.get("dim", None if function in (_ATEN.argmax.default, _ATEN.argmin.default) else -1)
        noisy = torch.from_numpy(self._turn.noisy(self.scores[place], place, axis))
        answer = self._first(function, given | {"self": noisy})
        if isinstance(answer, torch.Tensor):
            return answer
        places = answer[1]
        alone = places.ndim < scores.ndim
        values = scores.gather(axis, places.unsqueeze(axis) if alone else places)
        return (values.squeeze(axis) if alone else values), places

    def _first(self, function: Any, given: dict[str, Any]) -> Any:
        """What the operator answers, the first of equal values chosen."""
        plain = function(**given)
        if function in _FIRST:
            return plain
        kind = function.overloadpacket.__name__
        scores, axis = given["self"], given.get("dim", -1)
        down = given.get("largest", True) if kind == "topk" else given.get("descending", False)
        values, places = torch.sort(scores, dim=axis, descending=down, stable=True)
        if kind == "topk":
            values, places = (one.narrow(axis, 0, given["k"]) for one in (values, places))
        elif kind in ("kthvalue", "median"):
            at = given["k"] - 1 if kind == "kthvalue" else (scores.shape[axis] - 1) // 2
            values, places = (one.narrow(axis, at, 1) for one in (values, places))
            if not given.get("keepdim", False):
                values, places = values.squeeze(axis), places.squeeze(axis)
        note = f"of equal values {kind} gives the first one first, where torch promises no order"
        if not torch.equal(places, plain[1]) and note not in self._notes:
            self._notes.append(note)
        return values, places


def _array(scores: torch.Tensor) -> Array:
    """A copy: the module may write into it later."""
    array: Array = (scores.float() if scores.dtype == torch.bfloat16 else scores).detach().cpu().numpy().copy()
    return array
