"""The golden samples replayed before a model answers, on this machine and with this runtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import msgspec

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, BadModel, CorruptVersion
from onnxpress.core.manifest import Manifest


class SelfTest(msgspec.Struct, frozen=True, kw_only=True):
    """The golden samples replayed on this machine: the worst error in noise floors, against the accepted limit."""

    cases: int
    worst_multiple: float
    limit: float
    seconds: float


def replay(
    run: Callable[[Mapping[str, Array]], dict[str, Array]], folder: Path, manifest: Manifest
) -> tuple[SelfTest, dict[str, Array] | None] | None:
    """How the samples beside the manifest went, and the inputs of the first; None where there are no samples.

    Raises CorruptVersion where they are missing though promised, cannot be read or do not fit, BadModel where an answer
    is further from its reference than was accepted.
    """
    from onnxpress.core import golden

    path = folder / golden.FILE_NAME
    if not os.path.lexists(path):  # what is there but cannot be read is no version without samples
        if golden.FILE_NAME in manifest.files:
            raise CorruptVersion(f"{golden.FILE_NAME} is missing", where=str(folder), hint="export it again")
        return None
    started = perf_counter()
    cases = golden.read(path)
    worst, limit = 0.0, manifest.equivalence.limit
    for case in cases:
        try:
            answers = run(case.inputs)
        except BadData as error:
            raise CorruptVersion(f"the samples do not fit the model: {error.what}", where=str(path)) from None
        if not case.outputs:
            raise CorruptVersion("a sample has no outputs to compare with", where=str(path), hint="export it again")
        multiples = golden.worst_multiple(case, answers)
        name = max(multiples, key=lambda output: multiples[output])
        worst = max(worst, multiples[name])
        if not multiples[name] <= limit:
            raise BadModel(
                f"the self-test failed: {name} is {multiples[name]:.3g} noise floors from the reference on this "
                f"machine, {limit:g} are accepted",
                where=str(folder),
                hint="the model file or the runtime is not what was measured; export it again with this runtime",
            )
    took = perf_counter() - started
    test = SelfTest(cases=len(cases), worst_multiple=worst, limit=limit, seconds=took)
    return test, cases[0].inputs if cases else None
