"""What the parameters of a request ask for: each is obeyed or refused, none is dropped.

One that is known from other servers and asks for what is not here is refused with the reason, unless it says what is
the case anyway (a `priority` of 0). Names that nobody here knows are refused too: what they want cannot be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.core.tensors import TensorSpec
from onnxpress.serving.protocol.refusal import Refusal, shown

Parameters = Mapping[str, Any] | None
_MOST_CLASSES = 1 << 32
_SEQUENCES = "sequences are not kept here; every request stands alone"
_SHARED_MEMORY = "there is no shared memory here; send the tensor in the body"
_NOT_HERE = {
    "sequence_id": _SEQUENCES,
    "sequence_start": _SEQUENCES,
    "sequence_end": _SEQUENCES,
    "priority": "there are no priorities here; requests run in the order in which they came",
    "shared_memory_region": _SHARED_MEMORY,
    "shared_memory_byte_size": _SHARED_MEMORY,
    "shared_memory_offset": _SHARED_MEMORY,
}
"""parameters of other servers → why they are not obeyed"""


def check_request(parameters: Parameters) -> None:
    """Refuse what a request's own parameters ask for in vain; `timeout` and `binary_data_output` are read elsewhere.

    Triton's streams may ask for an empty answer behind the last one. Every answer here is the last to its request.
    """
    _check(parameters, "a request", ("timeout", "binary_data_output", "triton_enable_empty_final_response"))


def check_input(spec: TensorSpec, parameters: Parameters, *, in_json: bool, binary: bool) -> None:
    """The same for an input, which has its data `in_json` or not, in a request that has bytes behind the JSON or not.

    MLServer's clients name a codec in `content_type`: those that say what is done here anyway are taken.
    """
    if parameters is None:
        return
    where = f"the input {spec.name!r}"
    codec = parameters.get("content_type")
    if codec is not None and codec != ("str" if spec.dtype == "string" else "np"):
        raise Refusal(400, f"{where} has content_type {shown(codec)}; values are read by their datatype alone")
    _check(parameters, where, ("binary_data_size", "content_type"))
    if parameters.get("binary_data_size") is not None:
        if in_json:
            raise Refusal(400, f"{where} has both data and a binary_data_size; give one of them")
        if not binary:
            raise Refusal(400, f"{where} has a binary_data_size; send the header Inference-Header-Content-Length too")


def classes_of(spec: TensorSpec, parameters: Parameters) -> int:
    """How many of its best classes are asked for instead of the output itself; 0 where that is not. Refuses the rest.

    `binary_data` is read elsewhere.
    """
    if parameters is None:
        return 0
    _check(parameters, f"the output {spec.name!r}", ("binary_data", "classification"))
    count = parameters.get("classification", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < _MOST_CLASSES:
        raise Refusal(400, f"the parameter classification must be a number of classes, not {shown(count)}")
    if count and spec.dtype in ("bool", "string"):
        raise Refusal(400, f"the output {spec.name!r} has no scores to classify by; it is {spec}")
    return count


def check_load(parameters: Parameters) -> None:
    """Refuse what Triton's load can override: files and their configuration are what lies in the repository."""
    for name in parameters or {}:
        if name == "config" or name.startswith("file:"):
            raise Refusal(400, "a model is loaded as it lies in the repository; change it there")
    _check(parameters, "a load", ())


def check_unload(parameters: Parameters) -> None:
    """The same for unload. No model here has others that depend on it, so to unload those as well changes nothing."""
    _check(parameters, "an unload", ("unload_dependents",))
    if not isinstance((parameters or {}).get("unload_dependents", False), bool):
        raise Refusal(400, "the parameter unload_dependents must be true or false")


def _check(parameters: Parameters, where: str, known: tuple[str, ...]) -> None:
    for name, value in (parameters or {}).items():
        if name in known:
            continue
        reason = _NOT_HERE.get(name)
        if reason is None:
            there = f"; it takes: {', '.join(known)}" if known else ""
            raise Refusal(400, f"{where} has the parameter {shown(name)}, which is not known here{there}")
        if value is not None and value is not False and value not in (0, ""):
            raise Refusal(400, f"{where} has the parameter {shown(name)}: {reason}")
