"""Before anything is compared: the reference must answer the same question the same way twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import NotEquivalent
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import Check
from onnxpress.export.network import Network


def repeatable(reference: Reference, network: Network, cases: Sequence[Case]) -> Check:
    """Ask twice at once, and again after other inputs. Raises NotEquivalent naming the random layer, or the state."""
    case, other = cases[0], cases[-1]
    first = reference.run(case.feeds)
    if not _same(first, reference.run(case.feeds)):
        layer = network.random_layer(reference.network_feeds(case.feeds))
        raise NotEquivalent(
            f"the model is random: two runs on the same input differ, first in {layer}",
            hint="keep sampling and dropout out of inference: training=False, F.dropout(x, p, self.training)",
        )
    reference.run(other.feeds)
    if not _same(first, reference.run(case.feeds)):
        raise NotEquivalent(
            "the model keeps state: its answer changed after it was asked about other inputs",
            hint="an ONNX graph has no memory; make the state an input and an output",
        )
    return Check(name="repeatable", passed=True, detail="the same input answered the same twice and after others")


def _same(first: dict[str, Array], second: dict[str, Array]) -> bool:
    return all(
        value.shape == second[name].shape and np.array_equal(value, second[name], equal_nan=value.dtype.kind == "f")
        for name, value in first.items()
    )
