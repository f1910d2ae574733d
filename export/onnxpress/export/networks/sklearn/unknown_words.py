"""Whether the estimator answers words that it was not fitted on: asked of it, column by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.tensors import FLOATS, Domain, TensorSpec

_UNKNOWN = ("zzqx unknown", "", " ", "Ünïcödé ñ 東京")


def with_unknown(
    spec: TensorSpec,
    inputs: Sequence[TensorSpec],
    examples: Mapping[str, Array],
    answers: Callable[[dict[str, Array]], bool],
) -> TensorSpec:
    """`spec` with the unknown words that the estimator answers among those to be asked.

    Where it answers none, the input takes the known words alone, and the server refuses all else, as the estimator
    does: the graph might answer.
    """
    known = spec.domain.values if spec.domain is not None else None
    if not known:
        return spec
    if spec.dtype != "string":
        return _with_unknown_codes(spec, known, inputs, examples, answers)
    row = {one.name: _row(one, examples) for one in inputs}
    if not answers(row):
        return spec
    spelled = [form for word in known[:3] for form in (word.upper(), f" {word} ", f"{word}x") if form not in known]
    taken = [
        word
        for word in dict.fromkeys([*_UNKNOWN, *spelled])
        if word not in known and answers({**row, spec.name: np.full(row[spec.name].shape, word, object)})
    ]
    domain = Domain(values=[*known, *taken], enforced=not any(word for word in taken))
    return msgspec.structs.replace(spec, domain=domain)


def _with_unknown_codes(
    spec: TensorSpec,
    known: Sequence[str],
    inputs: Sequence[TensorSpec],
    examples: Mapping[str, Array],
    answers: Callable[[dict[str, Array]], bool],
) -> TensorSpec:
    """Of whole numbers: no domain where the estimator answers others, else the known ones alone."""
    free = msgspec.structs.replace(spec, domain=None)
    if spec.dtype in FLOATS:
        return free
    row = {one.name: _row(one, examples) for one in inputs}
    row[spec.name] = np.full(row[spec.name].shape, int(known[0]), spec.dtype)
    other = next(number for number in range(len(known) + 1) if str(number) not in known)
    if not answers(row) or answers({**row, spec.name: np.full(row[spec.name].shape, other, spec.dtype)}):
        return free
    return msgspec.structs.replace(spec, domain=Domain(values=list(known), enforced=True))


def _row(spec: TensorSpec, examples: Mapping[str, Array]) -> Array:
    """One row that the estimator should answer: of the example, else a known word, else zeros."""
    shape = tuple(1 if isinstance(size, str) else size for size in spec.shape)
    if spec.domain is not None and spec.domain.values:
        known = spec.domain.values[0]
        return np.full(shape, known, object) if spec.dtype == "string" else np.full(shape, float(known), spec.dtype)
    if spec.name in examples:
        return examples[spec.name][:1]
    return np.full(shape, "", object) if spec.dtype == "string" else np.zeros(shape, spec.dtype)
