"""The folds of a run: each held out once to measure, or each network a member of the ensemble that is published."""

from __future__ import annotations

import functools
import time
from dataclasses import replace

import msgspec
import numpy as np

from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import UsageError
from onnxpress.core.tensors import TensorSpec
from onnxpress.training.data.table import Table
from onnxpress.training.families import CnnLstmAttention, Document
from onnxpress.training.families.decision_threshold import METRIC, over_folds
from onnxpress.training.families.prepared import Prepared
from onnxpress.training.families.windowed import WindowFamily
from onnxpress.training.fitting import metrics
from onnxpress.training.fitting.checkpoint import Checkpoints
from onnxpress.training.fitting.framework_fit import FrameworkFit
from onnxpress.training.pipeline.fitted import Fitted, fit, prepared_rows
from onnxpress.training.recipe import Recipe


def cross_validate(
    framework: FrameworkFit, table: Table, recipe: Recipe, checkpoints: Checkpoints | None = None
) -> list[dict[str, float]]:
    """Train once for every fold, each held out in turn; the metrics of each.

    With `checkpoints`, folds that a killed run has finished are not fitted again.
    """
    count = recipe.training.folds or 0
    by_fold: list[dict[str, float]] = []
    for fold in range(count):
        chosen = _of_fold(recipe, fold)
        prepared = prepared_rows(framework, table, chosen, quiet=True)
        of_fold = _checkpoints_of(checkpoints, fold)
        fitted = fit(framework, prepared, chosen, checkpoints=of_fold, label=f"fold {fold + 1} of {count},")
        by_fold.append(_figures(framework, recipe, prepared, fitted))
    return by_fold


def _of_fold(recipe: Recipe, fold: int) -> Recipe:
    return msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, fold=fold))


def _checkpoints_of(checkpoints: Checkpoints | None, fold: int) -> Checkpoints | None:
    return None if checkpoints is None else checkpoints.of(f"fold-{fold + 1}")


def _figures(framework: FrameworkFit, recipe: Recipe, prepared: Prepared, fitted: Fitted) -> dict[str, float]:
    """The metrics of the fold's network on the rows that it is measured on."""
    predict = functools.partial(framework.predict, fitted.asked)
    return recipe.model.finish(prepared, predict, title="").metrics


def summary(by_fold: list[dict[str, float]]) -> dict[str, float]:
    """The mean and standard deviation of each metric, and Harrell-Davis quantiles of the thresholds."""
    names = [name for name in by_fold[0] if all(name in figures for figures in by_fold)]
    values = {name: np.array([figures[name] for figures in by_fold]) for name in names}
    found = {f"folds_{name}": float(column.mean()) for name, column in values.items()}
    found |= {f"folds_{name}_sd": float(column.std(ddof=1)) for name, column in values.items()}
    if METRIC in values:
        spread = metrics.quantiles(values[METRIC])
        found |= {f"folds_{METRIC}_{name}": value for name, value in spread.items()}
    return found


def settled_threshold(recipe: Recipe, by_fold: list[dict[str, float]]) -> float | None:
    """The threshold that the folds settle, where the recipe leaves it to them."""
    chosen = recipe.model.threshold if isinstance(recipe.model, WindowFamily) else None
    quantile = None if chosen is None else chosen.fold_quantile
    if chosen is not None and recipe.training.ensemble:
        quantile = quantile or 0.5  # the members have seen each other's validation rows
    return None if quantile is None else over_folds(quantile, [figures[METRIC] for figures in by_fold])


def ensemble(
    framework: FrameworkFit, table: Table, prepared: Prepared, recipe: Recipe, checkpoints: Checkpoints | None = None
) -> tuple[Fitted, Prepared, list[dict[str, float]]]:
    """Fit a network to the rows outside of each fold, and join them: their probabilities' mean is the answer.

    Folds are of the rows that are not held out, so no member has seen those. Returns the joined network, the rows that
    it is to be measured on, and the metrics of each member on the same rows. With `checkpoints`, networks that a killed
    run has finished are not fitted again. Raises UsageError where the networks cannot be joined.
    """
    _refuse(recipe, prepared)
    count = recipe.training.folds or 0
    members: list[Fitted] = []
    by_member: list[dict[str, float]] = []
    started = time.monotonic()
    for fold in range(count):
        chosen = _of_fold(recipe, fold)
        own = prepared_rows(framework, table, chosen, quiet=True)
        if own.before != prepared.before:
            raise UsageError(
                "the steps before the network are fitted to the rows, so each network would have its own",
                where="training.ensemble",
                hint="give columns that need no scaling, or leave ensemble out",
            )
        of_fold = _checkpoints_of(checkpoints, fold)
        fitted = fit(framework, own, chosen, checkpoints=of_fold, label=f"network {fold + 1} of {count},")
        members.append(fitted)
        figures = _figures(framework, recipe, own, fitted)
        by_member.append({**figures, "best_epoch": fitted.history.best_epoch})
    factory = f"onnxpress.training.{recipe.framework}.models.ensemble:build"
    settings = {"member": prepared.network, "settings": prepared.settings, "count": count}
    build = load_factory(factory)
    network = framework.joined([member.network for member in members], build, settings)
    joined = replace(
        prepared,
        network="ensemble",
        settings=settings,
        loss="negative_log_likelihood",
        network_outputs=[TensorSpec(name="probabilities", dtype="float32", shape=("batch", len(prepared.classes)))],
    )
    seconds = time.monotonic() - started
    whole = Fitted(factory, network, network, framework.parameters(network), members[0].history, seconds)
    return whole, joined, by_member


def _refuse(recipe: Recipe, prepared: Prepared) -> None:
    model = recipe.model
    is_text = isinstance(model, Document) and model.encoder is not None
    if not isinstance(model, WindowFamily | CnnLstmAttention | Document) or is_text or prepared.loss != "cross_entropy":
        raise UsageError(
            "networks of this model are not joined",
            where="training.ensemble",
            hint="families that classify windows, characters and vectors can be",
        )
