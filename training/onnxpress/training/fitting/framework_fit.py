"""A framework's half of the fit: what it must supply, and the modules that do."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from onnxpress.core import run as runs
from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.optional import is_installed, missing
from onnxpress.core.run import Framework, Run
from onnxpress.training.fitting.loop import Fit, Inputs, Learner
from onnxpress.training.settings import Training

Layers = dict[str, dict[str, Array]]
"""layer name → role → array"""
_PACKAGES = {
    "pytorch": ("torch", "accelerate", "safetensors", "sklearn", "matplotlib"),
    "tensorflow": ("tensorflow", "keras", "sklearn", "matplotlib"),
}


class FrameworkFit(Protocol):
    """A framework's half: a module with these functions. There are two, `pytorch.fit` and `tensorflow.fit`."""

    WEIGHTS: str
    """file name of the weights in a run folder"""

    def seed(self, training: Training) -> None:
        """Seed every generator of the framework, and make it deterministic if asked; before the network is built."""

    def build(self, factory: Callable[..., Any], settings: Mapping[str, Any], training: Training) -> Any:
        """The network, as the fit needs it (precision, devices)."""

    def learner(self, network: Any, job: Fit) -> Learner:
        """The network made ready to learn from the job's rows."""

    def finished(self, network: Any, factory: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
        """The fitted network in float32 on the CPU, in inference mode."""

    def joined(self, networks: Sequence[Any], factory: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
        """The ensemble that `factory` builds, with the weights of `networks` as its members."""

    def is_main(self) -> bool:
        """Whether this process is the one that writes; False in the others of a fit over several.

        Raises UsageError where the environment's description of them cannot be used.
        """

    def process_count(self) -> int:
        """How many processes were started to fit together."""

    def predict(self, network: Any, x: Inputs) -> Array:
        """The outputs, inference mode, rows first."""

    def one_of(self, network: Any, names: Sequence[str], chosen: str) -> Any:
        """A network that answers `chosen` alone, of what `network` returns under `names`; it shares its weights."""

    def by_name(self, network: Any, x: Inputs) -> Any:
        """A user's network to be called with tensors in the order of `x`, whatever it takes; it shares the weights.

        One that takes a dict gets the tensors under their names. It is called with rows of `x`, for some networks have
        no weights before that. Raises BadModel where a dict's keys are others.
        """

    def last_layer(self, network: Any) -> str:
        """`softmax` or `sigmoid` where the last layer is one by name, otherwise an empty text."""

    def save(self, network: Any, path: Path) -> None:
        """Write the weights."""

    def parameters(self, network: Any) -> int:
        """The number of trained parameters."""


def framework_fit(framework: Framework) -> FrameworkFit:
    """The framework's fit loop. Raises MissingExtra, with the pip line, where a package that it needs is absent."""
    for package in _PACKAGES[framework]:
        # Looked up, not imported: the framework's own package sets its environment before the import.
        if not is_installed(package):
            raise missing(package, f"training in {framework}")
    fit: FrameworkFit = importlib.import_module(f"onnxpress.training.{framework}.fit")
    return fit


class FrameworkWeights(Protocol):
    """How weights are read and written: a module with these functions, `pytorch.weights` or `tensorflow.weights`."""

    def load(self, network: Any, path: Path) -> None:
        """Load a run's weights file into `network`."""

    def read(self, network: Any) -> Layers:
        """The weights of every layer that has some."""

    def write(self, network: Any, layers: Mapping[str, Mapping[str, Array]]) -> None:
        """Put weights of the same names, roles and shapes into `network`."""


def weights_of(framework: Framework) -> FrameworkWeights:
    """The framework's half."""
    weights: FrameworkWeights = importlib.import_module(f"onnxpress.training.{framework}.weights")
    return weights


def network_of(run: Run, folder: Path) -> Any:
    """The network of the run in `folder`, with its weights."""
    built = runs.factory(run, folder)(**run.settings)
    weights_of(run.framework).load(built, folder / run.weights)
    return built


def refuse_several(framework: FrameworkFit, what: str) -> None:
    """Raises UsageError in one of several processes, for `what` is the work of one."""
    count = framework.process_count()
    if count > 1:
        raise UsageError(
            f"{count} processes were started, and {what} is for one", hint="start it without torchrun or TF_CONFIG"
        )
