"""The published models that the sections ask, their inputs of any size, and the devices that they are asked on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.gpu.names import NAMES
from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.manifest import SessionSettings
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.engine import Engine


@dataclass(frozen=True)
class Contender:
    """A way to run a model: the device's text, and the precision of its products."""

    device: str
    tf32: bool = False

    def load(self, model: Path, *, self_test: bool = False) -> Engine:
        """The model, with the settings it was measured with but for the precision."""
        manifest = read_manifest(model.parent)
        settings = manifest.session if manifest else SessionSettings()
        if self.tf32:
            settings = SessionSettings(
                optimization=settings.optimization,
                disabled_optimizers=settings.disabled_optimizers,
                config=settings.config,
                tf32=True,
            )
        return Engine.load(model, provider=self.device, settings=settings, self_test=self_test)


def contenders(provider: str) -> dict[str, Contender]:
    """Name → contender; on the CPU the same names run there, so that every step is tried."""
    if provider == "cpu":
        names = ("cuda", "cuda, tf32", "cuda graphs", "cuda graphs, tf32")
        return {"cpu": Contender("cpu"), **{name: Contender("cpu", tf32="tf32" in name) for name in names}}
    return {
        "cpu": Contender("cpu"),
        "cuda": Contender(provider),
        "cuda graphs": Contender(f"{provider},graphs"),
        "cuda, tf32": Contender(provider, tf32=True),
        "cuda graphs, tf32": Contender(f"{provider},graphs", tf32=True),
        "cuda, exhaustive": Contender(f"{provider},search=exhaustive"),
        "cuda, nhwc": Contender(f"{provider},nhwc"),
    }


def published(repository: Path) -> dict[str, Path]:
    """Name → model file, of those of the six that were published."""
    found = {name: repository / name / "1" / "model.onnx" for name in NAMES}
    return {name: path for name, path in found.items() if path.exists()}


def rows(model: Path, count: int) -> dict[str, Array]:
    """So many rows for this model, drawn from its golden samples' and then moved, so that no two are the same."""
    cases = golden.read(model.parent / golden.FILE_NAME)
    feeds = max((case.inputs for case in cases), key=lambda one: len(next(iter(one.values()))))
    draw = np.random.default_rng(count)
    picked = draw.integers(0, len(next(iter(feeds.values()))), count)
    found = {}
    for name, value in feeds.items():
        chosen = value[picked]
        if value.dtype.kind == "f":
            # A model of large inputs may have zeros for its only sample: those would tell nothing.
            spread = 0.1 if value.any() else 1.0
            chosen = chosen + draw.standard_normal(chosen.shape, np.float32) * np.float32(spread)
        found[name] = np.ascontiguousarray(chosen.astype(value.dtype))
    return found
