"""What the training tests share: the demo's recipe, and one short run of it in each framework."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "anomaly.yaml"

FRAMEWORKS = [
    pytest.param("pytorch", marks=pytest.mark.torch),
    pytest.param("tensorflow", marks=pytest.mark.tensorflow),
]
PACKAGE = {"pytorch": "torch", "tensorflow": "tensorflow"}


@pytest.fixture
def anomaly_recipe() -> Path:
    """The recipe of `make demo`."""
    return RECIPE


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """Each framework in turn, skipped where it is not installed."""
    name: str = request.param
    module = pytest.importorskip(PACKAGE[name])
    if name == "pytorch":
        module.set_num_threads(1)  # these networks are small: on a busy machine two threads mostly wait for each other
    return name


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Framework → the run folder of the demo's recipe, trained once for all tests."""
    folders: dict[str, Path] = {}

    def train(framework: str) -> Path:
        from onnxpress.training import recipe
        from onnxpress.training.pipeline import stage

        if framework not in folders:
            output = tmp_path_factory.mktemp("runs")
            folders[framework] = stage.train(recipe.load(RECIPE, framework=framework), output=output)
        return folders[framework]

    return train
