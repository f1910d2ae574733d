"""Models side by side: what is measured, how it is shown, and that a failure costs its own figure alone."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from onnxpress.core.errors import UsageError
from onnxpress.export.comparison import running
from onnxpress.export.comparison.answers import metrics, without_target
from onnxpress.export.comparison.asking import Job, timed
from onnxpress.export.comparison.cli import compare
from onnxpress.export.comparison.figures import Comparison, Contender, Timed, Training
from onnxpress.export.comparison.picture import draw
from onnxpress.export.comparison.table import ratios, table, times
from onnxpress.export.source import SourceRef

JOB = Job(batches=[1, 4], seconds=0.001)


def test_every_batch_is_timed_with_its_rows() -> None:
    seen = []
    found = timed(lambda feeds: seen.append(len(feeds["x"])), {"x": np.ones((2, 3), np.float32)}, JOB)
    assert set(found.seconds) == {1, 4}
    assert found.first is not None
    assert set(seen) == {1, 4}
    assert seen.count(1) >= 4


def test_what_fails_at_a_size_keeps_the_sizes_before_it() -> None:
    def ask(feeds: object) -> None:
        if len(feeds["x"]) > 1:  # type: ignore[index]
            raise ValueError("no more\nthan one")

    found = timed(ask, {"x": np.ones((2, 3), np.float32)}, JOB)
    assert set(found.seconds) == {1}
    assert found.failed == "ValueError: no more than one"


def comparison() -> Comparison:
    first = Contender(
        name="a:build",
        framework="pytorch",
        parameters=1000,
        import_seconds=2.0,
        training=Training(seconds_per_epoch=0.5, epochs=3, peak_memory=300_000_000, metrics={"accuracy": 0.9}),
        eager=Timed(seconds={1: 1e-4, 32: 2e-4}),
        compiled=Timed(failed="no compiler"),
        runtime=Timed(seconds={1: 1e-5, 32: 1e-4}),
        multiple=1.5,
    )
    second = Contender(name="b.keras", framework="tensorflow", eager=Timed(seconds={1: 3e-4}), failed="export: refused")
    return Comparison(created="now", onnxruntime="1", cpus=2, batches=[1, 32], contenders=[first, second])


def test_the_table_has_absolutes_ratios_and_reasons() -> None:
    text = table(comparison())
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["framework, batch 1"].split()[-3:] == ["300", "us", "(3.00x)"]
    assert lines["framework, batch 32"].split()[-1] == "-"
    assert lines["framework, batch 1"].split()[3:6] == ["100", "us", "(1.00x)"]
    assert ratios(comparison())[1]["framework, batch 1"] == pytest.approx(3)
    assert "framework, batch 32" not in ratios(comparison())[1]
    assert "500 ms" in lines["training, an epoch"]
    assert "0.9" in lines["accuracy"]
    assert "a:build (pytorch): compiled: no compiler" in text
    assert "b.keras (tensorflow): export: refused" in text
    widths = {len(line) for line in text.splitlines()[:-2]}
    assert len(widths) == 1, "the columns do not stand under each other"


@pytest.mark.parametrize(
    ("ratio", "shown"), [(1, "1.00x"), (0.000369, "0.000369x"), (552.94, "553x"), (12345.6, "12,346x"), (0, "0x")]
)
def test_ratios_have_three_digits_that_say_something(ratio: float, shown: str) -> None:
    assert times(ratio) == shown


def test_runs_that_compile_are_not_counted() -> None:
    runs = iter([0.4, 0.15, 0.03])
    found = timed(lambda _: time.sleep(next(runs, 0)), {"x": np.ones((1, 1))}, Job(batches=[1], seconds=1e-3))
    assert found.first is not None
    assert found.first >= 0.4
    assert found.seconds[1] < 0.03


@pytest.mark.parametrize(
    ("answers", "target", "found"),
    [
        ({"logits": [[1.0, 2, 0], [3.0, 0, 0]]}, [1, 1], {"accuracy": 0.5}),
        ({"p": [[0.4], [0.6]]}, [0, 1], {"accuracy": 1}),
        ({"logit": [0.4, -0.6]}, [1, 0], {"accuracy": 1}),
        ({"p": [[0.1, 0.9]], "label": ["b"]}, ["b"], {"accuracy": 1}),
        ({"p": [[0.1, 0.9]]}, ["b"], {}),
        ({"value": [[1.5], [2]]}, [1.0, 2.0], {"mean_absolute_error": 0.25}),
        ({"value": [1.5]}, None, {}),
    ],
)
def test_answers_are_held_against_the_target_of_the_rows(
    answers: dict[str, list[float]], target: list[float] | None, found: dict[str, float], tmp_path: Path
) -> None:
    given = {} if target is None else {"target": np.array(target)}
    np.savez(tmp_path / "rows.npz", x=np.ones(len(target or [0])), **given)  # type: ignore[arg-type]
    arrays = {name: np.array(value) for name, value in answers.items()}
    assert metrics(arrays, tmp_path / "rows.npz") == pytest.approx(found)
    assert set(np.load(without_target(tmp_path / "rows.npz", tmp_path)).files) == {"x"}


def test_the_picture_is_drawn_where_figures_are_missing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(comparison(), tmp_path / "comparison.png")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_recipe_is_two_contenders_and_ones_own_network_one(tmp_path: Path) -> None:
    family, own = tmp_path / "family.yaml", tmp_path / "own.json"
    family.write_text("name: a\nmodel: {family: tabular}\n")
    own.write_text('{"name": "a", "model": "nets:build"}')
    frameworks = [
        [framework for framework, _ in running.contenders(SourceRef(reference=str(path)))]
        for path in (family, own, tmp_path / "m.keras")
    ]
    assert frameworks == [["pytorch", "tensorflow"], [""], [""]]
    with pytest.raises(UsageError, match="no such recipe"):
        list(running.contenders(SourceRef(reference="none.yaml")))


@pytest.mark.timeout(600)
def test_two_estimators_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skl2onnx")
    (tmp_path / "two.py").write_text(
        "from sklearn.datasets import load_iris\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "x, y = load_iris(return_X_y=True)\n"
        "def line():\n"
        "    print('a word of the user on stdout')\n"
        "    return LogisticRegression(max_iter=500).fit(x.astype('float32'), y), x[:8].astype('float32')\n"
        "def tree():\n"
        "    return DecisionTreeClassifier(max_depth=3).fit(x.astype('float32'), y), x[:8].astype('float32')\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["two:line", "two:tree", "two:none", "--batch", "1", "--batch", "8", "--seconds", "0.01", "--json"]
    done = CliRunner().invoke(compare, [*command, "--output", "out"])
    assert done.exit_code == 0, done.output
    found = msgspec.json.decode(done.stdout, type=Comparison)
    line, tree, none = found.contenders
    for one in (line, tree):
        assert one.framework == "sklearn"
        for way in (one.eager, one.runtime):
            assert set(way.seconds) == {1, 8}, way
        assert one.compiled.failed == "this kind of model is not compiled"
        assert one.multiple is not None
        assert one.multiple <= 10
    assert "none" in none.failed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.json", "comparison.png"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != "") == ["two.py"], (
        "something was published"
    )
