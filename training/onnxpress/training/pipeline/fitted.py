"""A network built and fitted to a family's rows; the run, a fold and a member of an ensemble are made by it."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.core.dotted import load_factory
from onnxpress.core.errors import BadData, BadModel, UsageError
from onnxpress.core.progress import Progress
from onnxpress.training import tensorboard
from onnxpress.training.data.table import Table
from onnxpress.training.families import Own
from onnxpress.training.families.prepared import Prepared
from onnxpress.training.fitting import loop, metrics
from onnxpress.training.fitting.checkpoint import Checkpoints
from onnxpress.training.fitting.framework_fit import FrameworkFit
from onnxpress.training.fitting.loop import Fit, History, Inputs
from onnxpress.training.pipeline.teacher import teaching
from onnxpress.training.recipe import Recipe
from onnxpress.training.settings import Training


@dataclass(frozen=True)
class Fitted:
    """A network that has learnt, and what was seen on the way."""

    factory: str
    network: Any
    """what is saved"""
    asked: Any
    """what answers the rows: the network, or one of its outputs"""
    parameters: int
    history: History
    seconds: float


def prepared_rows(framework: FrameworkFit, table: Table, recipe: Recipe, *, quiet: bool = False) -> Prepared:
    """The family's rows; a user's own network is asked first what it answers."""
    prepared = recipe.model.prepare(table, recipe.training)
    _refuse_names(prepared)
    if not isinstance(recipe.model, Own):
        return prepared
    framework.seed(recipe.training)  # joins the other processes where there are some, before anything is built
    network = load_factory(recipe.model.build)(**recipe.model.settings)
    asked = framework.by_name(network, _few(prepared))
    if names := recipe.model.outputs:
        by_name = {name: functools.partial(framework.predict, framework.one_of(asked, names, name)) for name in names}
        prepared, words = recipe.model.told_by_name(prepared, by_name)
    else:
        prepared, words = recipe.model.told(
            prepared, functools.partial(framework.predict, asked), framework.last_layer(network)
        )
    if words and not quiet and framework.is_main():
        print(words, file=sys.stderr, flush=True)
    return prepared


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
    taught = teaching(training, prepared)
    factory = prepared.network
    if ":" not in factory:
        factory = f"onnxpress.training.{recipe.framework}.models.{prepared.network}:build"
    build = load_factory(factory)
    framework.seed(training)
    network = framework.build(build, prepared.settings, training)
    asked = _asked(framework, network, prepared)
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
            teaching=taught,
            frozen_encoder=prepared.frozen_encoder,
            on_epoch=tell,
        )
        history = loop.run(framework.learner(asked, job), job, checkpoints)
    if history.diverged:
        raise BadModel("training diverged: no epoch had a finite validation loss", hint="lower training.learning_rate")
    network = framework.finished(network, build, prepared.settings)
    asked = _asked(framework, network, prepared)
    return Fitted(factory, network, asked, parameters, history, time.monotonic() - started)


def _refuse_names(prepared: Prepared) -> None:
    """A graph has one name for each tensor: raises BadData, before the fit, for a raw input that is called like one."""
    made = {name for step in prepared.before for name in step.makes}
    taken = made | prepared.answers | {spec.name for spec in prepared.network_outputs}
    for spec in prepared.inputs:
        if spec.name in taken:
            kind = "a step before the network" if spec.name in made else "the model's answer"
            raise BadData(
                f"a tensor of {kind} has this name too",
                where=f"column {spec.name!r}",
                hint="rename the column in the file, or leave it out (action drop)",
            )


def _asked(framework: FrameworkFit, network: Any, prepared: Prepared) -> Any:
    """The network as rows are put to it: of a user's own the one output that is learnt, fed as it takes them."""
    asked = framework.by_name(network, _few(prepared)) if ":" in prepared.network else network
    if prepared.answer is None:
        return asked
    return framework.one_of(asked, [spec.name for spec in prepared.network_outputs], prepared.answer)


def _few(prepared: Prepared) -> Inputs:
    return {name: part[:2] for name, part in prepared.train.x.items()}


def _refuse_classes_of_values(prepared: Prepared, training: Training) -> None:
    asked = {"class_weights": training.class_weights is not None, "balanced_batches": training.balanced_batches}
    for name in [name for name, given in asked.items() if given and prepared.loss == "mean_squared_error"]:
        raise UsageError(
            "this model learns values, not classes", where=f"training.{name}", hint="leave it out of the recipe"
        )
