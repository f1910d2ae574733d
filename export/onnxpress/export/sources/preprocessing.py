"""`--preprocess FILE`: steps around a user's own network, described like those of a run, written into its graph.

inputs: ["age:float32[batch]", "colour:string[batch]"]    # what callers send
before:                                                   # from those to the network's own inputs
  - {step: lookup, input: colour, output: colour_id, values: [red, green]}
after:                                                    # from the network's outputs, or anything seen so far
  - {step: softmax, input: logits, output: probabilities}
outputs: [probabilities]                                  # what callers get; default: what `after` makes
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import msgspec

from onnxpress.core.document_errors import check_fields, wrong_document
from onnxpress.core.documents import read_document
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.processing import Processing, Step, apply
from onnxpress.core.tensors import parse_spec
from onnxpress.export.source import Source


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file holds."""

    inputs: list[str] = []
    before: list[Step] = []
    after: list[Step] = []
    outputs: list[str] = []


def read(path: Path) -> Description:
    """Read a YAML or JSON file. Raises UsageError with the place of what is wrong."""
    document = read_document(path)
    if not isinstance(document, dict):
        raise UsageError(
            "it is no description of steps: expected inputs, before, after and outputs",
            where=str(path),
            hint="docs/steps.md has an example",
        )
    check_fields(document, Description, where=str(path))
    try:
        # Not strict: YAML takes 1e-3 for a string.
        return msgspec.convert(document, Description, strict=False)
    except msgspec.ValidationError as error:
        raise wrong_document(error, document, Description, where=str(path)) from None


def around(source: Source, path: Path) -> Source:
    """`source` with the described steps around its network; its samples are raw rows then.

    The network's own example inputs are made from the raw rows by the steps, where it has none of its own.
    """
    described = read(path)
    if source.framework == "sklearn":
        raise UsageError(
            "a scikit-learn pipeline holds its own steps", where=str(path), hint="put them into the pipeline"
        )
    if described.before and not (described.inputs and source.samples):
        raise UsageError(
            "the steps before the network are compared on real raw rows",
            where=str(path),
            hint="name the raw inputs under `inputs:` and give rows of them: --samples FILE.npz",
        )
    steps = Processing(before=described.before, after=described.after)
    if not described.before:
        return replace(source, processing=steps, answers=described.outputs or None)
    specs = [parse_spec(text) for text in described.inputs]
    missing = [spec.name for spec in specs if spec.name not in source.samples]
    if missing:
        raise UsageError(f"the samples hold no rows of {', '.join(missing)}", where=str(path))
    raw = {spec.name: source.samples[spec.name] for spec in specs}
    try:
        tensors = apply(steps.before, raw)
    except KeyError as error:
        raise UsageError(
            f"a step reads {error.args[0]!r}, which is neither an input nor made by a step before it", where=str(path)
        ) from None
    except (ValueError, TypeError) as error:
        raise BadData(f"the steps fail on the samples: {error}", where=str(path)) from error
    examples = source.example_inputs
    if examples is None:
        names = _own_inputs(source)
        examples = {name: tensors[name] for name in names if name in tensors} or None
    return replace(
        source,
        processing=steps,
        inputs=specs,
        samples=raw,
        example_inputs=examples,
        answers=described.outputs or None,
    )


def _own_inputs(source: Source) -> list[str]:
    """The names under which the network takes its inputs, as far as it tells."""
    if source.network_inputs:
        return [spec.name for spec in source.network_inputs]
    if source.framework == "pytorch" and hasattr(source.network, "forward"):
        return list(inspect.signature(source.network.forward).parameters)
    declared = getattr(source.network, "inputs", None) or []
    return [str(value.name).partition(":")[0] for value in declared]
