"""TensorBoard's event file of a fit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from onnxpress.core.optional import require

OnEpoch = Callable[[int, float, Mapping[str, float]], None]
"""epoch from 1, training loss, figures of the validation rows"""


@contextlib.contextmanager
def events(folder: Path | None) -> Iterator[OnEpoch]:
    """A function that writes an epoch's figures into `folder`/tensorboard; nothing is written for None.

    The losses are `loss/training` and `loss/validation`; a recipe that selects by a metric also gets `validation/…`.
    """
    if folder is None:
        yield lambda *_: None
        return
    files = require("tensorboard.summary.writer.event_file_writer", needed_by="writing TensorBoard's event file")
    protos = require("tensorboard.compat.proto.event_pb2", needed_by="writing TensorBoard's event file")
    summaries = require("tensorboard.compat.proto.summary_pb2", needed_by="writing TensorBoard's event file")
    writer = files.EventFileWriter(str(folder / "tensorboard"))

    def write(epoch: int, loss: float, figures: Mapping[str, float]) -> None:
        tags = {"loss/training": loss, "loss/validation": figures["loss"]}
        tags |= {f"validation/{name}": value for name, value in figures.items() if name != "loss"}
        values = [summaries.Summary.Value(tag=tag, simple_value=value) for tag, value in tags.items()]
        summary = summaries.Summary(value=values)
        writer.add_event(protos.Event(wall_time=time.time(), step=epoch, summary=summary))

    try:
        yield write
    finally:
        writer.close()
