"""An ensemble is the mean of its folds' networks, in one graph, measured on rows that none of them has seen."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.dotted import load
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.golden import LIMIT
from onnxpress.training.data import split
from onnxpress.training.fitting.framework_fit import framework_fit, network_of
from onnxpress.training.pipeline import port, stage
from onnxpress.training.recipe import Recipe
from onnxpress.training.settings import Training

pytest.importorskip("sklearn")
FOLDS = 3


def recipe(framework: str, folder: Path, **model: Any) -> Recipe:
    g = np.random.default_rng(0)
    labels = np.arange(60) % 2
    waves = np.sin(np.arange(40) * (0.2 + 0.2 * labels[:, None])) + 0.5 * g.normal(size=(60, 40))
    np.savez(folder / "w.npz", windows=waves, labels=labels)
    document = {
        "name": "together",
        "framework": framework,
        "model": {"family": "cnn14", "filters": [4, 5], "stride_every": 0, "dense": [6], **model},
        "data": {"source": "npz", "path": str(folder / "w.npz")},
        "training": {"epochs": 3, "learning_rate": 0.01, "folds": FOLDS, "ensemble": True},
    }
    return msgspec.convert(document, Recipe)


def test_the_ensemble_is_the_mean_of_its_members_and_is_exported_and_ported(framework: str, tmp_path: Path) -> None:
    folder = stage.train(recipe(framework, tmp_path, threshold={"metric": "youden"}), output=tmp_path / "runs")
    assert folder is not None
    run, figures = runs.read(folder), json.loads((folder / "metrics.json").read_text())
    by_member = json.loads((folder / "folds.json").read_text())
    assert len(by_member) == FOLDS
    assert figures["parameters"] == run.parameters == FOLDS * (6 * 4 + 21 * 5 + 6 * 6 + 7 * 2 + 2 * (4 + 5 + 6))
    assert len(run.thresholds) == 1, "the members' thresholds settle it"
    half, network = framework_fit(run.framework), network_of(run, folder)
    samples = np.load(folder / "samples.npz")
    x = {"windows": samples["windows"]}
    answers = []
    for number in range(FOLDS):
        member = load(f"onnxpress.training.{framework}.models.cnn14:build")(**run.settings["settings"])
        find = network.get_submodule if framework == "pytorch" else network.get_layer
        part = find(f"member_{number}")
        _copy(framework, part, member)
        answers.append(_softmax(half.predict(member, x)))
    assert half.predict(network, x) == pytest.approx(np.mean(answers, axis=0), abs=1e-6)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3, "members that agree would show nothing"
    if importlib.util.find_spec("torch") and importlib.util.find_spec("tensorflow"):
        other = "tensorflow" if framework == "pytorch" else "pytorch"
        assert port.port(folder, to=other, output=tmp_path / "ported")[1] <= LIMIT  # type: ignore[arg-type]
    pytest.importorskip("tf2onnx" if framework == "tensorflow" else "onnxscript")
    from onnxpress.export.pipeline.export import export
    from onnxpress.export.sources import resolve

    published = export(resolve.resolve(str(folder)), repository=tmp_path / "models")
    assert published.report.equivalent, published.report
    assert published.manifest.batch_safe


def test_a_killed_run_fits_no_finished_fold_again(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    together = framework == "tensorflow"  # one kind of folds for each: what is tested is the same code for both
    chosen = recipe(framework, tmp_path, dense=[4])
    chosen = msgspec.structs.replace(chosen, training=msgspec.structs.replace(chosen.training, ensemble=together))
    whole = stage.train(chosen, output=tmp_path / "whole")
    half = framework_fit(chosen.framework)
    made, begun = half.learner, 0

    def interrupted(network: Any, job: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == FOLDS:
            raise KeyboardInterrupt
        return made(network, job)

    monkeypatch.setattr(half, "learner", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.train(chosen, output=tmp_path / "runs")
    assert "go on with: onnxpress train --resume" in capsys.readouterr().err
    learnt = 0

    def counted(network: Any, job: Any) -> Any:
        learner = made(network, job)
        learn = learner.learn

        def one(*arguments: Any, **keywords: Any) -> Any:
            nonlocal learnt
            learnt += 1
            return learn(*arguments, **keywords)

        monkeypatch.setattr(learner, "learn", one)
        return learner

    monkeypatch.setattr(half, "learner", counted)
    folder = stage.go_on(Path(f"together-{framework}"), output=tmp_path / "runs")
    assert learnt == 3 * (1 if together else 2), "epochs of the folds that were not finished, and no others"
    assert folder is not None
    assert whole is not None
    assert not list(folder.glob("checkpoint*"))
    figures, expected = (json.loads((path / "folds.json").read_text()) for path in (folder, whole))
    for one, other in zip(figures, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def _copy(framework: str, part: Any, member: Any) -> None:
    if framework == "pytorch":
        member.load_state_dict(part.state_dict())
    else:
        member.set_weights(part.get_weights())


def _softmax(logits: Array) -> Array:
    wide = np.exp(logits.astype(np.float64))
    result: Array = wide / wide.sum(axis=1, keepdims=True)
    return result


def test_no_member_sees_what_is_held_out() -> None:
    classes = np.array(["a", "b"] * 30)
    whole = Training(folds=4, ensemble=True)
    held_out = set(split.parts(classes, whole, rows=60)[2].tolist())
    validated: list[int] = []
    for fold in range(4):
        train, validation, own = split.parts(classes, msgspec.structs.replace(whole, fold=fold), rows=60)
        assert set(own.tolist()) == held_out
        assert not held_out & set(train.tolist() + validation.tolist())
        validated += validation.tolist()
    assert sorted(validated) == sorted(set(range(60)) - held_out)


def test_networks_that_cannot_be_joined_are_refused_before_the_fit(framework: str, tmp_path: Path) -> None:
    chosen = recipe(framework, tmp_path)
    document = msgspec.to_builtins(chosen) | {
        "model": {"family": "cnn-lstm-attention"},
        "data": {"source": "sklearn", "table": "wine"},
    }
    with pytest.raises(UsageError, match="each network would have its own"):
        stage.train(msgspec.convert(document, Recipe), output=tmp_path / "runs")
    document["model"] = {"family": "autoencoder", "normal": "malignant"}
    document["data"] = {"source": "sklearn", "table": "breast_cancer"}
    with pytest.raises(UsageError, match="are not joined"):
        stage.train(msgspec.convert(document, Recipe), output=tmp_path / "runs")
    with pytest.raises(ValueError, match="say how many"):
        Training(ensemble=True)


def test_an_ensembles_settings_reach_no_other_function(framework: str) -> None:
    pytest.importorskip("torch" if framework == "pytorch" else "tensorflow")
    with pytest.raises(BadModel, match="no family's network"):
        load(f"onnxpress.training.{framework}.models.ensemble:build")(member="os:system", settings={}, count=2)
