"""Learning from feedback: a trained autoencoder hears which alarms were false and which anomalies it missed.

Rows that were false alarms are learnt as normal ones, and missed ones are pushed beyond a margin, by the named layers
alone; a companion forest is grown anew. Then the thresholds are set between what is normal and what was missed. The old
held-out rows say whether the model got worse. Every round learns the rows of all rounds before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadData, NotEquivalent, UsageError
from onnxpress.core.indented_json import indented
from onnxpress.core.processing import Threshold, apply
from onnxpress.core.run import Run
from onnxpress.training import plots
from onnxpress.training import recipe as recipes
from onnxpress.training.families import anomaly_decision
from onnxpress.training.families.anomaly_decision import Choose, Cost
from onnxpress.training.families.autoencoder import Autoencoder
from onnxpress.training.families.prepared import Prepared
from onnxpress.training.fitting import loop
from onnxpress.training.fitting.framework_fit import FrameworkFit, framework_fit, network_of, refuse_several
from onnxpress.training.fitting.loop import Examples, Fit, Inputs
from onnxpress.training.pipeline import feedback_rows, review, run_page, stage
from onnxpress.training.pipeline.feedback_record import Record, Round
from onnxpress.training.pipeline.feedback_rows import Given
from onnxpress.training.pipeline.run_folder import run_folder
from onnxpress.training.recipe import Recipe

_WEIGHT = 20.0
"""how many training rows one row of feedback counts as: there are few, and each was looked at by a person"""
_RATE = 0.3
"""share of the recipe's learning rate: what was learnt is to be corrected, not replaced"""
_MARGIN = 2.0
"""a missed anomaly's error is to be at least this many times the threshold that missed it"""


def learn(
    run_path: Path,
    feedback: Path,
    *,
    only: Sequence[str],
    output: Path,
    allowed_drop: float,
    cost: Cost | None = None,
    to_review: int = 0,
) -> Path:
    """Fine-tune the run's model on `feedback` and write it as a new run; returns its folder.

    `only` names layers, or `encoder` or `decoder` for a half of them. With `cost` the thresholds are the cheapest ones,
    otherwise those of the recipe. `to_review` rows close to the threshold are written for the next round. Raises
    UsageError for a run that is no autoencoder's, BadData for feedback that does not fit, and NotEquivalent, with
    nothing written, where ROC AUC of the old held-out rows falls by more than `allowed_drop` below what it was at
    first.
    """
    run = runs.read(run_path)
    recipe = recipes.load(run_path / stage.RECIPE)
    family = recipe.model
    if not isinstance(family, Autoencoder):
        raise UsageError("feedback is for the autoencoder", where=str(run_path), hint="train with the new rows instead")
    framework = framework_fit(run.framework)
    refuse_several(framework, "learning from feedback")
    reading = family.reading()
    table = recipe.data.load(reading)
    prepared = family.prepare(table, recipe.training)
    if prepared.before != run.processing.before:
        raise BadData("the rows are not those that the run was trained on", where=str(run_path), hint="train anew")
    names = [name for name in table.feature_names if not family.columns or family.columns.get(name) != "drop"]
    layers = family.layers(only, width=prepared.settings["width"], embedded=prepared.settings.get("embedded", ()))
    new = feedback_rows.read(feedback, reading, names)
    given = feedback_rows.together(feedback_rows.kept(run_path, reading, names), new)
    raw = feedback_rows.raw(given, [spec.name for spec in prepared.inputs], names)
    scaled = apply(prepared.before, raw)["scaled"]
    network = network_of(run, run_path)

    def asked(rows: Inputs) -> Array:
        return framework.predict(network, rows)

    before = family.finish(prepared, asked, title=run.name, after=run.processing.after)
    flagged_before = _flagged(run.processing.after, {"scaled": scaled, "decoded": asked({"scaled": scaled})})
    network = _fine_tune(framework, network, run, recipe, prepared, scaled, given, layers)
    normal = np.concatenate([prepared.train.x["scaled"], scaled[~given.is_missed]])
    cost = cost or family.cost
    after_steps = family.steps(
        prepared,
        _choose(prepared, scaled, given, cost, asked),
        forest_rows={"scaled": np.concatenate([normal, *[scaled[~given.is_missed]] * int(_WEIGHT - 1)])},
    )
    after = family.finish(prepared, asked, title=f"{run.name}, after feedback", after=after_steps)
    flagged = _flagged(after_steps, {"scaled": scaled, "decoded": asked({"scaled": scaled})})
    record = Record.read(run_path).with_round(
        Round.of(given, flagged_before, flagged, before.metrics, after.metrics, cost)
    )
    _refuse_worse(record, allowed_drop, where=str(feedback))
    with run_folder(output, run.name) as draft:
        for name in (stage.RECIPE, stage.DATA, run.samples):
            if (run_path / name).exists():
                (draft.folder / name).write_bytes((run_path / name).read_bytes())
        given.write(draft.folder)
        for name, value in (("feedback", record), ("metrics", after.metrics)):
            (draft.folder / f"{name}.json").write_bytes(indented(value))
        pictures = {**after.plots, "feedback.png": plots.rounds(record.rounds, title=f"{run.name}: feedback")}
        for file_name, figure in pictures.items():
            figure.savefig(draft.folder / file_name)
        framework.save(network, draft.folder / run.weights)
        processing = msgspec.structs.replace(run.processing, after=after_steps)
        runs.write(draft.folder, msgspec.structs.replace(run, processing=processing, thresholds=after.thresholds))
        run_page.write(draft.folder)
        if to_review:
            review.write(draft.folder, prepared, asked, after_steps, names=names, count=to_review)
        return draft.finish()


def _fine_tune(
    framework: FrameworkFit,
    network: Any,
    run: Run,
    recipe: Recipe,
    prepared: Prepared,
    scaled: Array,
    given: Given,
    layers: tuple[str, ...],
) -> Any:
    """The network after learning: false alarms rebuilt well beside the old rows, missed ones badly.

    The epoch that is kept is the best on the old validation rows and the feedback together.
    """
    training = msgspec.structs.replace(
        recipe.training, learning_rate=recipe.training.learning_rate * _RATE, warm_up=0, cool_down=0, plateau=None
    )
    sign = np.where(given.is_missed, -_WEIGHT, _WEIGHT)

    def beside(old: Array) -> Examples:
        rows = np.concatenate([old, scaled])
        return Examples({"scaled": rows}, rows, np.concatenate([np.ones(len(old)), sign]).astype(np.float32))

    framework.seed(training)
    job = Fit(
        train=beside(prepared.train.x["scaled"]),
        validation=beside(prepared.validation.x["scaled"]),
        training=training,
        margin=_MARGIN * run.thresholds["is_anomaly"] if given.is_missed.any() else 0.0,
        only=layers,
        on_epoch=lambda *_: None,
    )
    loop.run(framework.learner(network, job), job)
    return framework.finished(network, runs.factory(run, Path(run.name)), run.settings)


def _choose(
    prepared: Prepared, scaled: Array, given: Given, cost: Cost | None, asked: Callable[[Inputs], Array]
) -> Choose:
    """Between the seen normal rows with the false alarms, and the missed anomalies.

    With a cost, the cheapest, each row of feedback counting as several. Without, the percentile of the normal rows, as
    in training; lowered to just below the missed ones that lie under it, as far as not more than twice the share of
    normal rows that the percentile leaves is flagged then.
    """
    groups = {
        "normal": prepared.train.x["scaled"],
        "false": scaled[~given.is_missed],
        "missed": scaled[given.is_missed],
    }
    if cost is not None and prepared.anomalies is not None:
        groups["known"] = prepared.anomalies["scaled"]
    rows: dict[str, Inputs] = {
        name: {"scaled": part, "decoded": asked({"scaled": part}) if len(part) else part}
        for name, part in groups.items()
    }

    def choose(_: str, scored: Callable[[Inputs], Array], percentile: float) -> float:
        scores = {name: scored(part) if len(part["scaled"]) else np.zeros(0, np.float32) for name, part in rows.items()}
        if cost is not None:
            known = scores.get("known", scores["missed"][:0])
            return anomaly_decision.cheapest(
                np.concatenate([scores["normal"], scores["false"]]),
                np.concatenate([scores["missed"], known]),
                cost,
                weights=(
                    np.concatenate([np.ones(len(scores["normal"])), np.full(len(scores["false"]), _WEIGHT)]),
                    np.concatenate([np.full(len(scores["missed"]), _WEIGHT), np.ones(len(known))]),
                ),
            )
        normal = np.concatenate([scores["normal"], scores["false"]])
        highest = np.percentile(normal, percentile)
        lowest = np.percentile(normal, max(0.0, 100 - 2 * (100 - percentile)))
        under = scores["missed"][(scores["missed"] <= highest) & (scores["missed"] > lowest)]
        return float(max(np.nextafter(under.min(), np.float32(0)) if under.size else highest, lowest))

    return choose


def _flagged(after: list[Any], tensors: Inputs) -> Array:
    """Of each row, whether the model's last flag is raised."""
    last = [step.output for step in after if isinstance(step, Threshold)]
    flags = apply(after, tensors)
    return flags["is_flagged" if "is_flagged" in flags else last[0]]


def _refuse_worse(record: Record, allowed_drop: float, *, where: str) -> None:
    first, last = record.rounds[0].before, record.rounds[-1].after
    if "roc_auc" not in last:
        return
    drop = first["roc_auc"] - last["roc_auc"]
    if drop > allowed_drop:
        raise NotEquivalent(
            f"the model got worse: ROC AUC of the old held-out rows fell from {first['roc_auc']:.4f} to "
            f"{last['roc_auc']:.4f}, by more than the allowed {allowed_drop:g}; nothing was written",
            where=where,
            hint="look at the feedback, name fewer layers with --only, or allow more with --allowed-drop",
        )
