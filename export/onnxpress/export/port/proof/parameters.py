"""Rung 2: the same values and the same count, or the named difference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.port.proof.keras_target import KerasTarget
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.to_keras.model import Code


def parameters(code: Code, target: KerasTarget, state: Mapping[str, Array], learning: frozenset[str]) -> Rung:
    """Every weight of the written model is the source's, exactly; every one of the source's is carried or named."""
    wrong, differences = [], []
    variables = []
    for one in code.carried:
        variable = target.variable(one)
        variables.append(id(variable))
        wanted = one.carry(*(state[name] for name in one.sources))
        if not np.array_equal(np.asarray(variable), wanted):
            wrong.append(f"{'.'.join(map(str, one.path))} is not {' + '.join(one.sources)}")
        if bool(variable.trainable) != any(name in learning for name in one.sources):
            wrong.append(f"{'.'.join(map(str, one.path))} learns in one of the two only")
        if one.several:
            differences.append(f"{' and '.join(one.sources)}: {one.several}")
    stray = [v.path for v in target.model().weights if id(v) not in variables and "seed_generator" not in v.path]
    wrong += [f"{path} comes from nowhere" for path in stray]
    carried = {name for one in code.carried for name in one.sources}
    left = sorted(name for name in state if name not in carried and not name.endswith("num_batches_tracked"))
    used = [name for name in left if name not in code.constants]
    differences += [f"{name} is read by nothing, and left out" for name in used]
    count = sum(state[name].size for name in learning if name in carried)
    ours = sum(int(np.prod(v.shape)) for v in target.model().trainable_variables)
    return Rung(
        name="parameters",
        holds=not wrong,
        detail=wrong[0] if wrong else f"{count} that learn in the source, {ours} here; all values the same",
        differences=differences,
    )
