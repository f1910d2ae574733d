"""Which of those who wait are still to be run, and which of them together."""

from __future__ import annotations

from time import monotonic

from onnxpress.serving.batching.batch_run import Waiting
from onnxpress.serving.batching.counts import Counts
from onnxpress.serving.exchange import CLIENT_GONE
from onnxpress.serving.protocol.refusal import error_body


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
