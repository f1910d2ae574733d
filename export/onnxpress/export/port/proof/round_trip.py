"""Rung 5: the written model exported to ONNX, which must answer as the source that it was written from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.network import Network
from onnxpress.export.pipeline.export import export
from onnxpress.export.port.proof.answers import answers
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.source import Source
from onnxpress.serving.engine import Engine

NOT_ASKED = Rung(name="round trip", holds=None, detail="--round-trip exports it to ONNX again")


def round_trip(network: Network, target: KerasTarget, asked: Sequence[Case]) -> Rung:
    """The way there and back through a file: torch → Keras → ONNX, asked what the first rung asked."""
    model = target.model()
    source = Source(reference="the written model", name="ported", framework="tensorflow", network=model)
    with tempfile.TemporaryDirectory(prefix="onnxpress-round-trip-") as folder:
        try:
            published = export(source, repository=Path(folder))
        except OnnxpressError as error:
            said = f"the written model cannot be exported: {error.what.splitlines()[0]}"
            return Rung(name="round trip", holds=False, detail=said)
        engine = Engine.load(published.folder / "model.onnx")
        names = [str(tensor.name) for tensor in model.inputs]

        def answered(feeds: dict[str, Array]) -> dict[str, Array]:
            given = dict(zip(names, target.inputs(feeds), strict=True))
            return target.named(list(_in_order(model, engine.run(given)).values()))

        try:
            rung = answers(network, answered, asked)
        finally:
            engine.close()
    return msgspec.structs.replace(rung, name="round trip", detail=f"by ONNX, {rung.detail}")


def _in_order(model: object, found: dict[str, Array]) -> dict[str, Array]:
    """The answers in the order in which the written model gives them: of a dict in that of its keys."""
    structure = getattr(model, "_outputs_struct", None)
    if isinstance(structure, dict) and set(structure) == set(found):
        return {name: np.asarray(found[name]) for name in structure}
    return found
