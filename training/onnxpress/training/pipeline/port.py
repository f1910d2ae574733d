"""The same trained model in the other framework: weights carried over layer by layer, then both asked the same rows.

Layers are matched by name. Between the two halves weights travel in Keras's form, role by role: `kernel` (inputs last
but one, units last), `bias`, `gamma`, `beta`, `moving_mean`, `moving_variance`, `embeddings`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import run as runs
from onnxpress.core.errors import BadData, BadModel, NotEquivalent, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import apply
from onnxpress.core.run import Framework, Run
from onnxpress.training.fitting.framework_fit import (
    FrameworkFit,
    FrameworkWeights,
    Layers,
    framework_fit,
    network_of,
    refuse_several,
    weights_of,
)
from onnxpress.training.pipeline.run_folder import run_folder


def port(run_path: Path, *, to: Framework, output: Path) -> tuple[Path, float]:
    """Write the run's model in framework `to` as a run of its own; returns its folder and the difference in floors.

    Raises UsageError for a run that is in that framework already or whose model is not one of onnxpress's families,
    BadModel where the two networks do not have the same layers, NotEquivalent where they answer differently.
    """
    run = runs.read(run_path)
    source_part, target_part = (f"onnxpress.training.{framework}.models." for framework in (run.framework, to))
    if run.framework == to:
        raise UsageError(f"this run is in {to} already", where=str(run_path))
    if not run.model.startswith(source_part):
        raise UsageError(
            f"{run.model} has no counterpart in {to} that onnxpress knows",
            where=str(run_path),
            hint="the families of onnxpress can be ported",
        )
    ported = msgspec.structs.replace(
        run,
        name=f"{run.name.removesuffix(f'-{run.framework}')}-{to}",
        framework=to,
        model=run.model.replace(source_part, target_part),
        weights=framework_fit(to).WEIGHTS,
    )
    source_fit, target_fit = framework_fit(run.framework), framework_fit(to)
    for half in (source_fit, target_fit):
        refuse_several(half, "carrying weights over")
    source, target = network_of(run, run_path), runs.factory(ported, run_path)(**ported.settings)
    carry_over(weights_of(run.framework).read(source), target, weights_of(to))
    multiple = _difference(run, run_path, source_fit, source, target_fit, target)
    if not multiple <= LIMIT:
        raise NotEquivalent(
            f"the {to} network answers {multiple:.3g} noise floors from the original; {LIMIT:g} are accepted",
            where=str(run_path),
        )
    with run_folder(output, ported.name) as draft:
        for path in run_path.iterdir():
            if path.name not in {runs.FILE_NAME, run.weights, "recipe.json"}:
                shutil.copy2(path, draft.folder / path.name)
        _copy_recipe(run_path, draft.folder, to)
        target_fit.save(target, draft.folder / ported.weights)
        evidence = {"from": str(run_path), "multiple": multiple, "limit": LIMIT}
        (draft.folder / "port.json").write_bytes(indented(evidence))
        runs.write(draft.folder, ported)
        folder = draft.finish()
    return folder, multiple


def read_layers(run_path: Path) -> Layers:
    """The weights of a run, whichever its framework."""
    run = runs.read(run_path)
    return weights_of(run.framework).read(network_of(run, run_path))


def carry_over(layers: Layers, target: Any, weights: FrameworkWeights) -> None:
    """Put `layers` into `target`. Raises BadModel naming the first layer, role or shape that is not on both sides."""
    expected = weights.read(target)
    for name in (*layers, *expected):
        if name not in layers or name not in expected:
            raise BadModel(f"the layer {name!r} is in one of the two networks only")
        for role in (*layers[name], *expected[name]):
            if role not in layers[name] or role not in expected[name]:
                raise BadModel(f"the layer {name!r} has a {role} in one of the two networks only")
            shapes = layers[name][role].shape, expected[name][role].shape
            if shapes[0] != shapes[1]:
                raise BadModel(f"the {role} of layer {name!r} has shape {shapes[0]} here and {shapes[1]} there")
    weights.write(target, layers)


def _difference(
    run: Run, folder: Path, source_fit: FrameworkFit, source: Any, target_fit: FrameworkFit, target: Any
) -> float:
    """How far the two answer apart on the held-out rows, in noise floors.

    The floor is how far the original's answer moves when its input moves by one unit in the last place, and never less
    than float32's epsilon times the answer's scale.
    """
    with np.load(folder / run.samples, allow_pickle=False) as archive:
        raw = {spec.name: archive[spec.name] for spec in run.inputs if spec.name in archive.files}
    if len(raw) != len(run.inputs):
        raise BadData(f"{run.samples} does not hold the run's inputs", where=str(folder), hint="train it again")
    tensors = apply(run.processing.before, raw)
    x = {spec.name: tensors[spec.name] for spec in run.network_inputs}
    answer, other = source_fit.predict(source, x), target_fit.predict(target, x)
    upwards = {name: np.nextafter(part, np.float32(np.inf)) for name, part in x.items() if part.dtype.kind == "f"}
    moved = source_fit.predict(source, {**x, **upwards})
    epsilon = float(np.finfo(np.float32).eps)
    floor = max(float(np.abs(moved - answer).max()), epsilon * float(np.abs(answer).max()))
    return float(np.abs(other.astype(np.float64) - answer).max()) / floor


def _copy_recipe(source: Path, target: Path, framework: Framework) -> None:
    recipe = msgspec.json.decode((source / "recipe.json").read_bytes())
    recipe["framework"] = framework
    (target / "recipe.json").write_bytes(indented(recipe))
