"""The training stage: recipe → rows → fitted network → run folder."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import run as runs
from onnxpress.core.dotted import load
from onnxpress.core.errors import BadModel
from onnxpress.core.optional import is_installed, missing
from onnxpress.core.processing import Processing
from onnxpress.core.progress import Progress
from onnxpress.core.run import Framework
from onnxpress.training import plots
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.fitting import Fit, FrameworkFit, History
from onnxpress.training.recipe import Recipe
from onnxpress.training.run_folder import run_folder

SAMPLES = "samples.npz"
_PACKAGES = {
    "pytorch": ("torch", "accelerate", "safetensors", "sklearn", "matplotlib"),
    "tensorflow": ("tensorflow", "keras", "sklearn", "matplotlib"),
}


def train(recipe: Recipe, *, output: Path) -> Path:
    """Train `recipe` and write its run folder below `output`; returns the folder.

    Raises BadData where the rows cannot be used, BadModel where training diverged, MissingExtra without the framework.
    """
    framework = framework_fit(recipe.framework)
    prepared = recipe.model.prepare(recipe.data.load(), recipe.training)
    model = f"onnxpress.training.{recipe.framework}.models.{prepared.network}:build"
    framework.seed(recipe.training.seed)
    network = load(model)(**prepared.settings)
    parameters = framework.parameters(network)
    if parameters != prepared.parameters:
        raise BadModel(f"the network has {parameters} parameters, its spec {prepared.parameters}", where=model)
    with run_folder(output, f"{recipe.name}-{recipe.framework}") as draft:
        started = time.monotonic()
        history = _fit(framework, network, prepared, recipe)
        seconds = time.monotonic() - started
        outcome = recipe.model.finish(prepared, lambda x: framework.predict(network, x), title=draft.name)
        metrics = {
            "parameters": parameters,
            "epochs": len(history.training_loss),
            "best_epoch": history.best_epoch,
            "seconds": round(seconds, 2),
            "train_rows": len(prepared.train.x),
            "validation_rows": len(prepared.validation.x),
            "held_out_rows": len(prepared.target),
            **outcome.metrics,
        }
        framework.save(network, draft.folder / framework.WEIGHTS)
        _write_evidence(draft.folder, recipe, prepared, history, outcome, metrics)
        runs.write(
            draft.folder,
            runs.Run(
                name=draft.name,
                framework=recipe.framework,
                model=model,
                settings=prepared.settings,
                weights=framework.WEIGHTS,
                samples=SAMPLES,
                network_inputs=prepared.network_inputs,
                network_outputs=prepared.network_outputs,
                inputs=prepared.inputs,
                outputs=outcome.outputs,
                processing=Processing(before=prepared.before, after=outcome.after),
                thresholds=outcome.thresholds,
                parameters=parameters,
                seed=recipe.training.seed,
            ),
        )
        folder = draft.finish()
    print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), file=sys.stderr, flush=True)
    return folder


def framework_fit(framework: Framework) -> FrameworkFit:
    """The framework's fit loop. Raises MissingExtra, with the pip line, where a package that it needs is absent."""
    for package in _PACKAGES[framework]:
        # Looked up, not imported: the framework's own package sets its environment before the import.
        if not is_installed(package):
            raise missing(package, f"training in {framework}")
    fit: FrameworkFit = importlib.import_module(f"onnxpress.training.{framework}.fit")
    return fit


def _fit(framework: FrameworkFit, network: Any, prepared: Prepared, recipe: Recipe) -> History:
    with Progress(f"training {recipe.name} in {recipe.framework}, epoch", recipe.training.epochs) as progress:
        history = framework.fit(
            network,
            Fit(
                train=prepared.train,
                validation=prepared.validation,
                training=recipe.training,
                on_epoch=lambda loss, validation: progress.advance(f"loss {loss:.5f}, validation {validation:.5f}"),
            ),
        )
    if history.diverged:
        raise BadModel("training diverged: no epoch had a finite validation loss", hint="lower training.learning_rate")
    return history


def _write_evidence(
    folder: Path, recipe: Recipe, prepared: Prepared, history: History, outcome: Outcome, metrics: dict[str, Any]
) -> None:
    for name, value in (("recipe", recipe), ("metrics", metrics), ("history", history)):
        (folder / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    samples: dict[str, Any] = {**prepared.held_out, "target": prepared.target}
    np.savez_compressed(folder / SAMPLES, **samples)
    title = f"{recipe.name}-{recipe.framework}"
    figures = {"loss.png": plots.loss_curve(history, title=f"{title}: loss"), **outcome.plots}
    for file_name, figure in figures.items():
        figure.savefig(folder / file_name)
