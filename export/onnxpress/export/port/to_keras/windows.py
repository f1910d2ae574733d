"""What lies under the windows of a pool beyond the ends of its axes, and what of it counts in an average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from onnxpress.export.port.code import literal, short, tuple_of
from onnxpress.export.port.layout import Value, channels_last
from onnxpress.export.port.to_keras.making import as_tuple
from onnxpress.export.port.to_keras.reductions import reduced
from onnxpress.export.port.to_keras.registry import FUNCTIONS
from onnxpress.export.port.to_keras.writer import Writer


@dataclass(frozen=True)
class Windows:
    """The windows of a pool over the axes behind the channels, as torch's arguments say."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True

    @property
    def rank(self) -> int:
        """Over how many axes."""
        return len(self.kernel)

    def beyond(self, w: Writer, x: Value) -> tuple[int, ...]:
        """How far they reach beyond the padded end, where their number is rounded up. Raises NoCorrespondence."""
        if not self.ceil_mode:
            return (0,) * self.rank
        sizes, shown = x.sizes[2:], w.step.shown.sizes[2:]
        if None in sizes or None in shown:
            raise w.refuse("a pool with ceil_mode over sizes that vary has no correspondence")
        return tuple(
            max(0, ((out or 0) - 1) * s + k - ((size or 0) + 2 * p))
            for out, s, k, size, p in zip(shown, self.stride, self.kernel, sizes, self.padding, strict=True)
        )

    def padded(self, w: Writer, x: Value, *, average: bool) -> tuple[Value, str]:
        """x, padded in a line of its own, and the code of what an average over all of a window is divided by."""
        more = self.beyond(w, x)
        if not any(self.padding) and not any(more):
            return x, ""
        widths = ((0, 0), *((p, p + m) for p, m in zip(self.padding, more, strict=True)), (0, 0))
        name = w.fresh("padded")
        with_what = "" if average else ', constant_values=-float("inf")'
        w.lines.append(f"{name} = ops.pad({x.code}, {literal(widths)}{with_what})")
        padded = Value(name, x.shown, x.perm)
        if not average or (self.count_include_pad and not any(more)):
            return padded, ""
        sizes = x.sizes[2:]
        if None in sizes:
            raise w.refuse("average pooling that leaves out what was padded over sizes that vary has no correspondence")
        counts = [(size or 0) + 2 * p * self.count_include_pad for size, p in zip(sizes, self.padding, strict=True)]
        left = widths if not self.count_include_pad else ((0, 0), *((0, m) for m in more), (0, 0))
        share = w.fresh("share")
        w.lines.append("# of each window what counts")
        ones = f"ops.ones({tuple_of(['1', *map(str, counts), '1'])})"
        w.lines.append(f"{share} = {self.call('average_pool', f'ops.pad({ones}, {literal(left)})')}")
        return padded, share

    def call(self, function: str, code: str) -> str:
        """A pool of `keras.ops` with these windows."""
        strides = "" if self.stride == self.kernel else f", strides={literal(short(self.stride))}"
        return f"ops.{function}({code}, {literal(short(self.kernel))}{strides})"


def _as_function(name: str, kind: str, rank: int) -> None:
    average = kind == "average_pool"

    def of_average(kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                   count_include_pad: bool = True, divisor_override: Any = None) -> tuple[Any, ...]:  # fmt: skip
        return kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 1, False

    def of_maximum(kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                   return_indices: bool = False) -> tuple[Any, ...]:  # fmt: skip
        return kernel_size, stride, padding, ceil_mode, True, None, dilation, return_indices

    def write(w: Writer, x: Value, *args: Any, **options: Any) -> Value:
        said = (of_average if average else of_maximum)(*args, **options)
        kernel, stride, padding, ceil_mode, counts, divisor, dilation, indices = said
        sizes = [kernel, stride or kernel, padding]
        if any(not isinstance(one, int) for size in sizes for one in (size if isinstance(size, tuple) else (size,))):
            raise w.refuse(f"{name} with windows that vary has no correspondence")
        if divisor is not None or indices or dilation not in (1, (1,) * rank) or x.rank != rank + 2:
            raise w.refuse(f"{name} with these options has no correspondence")
        x = w.in_layout(w.settle(x), channels_last(rank + 2), "channels last, as this layer has them")
        kernel, stride, padding = (as_tuple(_alone(size), rank) for size in sizes)
        windows = Windows(kernel, stride, padding, bool(ceil_mode), bool(counts))
        padded, share = windows.padded(w, x, average=average)
        code = windows.call(kind, padded.code)
        return w.like(x, f"{code} / {share}" if share else code, bare=not share)

    FUNCTIONS[name] = write


def _alone(size: Any) -> Any:
    return size[0] if isinstance(size, tuple) and len(size) == 1 else size


for _rank in (1, 2, 3):
    _as_function(f"max_pool{_rank}d", "max_pool", _rank)
    _as_function(f"avg_pool{_rank}d", "average_pool", _rank)


def _power_pool(name: str, rank: int) -> None:
    def write(w: Writer, x: Value, norm_type: float, kernel_size: Any, stride: Any = None,
              ceil_mode: bool = False) -> Value:  # fmt: skip
        if not math.isfinite(norm_type):
            raise w.refuse(f"{name} of order {norm_type} has no correspondence", "call max_pool")
        power = int(norm_type) if norm_type == int(norm_type) else norm_type
        kernel = as_tuple(_alone(kernel_size), rank)
        x = w.settle(w.made(x))
        powers = Value(f"{w.operand(x)} ** {power}", x.shown, x.perm, bare=False)
        means = FUNCTIONS[f"avg_pool{rank}d"](w, powers, kernel, stride, 0, ceil_mode)
        return w.like(means, f"({w.operand(means)} * {math.prod(kernel)}) ** {1 / power}", bare=False)

    FUNCTIONS[name] = write


for _rank in (1, 2, 3):
    _power_pool(f"lp_pool{_rank}d", _rank)


def adapted(w: Writer, x: Value, sizes: tuple[int | None, ...], name: str) -> Value:
    """Pooled to these sizes by `ops.mean` or `ops.max`, whether or not they divide the input's."""
    lengths = x.sizes[2:]
    goals = [length if size is None else size for length, size in zip(lengths, sizes, strict=True)]
    if None in lengths:
        raise w.refuse("adaptive pooling of sizes that vary to another than 1 has no correspondence")
    x = w.in_layout(w.settle(w.made(x)), channels_last(x.rank), "channels last, as this layer has them")
    whole = all(length % goal == 0 for length, goal in zip(lengths, goals, strict=True) if length and goal)
    if whole:
        kernel = tuple((length or 0) // (goal or 1) for length, goal in zip(lengths, goals, strict=True))
        windows = Windows(kernel, kernel, (0,) * len(kernel))
        return x if set(kernel) == {1} else w.like(x, windows.call(f"{_POOLS[name]}_pool", x.code))
    w.shared.helpers.add("pooled_to")
    code = x.code
    for place, (length, goal) in enumerate(zip(lengths, goals, strict=True), 1):
        code = code if length == goal else f"pooled_to({code}, {place}, {goal}, ops.{name})"
    return w.like(x, code)


_POOLS = {"mean": "average", "max": "max"}


def _global_pool(torch_name: str, name: str, rank: int) -> None:
    def write(w: Writer, x: Value, output_size: Any = 1, return_indices: bool = False) -> Value:
        if return_indices:
            raise w.refuse(f"the places that {torch_name} finds have no correspondence")
        if output_size in (1, (1,) * rank):
            return reduced(w, name, x, tuple(range(2, rank + 2)), True)
        return adapted(w, x, as_tuple(output_size, rank), name)

    FUNCTIONS[torch_name] = write


for _rank in (1, 2, 3):
    _global_pool(f"adaptive_avg_pool{_rank}d", "mean", _rank)
    _global_pool(f"adaptive_max_pool{_rank}d", "max", _rank)
