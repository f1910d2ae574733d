"""What forward takes and answers beside plain tensors: tuples, dicts, dataclasses and namedtuples of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx


@dataclass(frozen=True)
class Given:
    """A tensor among a call's arguments: its name, and what it is at both sizes."""

    name: str
    pair: tuple[Any, Any]


def item_of(several: Any, place: int) -> Any:
    """The function that stands in the graph for one of the values in a dict or dataclass; see `values_of`."""
    return values_of(several)[place]


def structured(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value, what stands within tuples, lists, dicts, dataclasses and namedtuples changed."""
    if isinstance(value, fx.Proxy | torch.Tensor | Given):
        return change(value)
    if (keys := keys_of(value)) is not None:
        return _of_fields(value, {key: structured(field(value, key), change) for key in keys})
    if isinstance(value, tuple | list):
        items = [structured(item, change) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return change(value)


def _of_fields(value: Any, fields: dict[str, Any]) -> Any:
    """The dict, dataclass or namedtuple with these fields; itself where none is another."""
    if all(item is field(value, key) for key, item in fields.items()):
        return value
    if type(value) is dict:
        return fields
    if isinstance(value, tuple):
        return type(value)(**fields)
    changed = copy.copy(value)
    for key, item in fields.items():
        if isinstance(changed, MutableMapping):
            changed[key] = item
        else:
            object.__setattr__(changed, key, item)
    return changed


def keys_of(value: Any) -> list[str] | None:
    """The keys or fields of a dict, dataclass or namedtuple; None of everything else."""
    if isinstance(value, Mapping):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Given):
        return [one.name for one in dataclasses.fields(value)]
    return list(value._asdict()) if isinstance(value, tuple) and hasattr(value, "_asdict") else None


def fields_of(value: Any) -> list[str]:
    """The names of a dataclass's fields; of everything else there are none."""
    return [one.name for one in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []


def field(value: Any, key: str) -> Any:
    """What stands under the key."""
    return value[key] if isinstance(value, Mapping) else getattr(value, key)


def values_of(value: Any) -> list[Any]:
    """What a dict or dataclass holds but for None, in order."""
    return [field(value, key) for key in keys_of(value) or () if field(value, key) is not None]


def is_plain(value: Any) -> bool:
    """Whether it is a number, a text, None, or a tuple of such."""
    if isinstance(value, tuple | list):
        return keys_of(value) is None and all(map(is_plain, value))
    return value is None or isinstance(value, int | float | str)
