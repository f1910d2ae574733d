"""What the author's own Keras layers hold in plain attributes before their first call, and may set in it.

A model cannot be copied in general, and is built by being called. So its freshness is put back: attributes that were
None, a number or a word before the first call, and hold computed values after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

Unset = list[tuple[Any, str, Any]]
_PLAIN = (type(None), bool, int, float, str)


def unset_attributes(model: Any) -> Unset:
    """Layer, attribute and plain value, of every layer of a class that is not Keras's; the model's own among them."""
    known = set(vars(keras.layers.Layer())) | set(vars(keras.Model()))
    parts = {id(part): part for part in [model, *model._flatten_layers()]}
    return [
        (part, name, value)
        for part in parts.values()
        if not type(part).__module__.startswith("keras.")
        for name, value in (_of_classes(part) | vars(part)).items()
        if name not in known and isinstance(value, _PLAIN)
    ]


def _of_classes(part: Any) -> dict[str, Any]:
    """What the author's own classes give it: `scale = None` there is another value of the instance later."""
    own = [kind for kind in reversed(type(part).__mro__) if not kind.__module__.startswith(("keras.", "builtins"))]
    given = {name: value for kind in own for name, value in vars(kind).items() if not name.startswith("__")}
    return given if any(issubclass(kind, keras.Operation) for kind in own) else {}


@contextlib.contextmanager
def as_before(unset: Unset) -> Iterator[bool]:
    """The attributes as they were while this is open, then as they are now; whether any differs.

    One that became a weight or a layer was built, and stays.
    """
    changed = [
        (part, name, before, now)
        for part, name, before in unset
        if (now := getattr(part, name, before)) is not before
        and not isinstance(now, keras.Variable | keras.layers.Layer)
    ]
    try:
        for part, name, before, _ in changed:
            setattr(part, name, before)
        yield bool(changed)
    finally:
        for part, name, _, now in changed:
            setattr(part, name, now)
