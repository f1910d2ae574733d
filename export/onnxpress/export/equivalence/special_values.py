"""NaN and infinity: where the original answers them, the export answers the same, or the signature refuses them.

A graph's Relu, Max or tree may take a NaN for a number where the framework does not (docs/adr/0002). Many models are
sound and never meant to be asked so: this is no reason to refuse them. But nobody may get another answer than the
original's. So the input says what it refuses, and the server answers 400 to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.golden import worst_multiple
from onnxpress.core.tensors import FLOATS, Special, TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.measurement import Runnable
from onnxpress.export.equivalence.noise_floor import reference_results
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.report.schema import SPECIAL_VALUES, Check

_VALUES: dict[Special, tuple[float, ...]] = {"nan": (np.nan,), "infinity": (np.inf, -np.inf)}
_SHARES = (0.1, 0.3, 0.8)
"""of a row's values"""
_ROWS = 24
_SEED = 5
_FAILS = (OnnxpressError, ArithmeticError, LookupError, TypeError, ValueError)


def ask(
    reference: Reference,
    served: Runnable,
    case: Case,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    limit: float,
) -> tuple[list[TensorSpec], list[Check]]:
    """The inputs with what each refuses, and a check that tells it.

    `case` holds ordinary rows; in the questions some of their values are replaced. An input whose declared domain has a
    bound takes no such value by its own word, and is not asked.
    """
    told, refusing = [], []
    for spec in inputs:
        refuses: tuple[Special, ...] = ()
        if spec.dtype in FLOATS and case.feeds[spec.name].size:
            bounded = spec.domain is not None and (spec.domain.low is not None or spec.domain.high is not None)
            for special in _VALUES:
                why = "" if bounded else _differs(reference, served, _question(case, spec, special), outputs, limit)
                if bounded or why:
                    refuses += (special,)
                    told.append(f"{spec.name} refuses {special}{f': {why}' if why else ''}")
        refusing.append(replaced(spec, refuses))
    return refusing, [Check(name=SPECIAL_VALUES, passed=True, detail="; ".join(told))] if told else []


def answers_nan(
    reference: Reference,
    served: Runnable,
    case: Case,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    limit: float,
) -> dict[str, str]:
    """Float input → why it refuses NaN; empty where NaN in it is answered as the original does."""
    asked = [spec for spec in inputs if spec.dtype in FLOATS and case.feeds[spec.name].size]
    return {spec.name: _differs(reference, served, _question(case, spec, "nan"), outputs, limit) for spec in asked}


def replaced(spec: TensorSpec, refuses: tuple[Special, ...]) -> TensorSpec:
    """`spec`, refusing these."""
    return TensorSpec(name=spec.name, dtype=spec.dtype, shape=spec.shape, domain=spec.domain, refuses=refuses)


def _question(case: Case, spec: TensorSpec, special: Special) -> Case:
    """Many rows of the case: in some a few of the input's values are replaced, in some most, in one all, in one none.

    Where in a row a NaN stands decides how a reduction over it in lanes takes it.
    """
    generator = np.random.default_rng(_SEED)
    in_rows = all(value.ndim and len(value) == case.batch for value in case.feeds.values())
    rows = max(_ROWS, case.batch) if in_rows else case.batch
    order = np.resize(np.arange(case.batch), rows)
    feeds = {name: value[order] if in_rows else value for name, value in case.feeds.items()}
    values = np.array(feeds[spec.name])
    share = generator.choice(_SHARES, (rows, *(1,) * (values.ndim - 1))) if in_rows else _SHARES[1]
    chosen = generator.random(values.shape) < share
    if in_rows:
        chosen[0], chosen[-1] = True, False
    values[chosen] = generator.choice(_VALUES[special], int(chosen.sum()))
    return Case(case.kind, rows, {**feeds, spec.name: values})


def _differs(
    reference: Reference, served: Runnable, question: Case, outputs: Sequence[TensorSpec], limit: float
) -> str:
    """Why the export may not be asked so; empty where it answers as the original does."""
    try:
        with np.errstate(all="ignore"):  # numpy's own steps would warn of what they are asked here on purpose
            (result,), _ = reference_results(reference, [question], outputs, limit)
    except _FAILS:
        return "the original does not answer it"
    try:
        answers: dict[str, Array] = served.run(question.feeds)
    except _FAILS:
        return "the runtime does not answer it"
    if max(worst_multiple(result.golden, answers).values(), default=0.0) > limit:
        return "the export answers it otherwise than the original"
    return ""
