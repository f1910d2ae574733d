"""A graph that answers NaN otherwise than the original, mended where its maxima and minima are the reason."""

from __future__ import annotations

from dataclasses import replace

from onnxpress.core.golden import LIMIT
from onnxpress.core.manifest import SessionSettings
from onnxpress.export.equivalence import special_values
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.export.graph import external_data
from onnxpress.export.graph.nan_reductions import with_nan
from onnxpress.export.pipeline.convert import Converted
from onnxpress.export.pipeline.prepare import Prepared

_ROWS = 3
"""of the case in which NaN is put"""


def answering_nan(prepared: Prepared, converted: Converted, provider: str) -> Converted:
    """The graph with maxima that answer NaN, where some input then takes it that did not, and none the other way.

    The graph is left as it is where that changes nothing: a model that is never asked so pays nothing.
    """
    if external_data.is_beside(converted.graph):
        return converted
    mended = with_nan(converted.graph)
    if mended is None:
        return converted
    before = _refused(prepared, converted, provider)
    if not before:
        return converted
    other = replace(converted, graph=mended)
    after = _refused(prepared, other, provider)
    return other if after < before else converted


def _refused(prepared: Prepared, converted: Converted, provider: str) -> set[str]:
    """The inputs whose NaN is answered otherwise than by the original, or not at all."""
    case = next((case for case in prepared.cases if case.batch == _ROWS), prepared.cases[0])
    pool = EnginePool(external_data.loadable(converted.graph, converted.folder), provider)
    served = pool.rung(SessionSettings())
    found = special_values.answers_nan(prepared.reference, served, case, prepared.inputs, converted.outputs, LIMIT)
    pool.release()
    return {name for name, why in found.items() if why}
