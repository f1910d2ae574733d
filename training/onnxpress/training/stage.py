"""The training stage: recipe → rows → fitted network → run folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import run as runs
from onnxpress.core.dotted import load
from onnxpress.core.errors import BadData, BadModel
from onnxpress.core.optional import require
from onnxpress.core.progress import Progress
from onnxpress.training import plots
from onnxpress.training.families.autoencoder import Outcome, Prepared
from onnxpress.training.fitting import Fit, FrameworkFit, History
from onnxpress.training.recipe import Recipe
from onnxpress.training.run_folder import run_folder

_SAMPLES = "samples.npz"


def train(recipe: Recipe, *, output: Path) -> Path:
    """Train `recipe` and write its run folder below `output`; returns the folder.

    Raises BadData where the rows cannot be used, BadModel where training diverged, MissingExtra without the framework.
    """
    framework = _framework(recipe)
    require("matplotlib", needed_by="drawing a run")
    prepared = recipe.model.prepare(recipe.data.load(), recipe.training)
    dotted = f"onnxpress.training.{recipe.framework}.models.autoencoder:build"
    settings = recipe.model.network(prepared.width)
    framework.seed(recipe.training.seed)
    network = load(dotted)(**settings)
    parameters = framework.parameters(network)
    started = time.monotonic()
    with run_folder(output, f"{recipe.name}-{recipe.framework}") as draft:
        with Progress(f"training {recipe.name} in {recipe.framework}, epoch", recipe.training.epochs) as progress:
            job = Fit(
                x_train=prepared.train,
                y_train=prepared.train,
                x_validation=prepared.validation,
                y_validation=prepared.validation,
                training=recipe.training,
                weights=draft.folder / framework.WEIGHTS,
                on_epoch=lambda loss, validation: progress.advance(f"loss {loss:.5f}, validation {validation:.5f}"),
            )
            history = framework.fit(network, job)
        if not np.isfinite(history.validation_loss).any():
            raise BadModel("training diverged: no epoch had a finite loss", hint="lower training.learning_rate")
        outcome = prepared.finish(lambda x: framework.predict(network, x))
        figures = {
            "parameters": parameters,
            "epochs": len(history.training_loss),
            "best_epoch": history.best_epoch,
            "seconds": round(time.monotonic() - started, 2),
            **outcome.metrics,
        }
        _write(draft.folder, recipe, prepared, history, outcome, figures)
        runs.write(
            draft.folder,
            runs.Run(
                name=draft.name,
                framework=recipe.framework,
                model=dotted,
                settings=settings,
                weights=framework.WEIGHTS,
                samples=_SAMPLES,
                network_inputs=prepared.network_specs()[0],
                network_outputs=prepared.network_specs()[1],
                inputs=prepared.inputs(),
                outputs=outcome.outputs,
                processing=outcome.processing,
                thresholds=outcome.thresholds,
                parameters=parameters,
                seed=recipe.training.seed,
            ),
        )
        folder = draft.finish()
    _say(figures)
    return folder


def _framework(recipe: Recipe) -> FrameworkFit:
    for package in {"pytorch": ("torch", "safetensors"), "tensorflow": ("tensorflow", "keras")}[recipe.framework]:
        # found, not imported: the framework's own package sets its environment before the import
        if importlib.util.find_spec(package) is None:
            require(package, needed_by=f"training in {recipe.framework}")
    fit: FrameworkFit = importlib.import_module(f"onnxpress.training.{recipe.framework}.fit")
    return fit


def _write(
    folder: Path, recipe: Recipe, prepared: Prepared, history: History, outcome: Outcome, figures: dict[str, Any]
) -> None:
    def write_json(name: str, value: Any) -> None:
        (folder / name).write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    if len(prepared.held_out) == 0:
        raise BadData("no rows are held out")
    write_json("recipe.json", recipe)
    write_json("metrics.json", figures)
    write_json("history.json", history)
    np.savez_compressed(
        folder / _SAMPLES, features=prepared.held_out, target=prepared.held_out_is_anomaly.astype(np.int64)
    )
    title = f"{recipe.name}, {recipe.framework}"
    plots.loss_curve(folder / "loss.png", history, title=f"{title}: loss")
    plots.score_histogram(
        folder / "scores.png",
        outcome.scores,
        prepared.held_out_is_anomaly,
        outcome.thresholds["is_anomaly"],
        title=f"{title}: held-out scores, ROC AUC {outcome.metrics['roc_auc']:.3f}",
    )


def _say(figures: dict[str, Any]) -> None:
    text = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(text, file=sys.stderr, flush=True)
