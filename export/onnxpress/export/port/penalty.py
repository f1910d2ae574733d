"""The function of a written module that says what training adds to the loss for the size of its parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from onnxpress.export.port.code import attribute, literal


@dataclass(frozen=True)
class Penalty:
    """For parameters of the written model, by their names."""

    parameters: tuple[str, ...]
    of_absolutes: float
    of_squares: float


def penalty_function(penalties: Iterable[Penalty]) -> str:
    """The code of `penalty(model)`; parameters that have one factor stand together."""
    together: dict[tuple[float, str], list[str]] = defaultdict(list)
    for one in penalties:
        for factor, norm in ((one.of_absolutes, "abs"), (one.of_squares, "square")):
            if factor:
                together[factor, norm] += one.parameters
    terms = [
        _term(factor, norm, [attribute("model", name) for name in names]) for (factor, norm), names in together.items()
    ]
    lines = ["def penalty(model):", '    """What Keras adds to the loss in training, for the size of weights."""']
    if len(terms) == 1:
        return "\n".join([*lines, f"    return {terms[0]}"])
    lines += [f"    loss {'+=' if number else '='} {term}" for number, term in enumerate(terms)]
    return "\n".join([*lines, "    return loss"])


def _term(factor: float, norm: str, parameters: list[str]) -> str:
    if len(parameters) == 1:
        return f"{literal(factor)} * {parameters[0]}.{norm}().sum()"
    return f"{literal(factor)} * sum(weight.{norm}().sum() for weight in [{', '.join(parameters)}])"
