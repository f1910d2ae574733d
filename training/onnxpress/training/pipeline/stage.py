"""The training stage: recipe → rows → fitted network → run folder."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import domains
from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import Processing
from onnxpress.training import plots, tensorboard
from onnxpress.training.data.table import Table
from onnxpress.training.families import Autoencoder
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.fitting.checkpoint import Checkpoints
from onnxpress.training.fitting.framework_fit import FrameworkFit, framework_fit
from onnxpress.training.fitting.loop import History
from onnxpress.training.pipeline import figures, folds, metrics_table, review, run_page
from onnxpress.training.pipeline.fitted import Fitted, fit, prepared_rows
from onnxpress.training.pipeline.run_folder import RunFolder, refuse_if_written, run_folder, unfinished
from onnxpress.training.recipe import Recipe

SAMPLES = "samples.npz"
RECIPE = "recipe.json"
DATA = "data.json"


def train(recipe: Recipe, *, output: Path, resume: Path | None = None, to_review: int = 0) -> Path | None:
    """Train `recipe` and write its run folder below `output`; returns the folder.

    `resume` is what a killed run left: its checkpoint is gone on from. `to_review` rows close to an anomaly model's
    threshold are written too. Returns None in all but the first of several processes. Raises BadData where the rows
    cannot be used, BadModel where training diverged, MissingExtra without the framework.
    """
    if to_review and not isinstance(recipe.model, Autoencoder):
        raise UsageError("rows are reviewed of an anomaly model", where="--review", hint="leave it out")
    if recipe.training.quantization_aware and recipe.framework != "pytorch":
        raise UsageError(
            f"training with rounded products is done in PyTorch alone, not in {recipe.framework}",
            where="training.quantization_aware",
            hint="train with --framework pytorch, or leave it out of the recipe",
        )
    framework = framework_fit(recipe.framework)
    table = recipe.data.load(recipe.model.reading())
    prepared = prepared_rows(framework, table, recipe)
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
            if recipe.training.ensemble:
                fitted, prepared, by_fold = folds.ensemble(framework, table, prepared, recipe, checkpoints)
            else:
                own = checkpoints.of("whole") if recipe.training.folds else checkpoints
                fitted = fit(framework, prepared, recipe, checkpoints=own, on_epoch=log)
                by_fold = folds.cross_validate(framework, table, recipe, checkpoints)
        prepared = replace(prepared, threshold=folds.settled_threshold(recipe, by_fold))
        predict = functools.partial(framework.predict, fitted.asked)
        outcome = recipe.model.finish(prepared, predict, title=f"{recipe.name}-{recipe.framework}")
        metrics = _figures(fitted, prepared, outcome)
        if by_fold:
            (draft.folder / "folds.json").write_bytes(indented(by_fold))
            metrics |= folds.summary(by_fold)
        framework.save(fitted.network, draft.folder / framework.WEIGHTS)
        _write_evidence(draft, recipe, prepared, fitted.history, outcome, metrics)
        _write_run(draft, recipe, prepared, outcome, fitted, framework)
        if to_review:
            review.write(draft.folder, prepared, predict, outcome.after, names=table.feature_names, count=to_review)
        run_page.write(draft.folder)
        checkpoints.remove()
        folder = draft.finish()
    confusion = outcome.tables.get("confusion.json")
    doubts = figures.warnings(msgspec.to_builtins(fitted.history), metrics, figures.classes(confusion))
    print(metrics_table.text(metrics, confusion=confusion, warnings=doubts), file=sys.stderr, flush=True)
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


def _take_part(framework: FrameworkFit, table: Table, prepared: Prepared, recipe: Recipe, resume: Path | None) -> None:
    """Fit what the first process fits, and write nothing: it cannot take a step without the others."""
    checkpoints = None
    if resume is not None:
        checkpoints = Checkpoints(resume, seconds=recipe.training.checkpoint_seconds, read_only=True)
    if recipe.training.ensemble:
        folds.ensemble(framework, table, prepared, recipe, checkpoints)
        return
    own = checkpoints.of("whole") if checkpoints is not None and recipe.training.folds else checkpoints
    fit(framework, prepared, recipe, checkpoints=own)
    folds.cross_validate(framework, table, recipe, checkpoints)


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
