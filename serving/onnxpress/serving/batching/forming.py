"""Which requests are not to be run, or not any more, and which are run together."""

from __future__ import annotations

from time import monotonic

from onnxpress.serving.batching.batch_run import Waiting
from onnxpress.serving.batching.counts import Counts
from onnxpress.serving.engine import Engine
from onnxpress.serving.exchange import CLIENT_GONE
from onnxpress.serving.protocol.inputs import Inputs
from onnxpress.serving.protocol.refusal import error_body
from onnxpress.serving.protocol.requests import Reader


class EmptyTensors:
    """Which tensors without values are refused.

    Some operators kill the process when one reaches them. Of an exported model a batch of no rows was measured; all
    else that is empty is refused where the graph has such an operator.
    """

    def __init__(self, engine: Engine, reader: Reader) -> None:
        fatal, answers_no_rows = engine.fatal_when_empty, engine.manifest is not None and engine.manifest.no_rows
        self._fatal = ", ".join(fatal)
        self._no_rows = reader.has_rows and not answers_no_rows and bool(engine.manifest or fatal)
        self._axes = slice(1, None) if reader.has_rows else slice(None)
        """those besides the rows"""

    def refused(self, inputs: Inputs) -> str:
        """Why this request is; empty where it is not."""
        if self._no_rows and inputs.rows == 0:
            return "a batch of no rows; this model was not shown to answer one"
        if self._fatal and any(0 in shape[self._axes] for shape in inputs.shapes):
            return f"a tensor of no values; the runtime would die of it in {self._fatal}"
        return ""


def still_wanted(waiting: list[Waiting], counts: Counts) -> tuple[list[Waiting], bool]:
    """Those whose callers are there and whose time is not over, and whether that of any can be; the others are told."""
    kept: list[Waiting] = []
    now, may_expire = monotonic(), False
    for one in waiting:
        if one.exchange.gone:
            counts.cancelled += 1
            one.exchange.respond(CLIENT_GONE, b"")
        elif one.deadline is not None and one.deadline <= now:
            counts.expired += 1
            one.exchange.respond(504, error_body("the request's timeout was over before it could be run"))
        else:
            kept.append(one)
            may_expire |= one.deadline is not None
    return kept, may_expire


def first_batch(waiting: list[Waiting], max_rows: int) -> tuple[list[Waiting], list[Waiting]]:
    """The first request and all that can share its run, in order, up to so many rows; and the rest."""
    tails, rows = waiting[0].inputs.tails, 0
    batch: list[Waiting] = []
    rest: list[Waiting] = []
    for one in waiting:
        inputs = one.inputs
        if not batch or (inputs.tails == tails and rows + inputs.rows <= max_rows):
            batch.append(one)
            rows += inputs.rows
        else:
            rest.append(one)
    return batch, rest
