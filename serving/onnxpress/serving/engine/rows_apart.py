"""Whether a model's rows may be run together: as its manifest says that was measured, or as its graph proves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from onnxpress.core.manifest import Manifest
from onnxpress.core.onnx_graph import Model, open_model
from onnxpress.core.tensors import TensorSpec
from onnxpress.serving import log


class RowsApart(msgspec.Struct, frozen=True):
    """`apart`: a row's answer is the same in every batch. `why` says how that is known, or what stands against it.

    `known` is the same in a word or two: `proven`, `measured`, `dependent (node)`, or nothing.
    """

    apart: bool
    why: str
    known: str = ""


def told(manifest: Manifest) -> RowsApart:
    """What was measured of a published version."""
    if manifest.batch_safe:
        proof = "proven over its graph, and " if manifest.rows == "proven" else ""
        return RowsApart(True, f"a row's answer was {proof}measured the same in a batch", manifest.rows or "measured")
    known = manifest.rows or "dependent"
    return RowsApart(False, f"measured: a row's answer depends on the others in its batch ({known})", known)


def proven(model: Model, *, where: str) -> RowsApart:
    """What the graph of a file without a manifest shows."""
    # Not before it is needed: the rules of all operators take as long to import as the rest of the engine.
    from onnxpress.core.rows import Proven, prove

    try:
        answer = prove(model)
    except Exception as error:  # a graph that the proof trips over is served all the same, one request after another
        log.say(f"{where}: whether its rows are independent could not be looked at: {error!r}")
        return RowsApart(
            False, "whether a row's answer depends on its batch was never measured, nor could it be proven"
        )
    if isinstance(answer, Proven):
        return RowsApart(True, "its graph proves that a row's answer is the same in every batch", "proven")
    why = f"there is no manifest, and its graph does not prove that rows are independent: {answer}"
    return RowsApart(False, why, f"dependent ({answer.node})" if answer.definite else "")


def of(path: Path, manifest: Manifest | None) -> RowsApart:
    """What is known of a model file, and of the manifest beside it. Raises BadModel where it is no model."""
    if manifest is not None:
        return told(manifest)
    with open_model(path) as model:
        return proven(model, where=str(path))


def named_alike(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """The outputs with their rows named as the inputs' are, where both are open.

    A converter that loses the name of the batch on the way leaves another, or none, at the end.
    """
    rows = inputs[0].shape[0] if inputs and inputs[0].shape else None
    if not isinstance(rows, str):
        return tuple(outputs)
    return tuple(
        msgspec.structs.replace(spec, shape=(rows, *spec.shape[1:]))
        if spec.shape and isinstance(spec.shape[0], str)
        else spec
        for spec in outputs
    )
