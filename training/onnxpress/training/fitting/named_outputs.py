"""One of several tensors that a user's own network returns, by the name that the recipe gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.core.errors import BadModel


def pick(answer: Any, names: Sequence[str], chosen: str) -> Any:
    """Of a tuple or list the one at the name's place, of a dict the one of that key.

    Raises BadModel where there are not as many as names, or a dict's keys are others or in another order.
    """
    if isinstance(answer, Mapping):
        if list(answer) != list(names):
            raise BadModel(
                f"it returns {', '.join(map(str, answer))}, and outputs are {', '.join(names)}",
                where="model.outputs",
                hint="name the keys in their order",
            )
        return answer[chosen]
    count = len(answer) if isinstance(answer, tuple | list) else 1
    if count != len(names) or not isinstance(answer, tuple | list):
        raise BadModel(
            f"it returns {count} {'tensor' if count == 1 else 'tensors'}, and {len(names)} outputs are named",
            where="model.outputs",
            hint="name all that it returns, in their order",
        )
    return answer[list(names).index(chosen)]


def alone(answer: Any) -> Any:
    """The one tensor that a network answers. Raises BadModel where it returns several, or a dict of them."""
    if not isinstance(answer, tuple | list | Mapping):
        return answer
    kind = f"a dict of {', '.join(map(str, answer))}" if isinstance(answer, Mapping) else f"{len(answer)} tensors"
    raise BadModel(
        f"the network returns {kind}",
        where="model.outputs",
        hint="name all that it returns, one of them logits or probabilities: outputs: [logits, features]",
    )
