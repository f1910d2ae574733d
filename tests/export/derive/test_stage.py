"""`onnxpress derive` from its command line: published beside the parent and served, or refused with what was tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tests.export.derive.networks import classifier, model, published, rows, weights

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, NotEquivalent, OnnxpressError, UsageError
from onnxpress.core.manifest import Manifest
from onnxpress.core.version_folder import read_manifest
from onnxpress.export.cli import verify
from onnxpress.export.derive.cli import derive
from onnxpress.export.derive.figures import OutputJudged, Tried
from onnxpress.serving.cli.inspect import inspect
from onnxpress.serving.engine import Engine
from onnxpress.serving.routes import metadata

QUICK = ["--seconds", "0.02", "--search-seconds", "5", "--min-smaller", "1.5"]
"""short, and no verdict on the speed, which a loaded machine would decide"""


def run(*arguments: Any) -> str:
    """What the command prints. Raises what the command line would show."""
    result = CliRunner().invoke(derive, [*QUICK, *map(str, arguments)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def saved(path: Path, **arrays: Array) -> Path:
    np.savez(path, **arrays)
    return path


def manifest_of(folder: Path) -> Manifest:
    found = read_manifest(folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 of a classifier of 200 kB, which is only read here."""
    return published(tmp_path_factory.mktemp("parent") / "models", classifier(hidden=2048))


@pytest.fixture
def net(parent: Path, tmp_path: Path) -> Path:
    """The model's folder, to publish into."""
    import shutil

    shutil.copytree(parent.parent, tmp_path / "models" / "net")
    return tmp_path / "models" / "net"


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    return saved(tmp_path / "rows.npz", x=rows(4000, 16))


def test_a_smaller_version_is_published_beside_its_parent_and_says_what_it_costs(net: Path, calibration: Path) -> None:
    run(net, "--precision", "w8", "--calibrate", calibration)
    before, after = manifest_of(net / "1"), manifest_of(net / "2")
    found = after.derived_from
    assert found is not None
    assert (found.version, found.precision, found.rows) == (1, "w8", 3744)
    assert found.sha256 == before.files["model.onnx"].sha256
    assert found.told.startswith("not equivalent by rounding: ")
    assert f"of {found.decisions:,} decisions differ (≤ " in found.told
    assert found.bound is not None
    assert found.bound <= 0.005
    assert found.smaller > 2
    assert set(found.quicker) == {"1", "32"}
    assert (net / "2" / "model.onnx").stat().st_size * 2 < (net / "1" / "model.onnx").stat().st_size
    # The contract is the parent's.
    assert (after.inputs, after.outputs, after.source) == (before.inputs, before.outputs, before.source)
    assert (after.batch_safe, after.rows) == (True, "proven")
    assert not after.equivalence.equivalent
    report = json.loads((net / "2" / "equivalence.json").read_text())
    assert report["derived"] == found.told
    assert [rung["name"] for rung in report["ladder"]] == ["the parent, as served", "derived, as served"]
    costs = [one["cost"] for one in report["costs"]]
    assert costs == sorted(costs, reverse=True)
    assert len(costs) == 2  # of its two products
    shown = (net / "2" / "equivalence.html").read_text()
    assert "Derived: not equivalent by rounding" in shown
    assert "What every layer costs" in shown
    assert "--against" not in shown  # that is for the source, which the parent's page names
    tried = msgspec.json.decode((net / "2" / "derived.json").read_bytes(), type=list[Tried])
    assert any(one.inside for one in tried)


def test_its_golden_samples_are_its_own_and_it_is_served_as_any_version(net: Path, calibration: Path) -> None:
    folder = Path(run(net, "--precision", "float16", "--calibrate", calibration).splitlines()[-1])
    assert folder == net / "2"
    engine = Engine.load(folder / "model.onnx")
    assert engine.self_test is not None
    assert engine.self_test.worst_multiple <= 1
    x = rows(5, 16, seed=9)
    np.testing.assert_allclose(
        engine.run({"x": x})["y"], Engine.load(net / "1" / "model.onnx").run({"x": x})["y"], atol=0.01
    )
    document = json.loads(metadata.model("net", [1, 2], engine))["parameters"]
    assert (document["precision"], document["derived_from"], document["verified"]) == ("float16", "1", False)
    assert "accepted_refusal" not in document
    assert "float16 from version 1: not equivalent by rounding" in CliRunner().invoke(inspect, [str(net)]).output
    assert "net version 2" in CliRunner().invoke(verify, [str(net)]).output


def test_another_models_file_fails_the_derived_versions_golden_samples(net: Path, calibration: Path) -> None:
    """Their floors are those of 16 bits: the same network with one weight matrix of another seed is far beyond."""
    run(net, "--precision", "bfloat16", "--calibrate", calibration)
    engine = Engine.load(net / "2" / "model.onnx")
    other = Engine.load(classifier(hidden=2000).SerializeToString(), self_test=False)
    worst = 0.0
    for case in golden.read(net / "2" / golden.FILE_NAME):
        assert max(golden.worst_multiple(case, engine.run(case.inputs)).values()) <= 1
        worst = max(worst, *golden.worst_multiple(case, other.run(case.inputs)).values())
    assert worst > golden.LIMIT


def test_int8_publishes_the_distance_of_the_fused_graph(net: Path, calibration: Path) -> None:
    run(net, "--precision", "int8", "--calibrate", calibration, "--max-flips", "20%", "--min-smaller", "2")
    found = manifest_of(net / "2").derived_from
    assert found is not None
    assert found.fused["y"] < 2
    report = json.loads((net / "2" / "equivalence.json").read_text())
    assert "derived, every product in float32" in [rung["name"] for rung in report["ladder"]]
    assert Engine.load(net / "2" / "model.onnx").self_test is not None


def test_what_is_not_quicker_is_refused_with_everything_that_was_tried(net: Path, calibration: Path) -> None:
    with pytest.raises(NotEquivalent, match="no int8 version is inside the gate") as refusal:
        run(net, "--precision", "int8", "--calibrate", calibration, "--min-speedup", "1000")
    assert refusal.value.exit_code == 1
    assert "static int8 per channel, reduced range, min-max, products" in str(refusal.value)
    assert "dynamic int8" in str(refusal.value)
    assert "1000 is asked for" in str(refusal.value)
    assert sorted(path.name for path in net.iterdir()) == ["1"]


def test_too_few_rows_prove_nothing_however_well_they_go(net: Path, tmp_path: Path) -> None:
    few = saved(tmp_path / "few.npz", x=rows(200, 16))
    with pytest.raises(NotEquivalent, match=r"598 rows would prove it \(there are 100\)"):
        run(net, "--precision", "bfloat16", "--calibrate", few, "--max-flips", "0.5%")
    assert not (net / "2").exists()


def test_damage_is_refused_though_every_file_is_small(net: Path, calibration: Path, tmp_path: Path) -> None:
    """Calibrated on rows of a thousandth of the size, activations are cut off: smaller, quick and wrong."""
    wrong = saved(tmp_path / "wrong.npz", x=rows(300, 16) * np.float32(0.001))
    with pytest.raises(NotEquivalent, match="differ, so up to"):
        run(
            *(net, "--precision", "int8", "--calibrate", wrong, "--held-out", calibration),
            *("--min-smaller", "1.5", "--keep-float", "none"),
        )


def test_nodes_are_ranked_and_the_dearest_stay_in_float(tmp_path: Path) -> None:
    """What the first product makes has an outlier that takes the whole range, and that no answer depends on."""
    from onnx import helper

    w = weights(16, 64)
    w[:, 0] *= 5000
    k = np.ones(64, np.float32)
    k[0] = 0
    v = weights(64, 3, seed=1) * 2
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="outlying"),
        helper.make_node("Mul", ["h", "k"], ["g"], name="cut"),
        helper.make_node("MatMul", ["g", "u"], ["f"], name="calm"),
        helper.make_node("MatMul", ["f", "v"], ["s"], name="last"),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    network = model(nodes, {"w": w, "k": k, "u": weights(64, 64), "v": v}, [16], [3])
    folder = published(tmp_path / "models", network)
    data = saved(tmp_path / "rows.npz", x=rows(1400, 16))
    text = run(
        *(folder.parent, "--precision", "int8", "--calibrate", data, "--min-smaller", "0.1", "--json"),
        *("--max-flips", "2%"),
    )
    document = json.loads(text)
    costs = {one["nodes"][0]: one["cost"] for one in document["costs"]}
    assert costs["outlying"] > 100 * costs["calm"]
    found = manifest_of(folder.parent / "2").derived_from
    assert found is not None
    assert found.kept_float == ["outlying"]
    assert found.method.endswith(", 1 node in float32")


def test_nodes_that_are_named_stay_in_float_and_unknown_ones_are_told(net: Path, calibration: Path) -> None:
    with pytest.raises(UsageError, match="there is no node 'nowhere' to be kept in float") as error:
        run(net, "--precision", "int8", "--calibrate", calibration, "--keep-float", "nowhere")
    assert error.value.hint is not None
    name = error.value.hint.removeprefix("there are: ").split(",")[0]
    options = ["--min-smaller", "1.0001", "--max-flips", "20%"]
    run(net, "--precision", "int8", "--calibrate", calibration, "--keep-float", name, *options)
    found = manifest_of(net / "2").derived_from
    assert found is not None
    assert found.kept_float == [name]


def test_labels_show_what_the_task_loses(net: Path, calibration: Path, tmp_path: Path) -> None:
    truth = Engine.load(net / "1" / "model.onnx").run({"x": rows(4000, 16)})["y"].argmax(-1)
    np.save(tmp_path / "y.npy", truth)
    arguments = [net, "--precision", "w8", "--calibrate", calibration, "--held-out", calibration]
    run(*arguments, "--labels", tmp_path / "y.npy", "--max-drop", "accuracy=1%")
    tried = next(
        one for one in msgspec.json.decode((net / "2" / "derived.json").read_bytes(), type=list[Tried]) if one.inside
    )
    (metric,) = tried.metrics
    assert (metric.name, metric.parent) == ("accuracy", 1.0)
    assert metric.low <= metric.loss <= metric.high <= 0.01
    assert isinstance(tried.outputs[0], OutputJudged)
    with pytest.raises(UsageError, match="--max-drop recall: it was not measured; measured were accuracy"):
        run(*arguments, "--labels", tmp_path / "y.npy", "--max-drop", "recall=1%")
    np.save(tmp_path / "short.npy", truth[:10])
    with pytest.raises(UsageError, match="labels for 4000 rows"):
        run(*arguments, "--labels", tmp_path / "short.npy")


def test_nothing_is_derived_from_what_is_derived_unmeasured_or_refused(
    net: Path, calibration: Path, tmp_path: Path
) -> None:
    run(net, "--precision", "bfloat16", "--calibrate", calibration)
    with pytest.raises(BadModel, match="it is derived itself, from version 1"):
        run(net / "2", "--precision", "w8", "--calibrate", calibration)
    run(net, "--precision", "w8", "--calibrate", calibration)  # the model is named: its parent is taken
    found = manifest_of(net / "3").derived_from
    assert found is not None
    assert found.version == 1
    lone = tmp_path / "lone.onnx"
    lone.write_bytes((net / "1" / "model.onnx").read_bytes())
    with pytest.raises(BadModel, match="there is no manifest"):
        run(lone, "--precision", "w8", "--calibrate", calibration)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"z": rows(100, 16)}, "there are no rows of 'x'"),
        ({"x": rows(30, 16)}, "15 rows are held out, which proves nothing"),
        ({"x": np.full((100, 16), 1e300)}, "the rows of 'x' are float64"),
        ({"x": rows(100, 15)}, "the rows do not fit: 'x' has"),
        ({"x": rows(100)}, "the rows do not fit: 'x' has shape"),
        ({"x": np.full((100, 16), "a")}, "the rows of 'x' are words, it takes float32"),
        ({"x": np.full((100, 16), np.nan, np.float32)}, "the parent answers no finite 'y' to any of these rows"),
    ],
)
def test_rows_that_do_not_fit_are_told(net: Path, tmp_path: Path, arrays: dict[str, Array], told: str) -> None:
    with pytest.raises(OnnxpressError, match=told), np.errstate(over="ignore"):
        run(net, "--precision", "w8", "--calibrate", saved(tmp_path / "rows.npz", **arrays))


def test_the_same_precision_is_accepted_only_where_it_gains(net: Path, calibration: Path) -> None:
    with pytest.raises(NotEquivalent, match="no same version is inside the gate"):
        run(net, "--precision", "same", "--calibrate", calibration, "--min-smaller", "1.5")


def test_a_graph_with_nothing_to_quantize_is_told(tmp_path: Path) -> None:
    from onnx import helper

    network = model([helper.make_node("Softmax", ["x"], ["y"])], {}, [3], [3])
    folder = published(tmp_path / "models", network)
    data = saved(tmp_path / "rows.npz", x=rows(100, 3))
    with pytest.raises(NotEquivalent, match="there is nothing in this graph that it could change"):
        run(folder, "--precision", "int8", "--calibrate", data)


def test_the_front_is_drawn(net: Path, calibration: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("front.png", "front.svg"):
        run(net / "1", "--precision", "w8", "--calibrate", calibration, "--picture", tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000
