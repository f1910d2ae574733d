"""What only a GPU can show; elsewhere skipped with what is missing."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from tests.serving.publishing import publish

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel
from onnxpress.serving.engine import Engine, cuda, probe
from onnxpress.serving.engine.runtime import onnxruntime

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _needs_a_gpu() -> None:
    if "CUDAExecutionProvider" not in onnxruntime().get_available_providers():
        pytest.skip("needs a GPU: this onnxruntime has no CUDA provider")
    try:
        cuda.load()
    except BadModel as error:
        pytest.skip(f"needs a GPU: {error.what}")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return publish(tmp_path, "tiny") / "model.onnx"


def _rows(count: int) -> Array:
    return np.random.default_rng(count).standard_normal((count, 32)).astype(np.float32)


def _close(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_tiny_model_really_runs_there() -> None:
    assert probe.ran("cuda").startswith("a tiny model ran in")


def test_goldens_are_replayed_there(model: Path) -> None:
    engine = Engine.load(model, provider="cuda")
    assert engine.self_test is not None
    assert engine.self_test.cases == 1
    assert "CUDAExecutionProvider" in engine.placement()


def test_answers_are_the_cpus(model: Path) -> None:
    engine, reference = Engine.load(model, provider="cuda:0"), Engine.load(model)
    for count in (1, 2, 17, 300):
        x = _rows(count)
        _close(engine.run({"x": x})["y"], reference.run({"x": x})["y"])


def test_captured_runs_answer_as_plain_ones(model: Path) -> None:
    engine, reference = Engine.load(model, provider="cuda,graphs"), Engine.load(model)
    for count in (3, 1, 4, 3, 64, 33, 300, 2):
        x = _rows(count)
        _close(engine.run({"x": x})["y"], reference.run({"x": x})["y"])


@pytest.mark.parametrize(
    "options", ["memory=1GiB", "arena=exact", "search=exhaustive", "search=default", "nhwc", "memory=1GiB,graphs"]
)
def test_every_option_loads_and_answers(model: Path, options: str) -> None:
    x = _rows(5)
    expected = Engine.load(model).run({"x": x})["y"]
    _close(Engine.load(model, provider=f"cuda,{options}").run({"x": x})["y"], expected)


def test_a_device_that_is_not_there_is_said(model: Path) -> None:
    with pytest.raises(BadModel, match="no device cuda:63"):
        Engine.load(model, provider="cuda:63")


def test_threads_get_their_own_answers_of_captured_runs(model: Path) -> None:
    engine, reference = Engine.load(model, provider="cuda,graphs"), Engine.load(model)
    wrong: list[int] = []

    def ask(number: int) -> None:
        x = _rows(number + 1)
        expected = reference.run({"x": x})["y"]
        for _ in range(50):
            found = engine.run({"x": x})["y"]
            wrong.extend([number] * (not np.allclose(found, expected, rtol=1e-4, atol=1e-5)))

    threads = [Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
