"""The training stage: recipe → rows → fitted network → run folder."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import domains
from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import Processing
from onnxpress.core.progress import Progress
from onnxpress.training import plots, tensorboard
from onnxpress.training.data.table import Table
from onnxpress.training.families import Autoencoder, Own
from onnxpress.training.families.decision_threshold import METRIC, over_folds
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.families.windowed import WindowFamily
from onnxpress.training.fitting import loop, metrics
from onnxpress.training.fitting.checkpoint import Checkpoints
from onnxpress.training.fitting.framework_fit import FrameworkFit, framework_fit
from onnxpress.training.fitting.loop import Fit, History
from onnxpress.training.pipeline import review, run_page
from onnxpress.training.pipeline.run_folder import RunFolder, refuse_if_written, run_folder, unfinished
from onnxpress.training.recipe import Recipe
from onnxpress.training.settings import Training

SAMPLES = "samples.npz"
RECIPE = "recipe.json"
DATA = "data.json"


@dataclass(frozen=True)
class Fitted:
    """A network that has learnt, and what was seen on the way."""

    factory: str
    network: Any
    parameters: int
    history: History
    seconds: float


def train(recipe: Recipe, *, output: Path, resume: Path | None = None, to_review: int = 0) -> Path | None:
    """Train `recipe` and write its run folder below `output`; returns the folder.

    `resume` is what a killed run left: its checkpoint is gone on from. `to_review` rows close to an anomaly model's
    threshold are written too. Returns None in all but the first of several processes. Raises BadData where the rows
    cannot be used, BadModel where training diverged, MissingExtra without the framework.
    """
    if to_review and not isinstance(recipe.model, Autoencoder):
        raise UsageError("rows are reviewed of an anomaly model", where="--review", hint="leave it out")
    framework = framework_fit(recipe.framework)
    table = recipe.data.load(recipe.model.reading())
    prepared = _prepared(framework, table, recipe)
    prepared = replace(prepared, inputs=domains.narrowed(prepared.inputs, recipe.domains))
    domains.check_samples(prepared.inputs, prepared.held_out)
    if not framework.is_main():
        _take_part(framework, table, prepared, recipe, resume)
        return None
    with run_folder(output, f"{recipe.name}-{recipe.framework}", resume=resume) as draft:
        (draft.folder / RECIPE).write_bytes(indented(recipe))
        (draft.folder / DATA).write_bytes(indented(_described(table)))
        checkpoints = Checkpoints(draft.folder, seconds=recipe.training.checkpoint_seconds)
        with tensorboard.events(draft.folder if recipe.training.tensorboard else None) as log:
            fitted = fit(framework, prepared, recipe, checkpoints=checkpoints, on_epoch=log)
        folds = _folds(framework, table, recipe) if recipe.training.folds else []
        prepared = replace(prepared, threshold=_settled(recipe, folds))
        predict = functools.partial(framework.predict, fitted.network)
        outcome = recipe.model.finish(prepared, predict, title=f"{recipe.name}-{recipe.framework}")
        metrics = _figures(fitted, prepared, outcome)
        if folds:
            (draft.folder / "folds.json").write_bytes(indented(folds))
            metrics |= _over_folds(folds)
        framework.save(fitted.network, draft.folder / framework.WEIGHTS)
        _write_evidence(draft, recipe, prepared, fitted.history, outcome, metrics)
        _write_run(draft, recipe, prepared, outcome, fitted, framework)
        if to_review:
            review.write(draft.folder, prepared, predict, outcome.after, names=table.feature_names, count=to_review)
        run_page.write(draft.folder)
        checkpoints.remove()
        folder = draft.finish()
    print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), file=sys.stderr, flush=True)
    return folder


def go_on(run: Path, *, output: Path, to_review: int = 0) -> Path | None:
    """Train on from what a killed run left; `run` is that folder, or the name of the run that was to be.

    Raises UsageError where there is none, or where it is still being written.
    """
    from onnxpress.training import recipe as recipes

    folder = unfinished(run, output)
    recipe = recipes.load(folder / RECIPE)
    if framework_fit(recipe.framework).is_main():  # the others may find that it has begun already
        refuse_if_written(folder)
    return train(recipe, output=folder.parent, resume=folder, to_review=to_review)


def fit(
    framework: FrameworkFit,
    prepared: Prepared,
    recipe: Recipe,
    *,
    checkpoints: Checkpoints | None = None,
    on_epoch: tensorboard.OnEpoch = lambda *_: None,
    label: str = "training",
) -> Fitted:
    """Build the family's network and fit it to the prepared rows. Raises BadModel where it diverges.

    Raises UsageError for class weights or balanced batches where there are no classes.
    """
    training = recipe.training
    _refuse_classes_of_values(prepared, training)
    metrics.refuse_unknown(training.select, prepared.loss, classes=len(prepared.classes))
    factory = prepared.network
    if ":" not in factory:
        factory = f"onnxpress.training.{recipe.framework}.models.{prepared.network}:build"
    build = load_factory(factory)
    framework.seed(training)
    network = framework.build(build, prepared.settings, training)
    parameters = framework.parameters(network)
    if prepared.parameters not in (None, parameters):
        raise BadModel(f"the network has {parameters} parameters, its spec {prepared.parameters}", where=factory)
    started = time.monotonic()
    with Progress(f"{label} {recipe.name} in {recipe.framework}, epoch", training.epochs) as progress:
        epoch = 0

        def tell(loss: float, figures: Mapping[str, float]) -> None:
            nonlocal epoch
            epoch += 1
            progress.advance(f"loss {loss:.5f}, validation {figures['loss']:.5f}")
            on_epoch(epoch, loss, figures)

        job = Fit(
            train=prepared.train,
            validation=prepared.validation,
            training=training,
            loss=prepared.loss,
            frozen_encoder=prepared.frozen_encoder,
            on_epoch=tell,
        )
        history = loop.run(framework.learner(network, job), job, checkpoints)
    if history.diverged:
        raise BadModel("training diverged: no epoch had a finite validation loss", hint="lower training.learning_rate")
    network = framework.finished(network, build, prepared.settings)
    return Fitted(factory, network, parameters, history, time.monotonic() - started)


def _refuse_classes_of_values(prepared: Prepared, training: Training) -> None:
    asked = {"class_weights": training.class_weights is not None, "balanced_batches": training.balanced_batches}
    for name in [name for name, given in asked.items() if given and prepared.loss == "mean_squared_error"]:
        raise UsageError(
            "this model learns values, not classes", where=f"training.{name}", hint="leave it out of the recipe"
        )


def _figures(fitted: Fitted, prepared: Prepared, outcome: Outcome) -> dict[str, float]:
    return {
        "parameters": fitted.parameters,
        "epochs": len(fitted.history.training_loss),
        "best_epoch": fitted.history.best_epoch,
        "seconds": round(fitted.seconds, 2),
        "train_rows": len(prepared.train.y),
        "validation_rows": len(prepared.validation.y),
        "held_out_rows": len(prepared.target),
        **outcome.metrics,
    }


def _described(table: Table) -> dict[str, Any]:
    """What the source read and left out, and what it made of it; the former is told on stderr too."""
    told = {name: value for name, value in table.report.items() if name not in {"files", "records"}}
    if told:
        print("read", _words(told), file=sys.stderr, flush=True)
    names, counts = np.unique(table.target, return_counts=True) if table.target.dtype.kind == "U" else ((), ())
    labels = {str(name): int(count) for name, count in zip(names, counts, strict=True) if table.labelled}
    return {**table.report, "rows": len(table.target), **({"labels": labels} if labels else {})}


def _words(told: Mapping[str, Any]) -> str:
    """`rows 12, labels (a 5, b 7)`"""
    return ", ".join(
        f"{name.replace('_', ' ')} ({_words(value)})"
        if isinstance(value, dict)
        else f"{name.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in told.items()
    )


def _prepared(framework: FrameworkFit, table: Table, recipe: Recipe, *, quiet: bool = False) -> Prepared:
    """The family's rows; a user's own network is asked first what it answers."""
    prepared = recipe.model.prepare(table, recipe.training)
    if not isinstance(recipe.model, Own):
        return prepared
    framework.seed(recipe.training)  # joins the other processes where there are some, before anything is built
    network = load_factory(recipe.model.build)(**recipe.model.settings)
    prepared, words = recipe.model.told(
        prepared, functools.partial(framework.predict, network), framework.last_layer(network)
    )
    if words and not quiet and framework.is_main():
        print(words, file=sys.stderr, flush=True)
    return prepared


def _take_part(framework: FrameworkFit, table: Table, prepared: Prepared, recipe: Recipe, resume: Path | None) -> None:
    """Fit what the first process fits, and write nothing: it cannot take a step without the others."""
    checkpoints = None
    if resume is not None:
        checkpoints = Checkpoints(resume, seconds=recipe.training.checkpoint_seconds, read_only=True)
    fit(framework, prepared, recipe, checkpoints=checkpoints)
    if recipe.training.folds:
        _folds(framework, table, recipe)


def _folds(framework: FrameworkFit, table: Table, recipe: Recipe) -> list[dict[str, float]]:
    """Train once for every fold, each held out in turn; the metrics of each."""
    count = recipe.training.folds or 0
    by_fold: list[dict[str, float]] = []
    for fold in range(count):
        training = msgspec.structs.replace(recipe.training, fold=fold)
        chosen = msgspec.structs.replace(recipe, training=training)
        prepared = _prepared(framework, table, chosen, quiet=True)
        fitted = fit(framework, prepared, chosen, label=f"fold {fold + 1} of {count},")
        predict = functools.partial(framework.predict, fitted.network)
        by_fold.append(recipe.model.finish(prepared, predict, title="").metrics)
    return by_fold


def _over_folds(by_fold: list[dict[str, float]]) -> dict[str, float]:
    """The mean and standard deviation of each metric, and Harrell-Davis quantiles of the thresholds."""
    names = [name for name in by_fold[0] if all(name in figures for figures in by_fold)]
    values = {name: np.array([figures[name] for figures in by_fold]) for name in names}
    found = {f"folds_{name}": float(column.mean()) for name, column in values.items()}
    found |= {f"folds_{name}_sd": float(column.std(ddof=1)) for name, column in values.items()}
    if METRIC in values:
        spread = metrics.quantiles(values[METRIC])
        found |= {f"folds_{METRIC}_{name}": value for name, value in spread.items()}
    return found


def _settled(recipe: Recipe, by_fold: list[dict[str, float]]) -> float | None:
    """The threshold that the folds settle, where the recipe leaves it to them."""
    chosen = recipe.model.threshold if isinstance(recipe.model, WindowFamily) else None
    if chosen is None or chosen.fold_quantile is None:
        return None
    return over_folds(chosen.fold_quantile, [figures[METRIC] for figures in by_fold])


def _write_run(
    draft: RunFolder, recipe: Recipe, prepared: Prepared, outcome: Outcome, fitted: Fitted, framework: FrameworkFit
) -> None:
    runs.write(
        draft.folder,
        runs.Run(
            name=draft.name,
            framework=recipe.framework,
            model=fitted.factory,
            settings=prepared.settings,
            weights=framework.WEIGHTS,
            samples=SAMPLES,
            network_inputs=prepared.network_inputs,
            network_outputs=prepared.network_outputs,
            inputs=prepared.inputs,
            outputs=outcome.outputs,
            processing=Processing(before=prepared.before, after=outcome.after),
            labels=outcome.labels,
            thresholds=outcome.thresholds,
            parameters=fitted.parameters,
            seed=recipe.training.seed,
        ),
    )


def _write_evidence(
    draft: RunFolder,
    recipe: Recipe,
    prepared: Prepared,
    history: History,
    outcome: Outcome,
    metrics: dict[str, float],
) -> None:
    for file_name, value in {"metrics.json": metrics, "history.json": history, **outcome.tables}.items():
        (draft.folder / file_name).write_bytes(indented(value))
    samples = {name: _storable(column) for name, column in prepared.held_out.items()}
    np.savez_compressed(draft.folder / SAMPLES, **samples, target=prepared.target)  # type: ignore[arg-type]
    title = f"{recipe.name}-{recipe.framework}"
    curve = plots.loss_curve(history, title=f"{title}: loss", loss=prepared.loss.replace("_", " "))
    for picture, figure in {"loss.png": curve, **outcome.plots}.items():
        figure.savefig(draft.folder / picture)


def _storable(column: Array) -> Array:
    """Strings as fixed-width text, which numpy stores without pickle."""
    return column.astype(np.str_) if column.dtype == object else column
