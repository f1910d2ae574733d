"""A prepared source → the composed, tidied and checked graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from onnxpress.core import memory
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, UsageError
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.optional import require
from onnxpress.core.processing import apply
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.child_process import parent
from onnxpress.export.equivalence.cases import example_sizes, generate
from onnxpress.export.equivalence.runtime.rungs import EnginePool
from onnxpress.export.graph import external_data
from onnxpress.export.graph.compose import compose
from onnxpress.export.graph.deduplicate import deduplicated
from onnxpress.export.graph.editing import nodes
from onnxpress.export.graph.external_data import LARGE
from onnxpress.export.graph.safe_division import make_safe
from onnxpress.export.graph.servable import refuse_unservable
from onnxpress.export.graph.signature import fixed_dimensions, infer_outputs, set_signature
from onnxpress.export.graph.tidy import tidy
from onnxpress.export.network import Layered
from onnxpress.export.pipeline.prepare import Prepared
from onnxpress.export.source import Source
from onnxpress.serving.engine import value_dependent

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Converted:
    """The composed, tidied and checked graph, and its outputs with their named dimensions.

    Large weights lie in `folder` as `external_data.FILE`.
    """

    graph: onnx.ModelProto
    outputs: list[TensorSpec]
    folder: Path


def convert(
    prepared: Prepared, folder: Path, limits: parent.ConversionLimits | None = None, *, external_above: int = LARGE
) -> Converted:
    """Convert the network, compose it with its steps, and give inputs, outputs and layers the author's names.

    `folder` must be empty. More than `external_above` bytes of weights are left there. Raises NotEquivalent where a
    dimension that should vary is fixed, BadModel where the network cannot be converted or the graph not be served.
    """
    require("onnx", needed_by="exporting")
    import onnx

    source, network = prepared.source, prepared.network
    if source.ref is not None:
        proto = parent.convert(network, source.ref, limits or parent.ConversionLimits(), folder, external_above)
    else:  # an object handed over from Python: no other process can resolve it again
        proto = network.convert(folder)
        external_data.put_beside(proto, folder, above=external_above)
    problems = fixed_dimensions(proto, network.inputs)
    if problems:
        raise NotEquivalent(
            f"the converter fixed a dimension that should vary: {'; '.join(problems)}",
            where=source.reference,
            hint="the model works at the size it was traced with only; take sizes from the input's shape in forward",
        )
    set_signature(proto.graph.input, network.inputs)
    refuse_unservable(proto, source.allowed_operators)
    if source.processing.before or source.processing.after:
        outputs = source.outputs or _described_outputs(prepared)
        proto = compose(proto, source.processing, prepared.inputs, outputs)
    else:
        outputs = source.outputs or _observed_outputs(proto, prepared, folder)
        set_signature(proto.graph.output, outputs)
    if any(node.op_type in ("Div", "Mod") for node in nodes(proto.graph)):
        trapping = value_dependent.findings(proto.SerializeToString(deterministic=True)).trapping
        if count := make_safe(proto, trapping):
            note = "rewritten to answer the smallest integer by -1, of which the process would die"
            network.notes.append(f"{count} integer division{'s' if count > 1 else ''} {note}")
    layers = network.layer_names() if isinstance(network, Layered) else ()
    tidy(proto, metadata=_metadata(source, prepared.inputs, outputs), layers=layers)
    if not external_data.is_beside(proto):
        proto = deduplicated(proto)
    try:
        external_data.check(proto, folder)
    except onnx.checker.ValidationError as error:
        raise BadModel(f"the converted graph is invalid: {error}", where=source.reference) from error
    memory.give_back()
    return Converted(proto, outputs, folder)


def _described_outputs(prepared: Prepared) -> list[TensorSpec]:
    """The specs of what the described pipeline answers, observed on the original itself."""
    source, reference, generator = prepared.source, prepared.reference, np.random.default_rng(0)
    feeds = prepared.cases[0].feeds
    known = reference.run(feeds)
    before = apply(source.processing.before, feeds).keys() | set(prepared.network.output_names)
    made = [name for name in known if name not in before]
    names = source.answers or made or prepared.network.output_names
    absent = [name for name in names if name not in known]
    if absent:
        raise UsageError(f"no step makes the output {absent[0]!r}; there is {', '.join(known)}", where=source.reference)

    def observe(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
        return _seen(reference.run(generate(prepared.inputs, prepared.samples, sizes, generator)))

    return infer_outputs(names, prepared.inputs, observe, example_sizes(prepared.inputs, prepared.samples))


def _observed_outputs(proto: onnx.ModelProto, prepared: Prepared, folder: Path) -> list[TensorSpec]:
    rung = EnginePool(external_data.loadable(proto, folder), "cpu").rung(SessionSettings())
    generator = np.random.default_rng(0)

    def observe(sizes: dict[str, int]) -> dict[str, tuple[str, tuple[int, ...]]]:
        return _seen(rung.run(generate(prepared.inputs, prepared.samples, sizes, generator)))

    return infer_outputs(
        prepared.network.output_names, prepared.inputs, observe, example_sizes(prepared.inputs, prepared.samples)
    )


def _seen(answers: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {
        name: ("string" if value.dtype.kind in "UO" else str(value.dtype), value.shape)
        for name, value in answers.items()
    }


def _metadata(source: Source, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> dict[str, str]:
    """The contract inside the model file, for whoever has that file alone. Nothing here changes from run to run."""
    contract = {"inputs": inputs, "outputs": outputs, "labels": source.labels, "thresholds": source.thresholds}
    return {"onnxpress.contract": msgspec.json.encode(contract).decode(), "onnxpress.framework": source.framework}
