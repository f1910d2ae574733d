"""Weights of a torch module that lie in a file of their own: a state dict, or a checkpoint that holds one."""

from __future__ import annotations

import argparse
import codecs
import datetime
import pathlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onnxpress.core.errors import BadModel

_USUAL = ("model_state_dict", "state_dict", "model", "network", "net", "weights", "module", "params")
"""where training loops put the state dict, beside the optimizer's and their own figures"""
_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""what DataParallel, torch.compile and Lightning put before every name"""


def load_weights(module: torch.nn.Module, path: Path, key: str | None = None) -> None:
    """Load a state dict: `.safetensors`, or what torch.save wrote, without running code that may be in it.

    `key` says where in a checkpoint it is (`a.b` within `a`); the usual places are looked at without it. Raises
    BadModel where there is none, or naming the parameters that do not fit.
    """
    try:
        held = _read(path)
    except pickle.UnpicklingError as error:
        # torch's own words advise to switch the check off.
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise BadModel(
            f"the file holds more than tensors and plain values{what}, which is not read, for it can run code",
            where=str(path),
            hint="save the state dict: torch.save(model.state_dict(), FILE)",
        ) from error
    except Exception as error:
        raise BadModel(f"it cannot be read as weights: {error}", where=str(path)) from error
    try:
        module.load_state_dict(_unwrapped(_found(held, key, path), module))
    except BadModel:
        raise
    except Exception as error:
        raise BadModel(f"the weights do not fit the model: {error}", where=str(path)) from error


def _read(path: Path) -> Any:
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    # A threshold or a mean that numpy computed is a numpy scalar: plain values, which torch does not know by itself.
    # What is in an array of objects is read as warily as the rest.
    kinds = {type(np.dtype(code)) for code in [*"?bBhHiIlLqQefdOUS", "M8[s]", "m8[s]"]}
    scalar = np.float64(0).__reduce__()[0]  # where it lies depends on numpy's version
    rebuilt = np.zeros(1).__reduce__()[0]
    plain = [scalar, (scalar, "numpy.core.multiarray.scalar"), rebuilt, (rebuilt, "numpy.core.multiarray._reconstruct")]
    plain += [argparse.Namespace, datetime.date, datetime.datetime, datetime.timedelta, pathlib.PosixPath]
    with torch.serialization.safe_globals([*plain, np.dtype, np.ndarray, *kinds, codecs.encode]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _found(held: Any, key: str | None, path: Path) -> Mapping[str, Any]:
    if isinstance(held, torch.nn.Module) or not isinstance(held, Mapping):
        raise BadModel(f"the file holds {type(held).__name__}, no state dict", where=str(path))
    if key is not None:
        inner: Any = held
        for part in [key] if key in held else key.split("."):
            if not isinstance(inner, Mapping) or part not in inner:
                raise BadModel(f"there is no {key!r} in it", where=str(path), hint=_holds(held))
            inner = inner[part]
        if not isinstance(inner, Mapping):
            raise BadModel(f"{key!r} is {type(inner).__name__}, no state dict", where=str(path), hint=_holds(held))
        return inner
    if _is_state(held):
        return held
    named = [name for name in _USUAL if _is_state(held.get(name))]
    if named:
        inner = held[named[0]]
        assert isinstance(inner, Mapping)
        return inner
    raise BadModel(
        "there is no state dict where they usually are",
        where=str(path),
        hint=f"--weights-key{_deeper(held)}; {_holds(held)}",
    )


def _deeper(held: Mapping[str, Any]) -> str:
    """The first place within a place where a state dict lies, as the option takes it."""
    for name, inner in held.items():
        if isinstance(inner, Mapping):
            if _is_state(inner):
                return f" {name}"
            if found := _deeper(inner):
                return f" {name}.{found[1:]}"
    return ""


def _is_state(held: Any) -> bool:
    return (
        isinstance(held, Mapping)
        and any(isinstance(value, torch.Tensor) for value in held.values())
        and not any(isinstance(value, Mapping) for value in held.values())
    )


def _holds(held: Mapping[str, Any]) -> str:
    return f"it holds {', '.join(map(str, list(held)[:10]))}"


def _unwrapped(held: Mapping[str, Any], module: torch.nn.Module) -> Mapping[str, Any]:
    """Without a wrapper's prefix, where all names have it and none of the module's has."""
    own = module.state_dict()
    for prefix in _WRAPPERS:
        if held and all(name.startswith(prefix) for name in held) and not any(n.startswith(prefix) for n in own):
            return _unwrapped({name.removeprefix(prefix): value for name, value in held.items()}, module)
    return held


def take(given: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    """Put the given values into a module's own tensors of the same names. Raises BadModel where they do not fit."""
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
