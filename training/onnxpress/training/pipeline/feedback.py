"""Learning from feedback: a trained autoencoder hears which alarms were false and which anomalies it missed.

Rows that were false alarms are learnt as normal ones, by the named layers alone; then the threshold is set anew between
what is normal and what was missed. The old held-out rows say whether the model got worse.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load
from onnxpress.core.errors import BadData, NotEquivalent, UsageError
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import MeanSquaredError, Step, Threshold, apply
from onnxpress.core.run import Run
from onnxpress.training import recipe as recipes
from onnxpress.training.data.csv_file import CsvFile
from onnxpress.training.data.table import Reading
from onnxpress.training.families.autoencoder import Autoencoder
from onnxpress.training.families.prepared import Outcome, Prepared
from onnxpress.training.fitting import loop
from onnxpress.training.fitting.framework_fit import FrameworkFit, framework_fit, refuse_several
from onnxpress.training.fitting.loop import Examples, Fit
from onnxpress.training.pipeline import port, stage
from onnxpress.training.pipeline.run_folder import run_folder
from onnxpress.training.recipe import Recipe

COLUMN = "feedback"
FALSE_ALARM, MISSED = "false_alarm", "missed"
_WEIGHT = 10.0
"""how many training rows one row of feedback counts as: there are few, and each was looked at by a person"""
_RATE = 0.1
"""share of the recipe's learning rate: what was learnt is to be corrected, not replaced"""


class Comparison(msgspec.Struct, frozen=True):
    """The figures of the old held-out rows, before and after."""

    before: dict[str, float]
    after: dict[str, float]
    false_alarms: int
    missed: int
    cured_false_alarms: float
    """share of the false alarms that no longer are"""
    found_missed: float
    """share of the missed anomalies that are found now"""


@dataclass(frozen=True)
class _Feedback:
    x: Array
    """(rows, features) float32, raw"""
    is_missed: Array


def learn(run_path: Path, feedback: Path, *, only: Sequence[str], output: Path, allowed_drop: float) -> Path:
    """Fine-tune the run's model on `feedback` and write it as a new run; returns its folder.

    `only` names layers, or `encoder` or `decoder` for a half of them. Raises UsageError for a run that is no
    autoencoder's, BadData for feedback that does not fit, and NotEquivalent, with nothing written, where ROC AUC of the
    old held-out rows falls by more than `allowed_drop`.
    """
    run = runs.read(run_path)
    recipe = recipes.load(run_path / stage.RECIPE)
    family = recipe.model
    if not isinstance(family, Autoencoder):
        raise UsageError("feedback is for the autoencoder", where=str(run_path), hint="train with the new rows instead")
    framework = framework_fit(run.framework)
    refuse_several(framework, "learning from feedback")
    table = recipe.data.load(family.reading())
    prepared = family.prepare(table, recipe.training)
    if prepared.before != run.processing.before:
        raise BadData("the rows are not those that the run was trained on", where=str(run_path), hint="train anew")
    given = _read(feedback, table.feature_names)
    layers = family.layers(only, width=len(table.feature_names))
    network = port.network(run, run_path)
    before = family.finish(
        prepared, lambda x: framework.predict(network, x), title=run.name, after=run.processing.after
    )
    network = _fine_tune(framework, network, run, recipe, prepared, given, layers)

    def predict(x: loop.Inputs) -> Array:
        return framework.predict(network, x)

    scores = _scores(prepared, predict, given)
    threshold = _threshold(prepared, predict, scores, given, percentile=family.threshold_percentile)
    after_steps = [_with_threshold(step, threshold) for step in run.processing.after]
    after = family.finish(prepared, predict, title=f"{run.name}, after feedback", after=after_steps)
    comparison = _compare(before, after, scores, given, threshold)
    drop = before.metrics["roc_auc"] - after.metrics["roc_auc"]
    if drop > allowed_drop:
        raise NotEquivalent(
            f"the model got worse: ROC AUC of the old held-out rows fell from {before.metrics['roc_auc']:.4f} to "
            f"{after.metrics['roc_auc']:.4f}, by more than the allowed {allowed_drop:g}; nothing was written",
            where=str(feedback),
            hint="look at the feedback, name fewer layers with --only, or allow more with --allowed-drop",
        )
    with run_folder(output, run.name) as draft:
        (draft.folder / stage.RECIPE).write_bytes((run_path / stage.RECIPE).read_bytes())
        for name, value in (("feedback", comparison), ("metrics", after.metrics)):
            (draft.folder / f"{name}.json").write_bytes(indented(value))
        for file_name, figure in after.plots.items():
            figure.savefig(draft.folder / file_name)
        (draft.folder / run.samples).write_bytes((run_path / run.samples).read_bytes())
        framework.save(network, draft.folder / run.weights)
        processing = msgspec.structs.replace(run.processing, after=after_steps)
        runs.write(draft.folder, msgspec.structs.replace(run, processing=processing, thresholds=after.thresholds))
        return draft.finish()


def _read(path: Path, feature_names: list[str]) -> _Feedback:
    """Raw rows with a column `feedback` of `false_alarm` or `missed`."""
    table = CsvFile(path=str(path), target=COLUMN).load(Reading(numbers=tuple(feature_names)))
    wrong = sorted(set(table.target.tolist()) - {FALSE_ALARM, MISSED})
    if wrong:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            line = next(reader.line_num for row in reader if row[COLUMN] == wrong[0])
        raise BadData(
            f"the feedback {wrong[0]!r} is not known", where=f"{path}:{line}", hint=f"write {FALSE_ALARM} or {MISSED}"
        )
    return _Feedback(table.x, table.target == MISSED)


def _fine_tune(
    framework: FrameworkFit,
    network: Any,
    run: Run,
    recipe: Recipe,
    prepared: Prepared,
    given: _Feedback,
    layers: tuple[str, ...],
) -> Any:
    """The network after learning the false alarms as normal rows beside the old ones; missed rows are not learnt."""
    normal = apply(prepared.before, {"features": given.x[~given.is_missed]})["scaled"]
    old = prepared.train.x["scaled"]
    scaled = np.concatenate([old, normal])
    weight = np.concatenate([np.ones(len(old)), np.full(len(normal), _WEIGHT)]).astype(np.float32)
    training = msgspec.structs.replace(
        recipe.training, learning_rate=recipe.training.learning_rate * _RATE, warm_up=0, cool_down=0, plateau=None
    )
    framework.seed(training)
    job = Fit(
        train=Examples({"scaled": scaled}, scaled, weight),
        validation=prepared.validation,
        training=training,
        only=layers,
        on_epoch=lambda *_: None,
    )
    loop.run(framework.learner(network, job), job)
    return framework.finished(network, load(run.model), run.settings)


def _scores(prepared: Prepared, predict: Any, given: _Feedback) -> Array:
    tensors = apply(prepared.before, {"features": given.x})
    error = MeanSquaredError(input="decoded", target="scaled", output="score")
    return error.apply({**tensors, "decoded": predict({"scaled": tensors["scaled"]})}, "float32")


def _threshold(prepared: Prepared, predict: Any, scores: Array, given: _Feedback, *, percentile: float) -> float:
    """Between the training rows with the false alarms, and the missed anomalies.

    The percentile of the normal rows, as in training; lowered to just below the missed ones that lie under it, as far
    as not more than twice the share of normal rows that the percentile leaves is flagged then.
    """
    rows = prepared.train.x
    error = MeanSquaredError(input="decoded", target="scaled", output="score")
    normal = np.concatenate([error.apply({**rows, "decoded": predict(rows)}, "float32"), scores[~given.is_missed]])
    highest = np.percentile(normal, percentile)
    lowest = np.percentile(normal, max(0.0, 100 - 2 * (100 - percentile)))
    missed = scores[given.is_missed & (scores <= highest) & (scores > lowest)]
    chosen = np.nextafter(missed.min(), np.float32(0)) if missed.size else highest
    return float(np.float32(max(chosen, lowest)))


def _with_threshold(step: Step, value: float) -> Step:
    is_ours = isinstance(step, Threshold) and step.output == "is_anomaly"
    return msgspec.structs.replace(step, value=value) if is_ours else step


def _compare(before: Outcome, after: Outcome, scores: Array, given: _Feedback, threshold: float) -> Comparison:
    flagged = scores > np.float32(threshold)
    return Comparison(
        before=before.metrics,
        after=after.metrics,
        false_alarms=int((~given.is_missed).sum()),
        missed=int(given.is_missed.sum()),
        cured_false_alarms=_share(~flagged[~given.is_missed]),
        found_missed=_share(flagged[given.is_missed]),
    )


def _share(flags: Array) -> float:
    return float(flags.mean()) if flags.size else 1.0
