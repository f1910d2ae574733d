"""What a torch module chooses among scores: the first of equal ones, and another where noise alone tells two apart.

Of equal values torch promises no order in `topk`, an unstable `sort`, `kthvalue` and `median`; ONNX's TopK takes the
first. So the first is taken here too, and the two can be compared on equal values as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from onnxpress.core.arrays import Array
from onnxpress.export.network import Precision, TruthUnavailable

Answer = dict[str, Array]

_ATEN = torch.ops.aten
_NO_ORDER = {_ATEN.topk.default, _ATEN.sort.default, _ATEN.sort.stable, _ATEN.kthvalue.default, _ATEN.median.dim}
"""operators that may give equal values in any order"""
_FIRST = {_ATEN.max.dim, _ATEN.min.dim, _ATEN.argmax.default, _ATEN.argmin.default}
"""operators that promise the first of equal values, on the CPU"""
_MOST_NOISE = 1000.0
"""of scores, in float32's epsilons of a row's largest: more is no rounding, but another choice that was made before"""

_MIXERS = (-7046029254386353131, -4417276706812531889, -4658895280553007687)
"""odd numbers of 64 bits, as hashes multiply with"""


class Choices:
    """How the runs of one module choose. `chooses` is None until a run has shown it.

    `notes` are told once of each operator of which torch gave equal values in another order.
    """

    def __init__(self, notes: list[str], *, chooses: bool | None = None) -> None:
        self.chooses = chooses
        self._notes = notes
        self._scores: list[torch.Tensor] | None = None
        self._turn: tuple[Sequence[torch.Tensor], float, int] | None = None

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Around a run: the first of equals is chosen, or as `turned` says."""
        if self.chooses is False:
            yield
            return
        mode = _Mode(self._notes, self._turn)
        with mode:
            yield
        self.chooses = bool(self.chooses) or bool(mode.scores)
        if self._scores is not None:
            self._scores[:] = mode.scores

    @contextlib.contextmanager
    def recorded(self, scores: list[torch.Tensor]) -> Iterator[None]:
        """The scores of the next run are put into `scores`, in the order in which they are chosen from."""
        self._scores = scores
        try:
            yield
        finally:
            self._scores = None

    @contextlib.contextmanager
    def turned(self, truths: Sequence[torch.Tensor], limit: float, turn: int) -> Iterator[None]:
        """Runs within choose after noise is put on the scores: `limit` times what float32 adds to them.

        `truths` are the same scores in float64, as far as they are known. Turns come in pairs of opposite noise, so
        that one of both exchanges two scores that lie very near to each other. Scores that are equal in float64 too
        stay equal: they are no rounding's doing.
        """
        self._turn = (truths, limit, turn)
        try:
            yield
        finally:
            self._turn = None

    def otherwise(self, run: Callable[[Precision], Answer], limit: float, turns: int) -> Iterator[Answer]:
        """What `run` answers in so many turns, see `turned`; nothing where it chooses nothing."""
        if not self.chooses:
            return
        truths: list[torch.Tensor] = []
        with contextlib.suppress(TruthUnavailable), self.recorded(truths):
            run("float64")
        for turn in range(turns):
            with self.turned(truths, limit, turn):
                yield run("float32")


class _Mode(TorchDispatchMode):
    def __init__(self, notes: list[str], turn: tuple[Sequence[torch.Tensor], float, int] | None) -> None:
        super().__init__()
        self.scores: list[torch.Tensor] = []
        self._notes, self._turn = notes, turn

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if function not in _NO_ORDER and function not in _FIRST:
            return function(*args, **given)
        names = [argument.name for argument in function._schema.arguments]
        given |= dict(zip(names, args, strict=False))
        scores, number = given["self"], len(self.scores)
        self.scores.append(scores)
        if scores.ndim == 0 or not scores.numel() or (scores.is_floating_point() and bool(scores.isnan().any())):
            return function(**given)
        if self._turn is None or not scores.is_floating_point():
            return self._first(function, given)
        axis = given.get("dim", None if function in (_ATEN.argmax.default, _ATEN.argmin.default) else -1)
        answer = self._first(function, given | {"self": self._with_noise(scores, number, axis)})
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

    def _with_noise(self, scores: torch.Tensor, number: int, axis: int | None) -> torch.Tensor:
        assert self._turn is not None
        truths, limit, turn = self._turn
        values = scores.double()
        wide = truths[number].double() if number < len(truths) else values
        if wide.shape != values.shape:
            wide = values
        finite, true = (torch.nan_to_num(one, 0.0, 0.0, 0.0) for one in (values, wide))
        axes = list(range(values.ndim)) if axis is None else [axis]
        unit = torch.finfo(torch.float32).eps * finite.abs().amax(axes, keepdim=True)
        moved = (finite - true).abs().amax(axes, keepdim=True)
        reach = limit * torch.minimum(torch.maximum(moved, unit), _MOST_NOISE * unit)
        return values + (1 - 2 * (turn % 2)) * reach * _noise(values, wide, turn // 2)


def _noise(values: torch.Tensor, wide: torch.Tensor, seed: int) -> torch.Tensor:
    """Numbers between -1 and 1: the same for the same pair of values, another for any other; no -0.0 beside 0.0."""
    mixed = (values + 0.0).view(torch.int64) * _MIXERS[0] ^ (wide + 0.0).view(torch.int64) * _MIXERS[1]
    for mixer in (_MIXERS[2] + 2 * seed, _MIXERS[0]):
        mixed = (mixed ^ (mixed >> 29)) * mixer
    return (mixed >> 11).double() / 2.0**52
