"""Descriptions of the server and of its models, as the protocol wants them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.engine import Engine
from onnxpress.serving.protocol.datatypes import DATATYPE_OF

_EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"]


@cache
def server() -> bytes:
    """Name, version, and the extensions of the protocol that are spoken here."""
    from importlib.metadata import version

    return msgspec.json.encode({"name": "onnxpress", "version": version("onnxpress"), "extensions": _EXTENSIONS})


def model(name: str, versions: Sequence[int], engine: Engine) -> bytes:
    """Inputs and outputs with -1 for a varying size; under `parameters` what was measured of this version.

    `parameters.verified` is false for a model whose equivalence was never measured, or that was refused and published
    knowingly, for the reason in `parameters.accepted_refusal`; `parameters.rows` is how it is
    known that a row's answer is the same in every batch (`proven`, `measured`), or which node stands against it;
    `parameters.precision`, `parameters.derived_from` and `parameters.derived` are of a version in fewer bits: the
    version that it was made of, and what differs from that;
    `parameters.domains` are the values that inputs take, where not all that fit the datatype;
    `parameters.optional_inputs` are inputs with a default;
    `parameters.nodes` says how many nodes of the optimised graph each execution provider runs.
    """
    manifest = engine.manifest
    parameters: dict[str, Any] = {"verified": manifest is not None and manifest.equivalence.equivalent}
    if placed := engine.placement():
        parameters["nodes"] = placed
    if engine.optional:
        parameters["optional_inputs"] = [_tensor(spec) for spec in engine.optional]
    if engine.rows.known:
        parameters["rows"] = engine.rows.known
    if manifest is not None:
        parameters |= {
            "batch_safe": manifest.batch_safe,
            "equivalence_multiple": manifest.equivalence.worst_multiple,
            "equivalence_limit": manifest.equivalence.limit,
            "source_framework": manifest.source.framework,
        }
        if (derived := manifest.derived_from) is not None:
            parameters |= {
                "precision": derived.precision,
                "derived_from": str(derived.version),
                "derived": derived.told,
            }
        elif manifest.equivalence.accepted:
            parameters["accepted_refusal"] = manifest.equivalence.accepted
        enforced = {spec.name: spec.domain for spec in engine.inputs if spec.domain and spec.domain.enforced}
        if enforced:
            parameters["domains"] = {name: str(domain) for name, domain in enforced.items()}
        if manifest.labels:
            parameters["labels"] = manifest.labels
        if manifest.thresholds:
            parameters["thresholds"] = manifest.thresholds
    if engine.self_test is not None:
        parameters["self_test_multiple"] = engine.self_test.worst_multiple
        parameters["self_test_cases"] = engine.self_test.cases
    return msgspec.json.encode(
        {
            "name": name,
            "versions": [str(version) for version in versions],
            "platform": "onnxruntime_onnx",
            "inputs": [_tensor(spec) for spec in engine.inputs],
            "outputs": [_tensor(spec) for spec in engine.outputs],
            "parameters": parameters,
        }
    )


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": DATATYPE_OF[spec.dtype], "shape": shape}
