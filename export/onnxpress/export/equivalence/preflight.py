"""Before anything is compared: the reference must answer the same question the same way twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import NotEquivalent
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.network import Beginning, Network

_BEGINNINGS = frozenset({"samples", "generated", "zeros", "large", "turns", "integers"})


def repeatable(reference: Reference, network: Network, cases: Sequence[Case]) -> Check:
    """Ask twice at once, and again after other inputs. Raises NotEquivalent naming the random layer, or the state."""
    case, other, large = cases[0], cases[-1], max(cases, key=lambda one: one.batch)
    first = reference.run(case.feeds)
    if not _same(first, reference.run(case.feeds)):
        raise _random(reference, network, case)
    # A few values may agree by chance: many are asked too.
    if large is not case and not _same(reference.run(large.feeds), reference.run(large.feeds)):
        raise _random(reference, network, large)
    if other is not large:
        reference.run(other.feeds)
    if not _same(first, reference.run(case.feeds)):
        raise NotEquivalent(
            "the model keeps state: its answer changed after it was asked about other inputs",
            hint="an ONNX graph has no memory; make the state an input and an output",
        )
    _refuse_first_call(reference, network, cases)
    return Check(name="repeatable", passed=True, detail="the same input answered the same twice and after others")


def _random(reference: Reference, network: Network, case: Case) -> NotEquivalent:
    layer = network.random_layer(reference.network_feeds(case.feeds))
    return NotEquivalent(
        f"the model is random, or counts its calls: two runs on the same input differ, first in {layer}",
        hint="keep sampling and dropout out of inference: training=False, F.dropout(x, p, self.training); and let "
        "forward change nothing of its own",
    )


def _refuse_first_call(reference: Reference, network: Network, cases: Sequence[Case]) -> None:
    """Raise NotEquivalent where the answer depends on what the model was asked first, ever: the graph would keep it."""
    if not isinstance(network, Beginning):
        return
    asked = reference.network_feeds(cases[0].feeds)
    alone = network.begun(asked, asked)
    # One of each kind that begins otherwise: other rows, nothing at all, other scales. Each takes a copy of the model.
    others = {case.kind: case for case in cases[1:] if case.kind in _BEGINNINGS}
    for case in others.values() if alone is not None else ():
        answer = network.begun(reference.network_feeds(case.feeds), asked)
        if answer is not None and alone is not None and not _same(alone, answer):
            raise NotEquivalent(
                "the model keeps what its first call was about: asked the same, it answers otherwise where its first "
                f"rows were others ({case.name})",
                hint="the export would fix the first rows in the graph; compute such values when the model is made, or "
                "make them an input",
            )


def _same(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return all(
        value.shape == second[name].shape and np.array_equal(value, second[name], equal_nan=value.dtype.kind == "f")
        for name, value in first.items()
    )
