"""What is measured, which of it is chosen, and where the profile counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from tests.serving.onnx_models import affine, mixing, plain, publish_affine

from onnxpress.core import golden
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.version_folder import check_files, read_manifest
from onnxpress.serving import tuning
from onnxpress.serving.cli.explain import explain
from onnxpress.serving.cli.tune import tune
from onnxpress.serving.models import profiles
from onnxpress.serving.models.profiles import Profile
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.tuning import Point


def points(*rows: tuple[int, str, int, float]) -> list[Point]:
    return [Point(*row) for row in rows]  # type: ignore[arg-type]


def test_throughput_takes_most_rows_and_the_simpler_among_near_ones() -> None:
    measured = points(
        (1, "all", 1, 1.0), (1, "all", 8, 4.0), (1, "all", 16, 7.9),
        (2, "all", 1, 0.6), (2, "all", 8, 2.5), (2, "all", 16, 4.9),
        (2, "basic", 1, 0.6), (2, "basic", 8, 2.45), (2, "basic", 16, 4.8),
    )  # fmt: skip
    chosen, alone = tuning.best(measured, "throughput", "all")
    assert (chosen.threads, chosen.optimization, chosen.batch) == (2, "all", 8)
    assert alone.seconds == 0.6
    chosen, _ = tuning.best(measured, "throughput", "basic")
    assert chosen.optimization == "basic"


def test_latency_takes_the_quickest_single_row() -> None:
    measured = points((1, "all", 1, 0.5), (1, "all", 8, 4.0), (4, "all", 1, 0.6), (4, "all", 8, 1.0))
    chosen, alone = tuning.best(measured, "latency", "all")
    assert (chosen.threads, alone.seconds) == (1, 0.5)
    with pytest.raises(BadModel, match="nothing could be measured"):
        tuning.best([], "latency", "all")


@pytest.mark.parametrize(
    ("aim", "gpu_ms", "cpu_ms", "advised"),
    [
        ("latency", (0.047, 0.05), (0.009, 0.6), "cpu"),  # a tiny network: launching costs more than computing
        ("throughput", (0.047, 0.05), (0.009, 0.6), "cuda:0"),
        ("latency", (2.0, 6.0), (8.0, 200.0), "cuda:0"),
        ("throughput", (2.0, 6.0), (8.0, 5.9), "cpu"),
        ("throughput", (2.0, 6.0), (8.0, 6.1), "cpu"),  # no gain to speak of
    ],
)
def test_a_gpu_is_advised_where_it_gains(
    aim: tuning.Aim, gpu_ms: tuple[float, float], cpu_ms: tuple[float, float], advised: str
) -> None:
    (gpu_alone, gpu_many), (cpu_alone, cpu_many) = (
        points((1, "all", 1, one / 1e3), (1, "all", 64, many / 1e3)) for one, many in (gpu_ms, cpu_ms)
    )
    advice = tuning.advise(aim, "cuda:0", (gpu_many, gpu_alone), (cpu_many, cpu_alone))
    assert advice.provider == advised
    assert "cuda:0" in advice.reason
    assert "CPU" in advice.reason


@pytest.mark.parametrize("text", ["length", "length=", "=3", "length=x", "length=0"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        tuning.parse_sizes([text])


def tuned(path: Path, *options: str) -> dict[str, Any]:
    done = CliRunner().invoke(tune, [str(path), "--seconds", "0.01", "--max-batch", "4", "--json", *options])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def explained(path: Path, *options: str) -> dict[str, tuple[str, str]]:
    done = CliRunner().invoke(explain, [str(path), "--json", *options])
    assert done.exit_code == 0, done.output
    return {choice["option"]: (choice["value"], choice["why"]) for choice in json.loads(done.stdout)["choices"]}


def test_a_gpus_figures_stand_beside_the_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_affine(tmp_path)
    asked: list[str] = []
    measure = tuning.measure

    def on_this_machine(path: Path, *, provider: str, **rest: Any) -> Any:
        asked.append(provider)
        return measure(path, provider="cpu", **rest)

    monkeypatch.setattr(tuning, "measure", on_this_machine)
    found = tuned(tmp_path, "--threads", "1", "--provider", "cuda:0")
    assert asked == ["cuda:0", "cpu"]
    assert found["advice"]["provider"] in ("cuda:0", "cpu")
    assert tuned(tmp_path, "--threads", "1")["advice"] is None


def test_the_best_is_kept_beside_the_version_and_served(tmp_path: Path) -> None:
    folder = publish_affine(tmp_path)
    found = tuned(tmp_path, "--threads", "1")
    assert {(point["optimization"], point["batch"]) for point in found["points"]} == {
        (level, batch) for level in ("basic", "extended", "all") for batch in (1, 2, 4)
    }
    path = tmp_path / "affine" / "1.profile.json"
    assert found["path"] == str(path)
    manifest = read_manifest(folder)
    assert manifest is not None
    check_files(folder, manifest)
    assert sorted(one.name for one in folder.iterdir()) == ["golden.npz", "manifest.json", "model.onnx"]
    repository = Repository(tmp_path)
    repository.load()
    assert repository.find("affine", None).batcher.max_rows == found["best"]["max_batch"]
    assert explained(tmp_path)["intra-op threads"] == ("1", "the profile")
    assert explained(tmp_path, "--threads", "2")["intra-op threads"] == ("2", "--threads")
    repository.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpus", 999), ("onnxruntime", "0.1"), ("provider", "cuda"), ("model_sha256", "0" * 64), (None, None)],
)
def test_a_profile_of_another_machine_or_model_does_not_count(tmp_path: Path, field: str | None, value: Any) -> None:
    model = publish_affine(tmp_path) / "model.onnx"
    tuned(tmp_path, "--threads", "1")
    path = profiles.path_of(model)
    profile = msgspec.json.decode(path.read_bytes(), type=Profile)
    if field is None:
        path.write_bytes(b"{")
    else:
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(profile, **{field: value})))
    chosen = profiles.choose(model)
    assert chosen.max_rows == 64
    assert ("cannot be read" if field is None else "does not count") in chosen.profile


def test_a_level_that_fails_the_self_test_is_refused(tmp_path: Path) -> None:
    folder = publish_affine(tmp_path)
    (case,) = golden.read(folder / "golden.npz")
    golden.write(
        folder / "golden.npz", [golden.Golden(case.inputs, {"y": case.outputs["y"] + np.float32(1)}, case.floors)]
    )
    done = CliRunner().invoke(tune, [str(tmp_path), "--seconds", "0.01", "--threads", "1"])
    assert "self-test failed" in done.stderr
    assert isinstance(done.exception, BadModel)
    assert not (tmp_path / "affine" / "1.profile.json").exists()


@pytest.mark.parametrize(("content", "batches"), [(affine(), {1, 2, 4}), (mixing(), {1})])
def test_a_model_whose_rows_look_at_each_other_is_measured_one_at_a_time(
    content: bytes, batches: set[int], tmp_path: Path
) -> None:
    plain(tmp_path, "m", content)
    assert {point["batch"] for point in tuned(tmp_path, "--threads", "1")["points"]} == batches


def test_a_new_profile_is_seen_by_the_next_look(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    repository = Repository(tmp_path)
    before = repository.folder.look()[0]["affine"].versions[1].signature
    tuned(tmp_path, "--threads", "1")
    assert repository.folder.look()[0]["affine"].versions[1].signature != before
