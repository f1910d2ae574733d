"""Putting the test models into a repository, as export would."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from onnxpress.core import golden
from onnxpress.core.manifest import EquivalenceSummary, Manifest, Source
from onnxpress.core.version_folder import staging
from onnxpress.serving.engine import Engine

MODELS = Path(__file__).parent / "onnx_files"


def publish(
    repository: Path, name: str, content: bytes | None = None, *, batch_safe: bool = True, cases: int = 1
) -> Path:
    """Publish `onnx_files/<name>.onnx`, or `content`, as the next version of model `name`; returns the version folder.

    The goldens of `tiny` are what this runtime answers; other models get none.
    """
    content = content or (MODELS / f"{name}.onnx").read_bytes()
    engine = Engine.load(content)
    manifest = Manifest(
        name=name,
        created="2026-01-01T00:00:00Z",
        inputs=list(engine.inputs),
        outputs=list(engine.outputs),
        batch_safe=batch_safe,
        opset=18,
        ir_version=10,
        equivalence=EquivalenceSummary(equivalent=True, worst_multiple=1.0, limit=10.0, floor="float64"),
        source=Source(reference="tests", framework="onnx", framework_version="0", converter="none"),
    )
    with staging(repository, name) as draft:
        (draft.folder / "model.onnx").write_bytes(content)
        if name == "tiny":
            draw = np.random.default_rng(1)
            inputs = [{"x": draw.standard_normal((3, 32)).astype(np.float32)} for _ in range(cases)]
            answers = [engine.run(feeds) for feeds in inputs]
            samples = [
                golden.Golden(feeds, outputs, {"y": np.full_like(outputs["y"], 1e-6, np.float64)})
                for feeds, outputs in zip(inputs, answers, strict=True)
            ]
            golden.write(draft.folder / golden.FILE_NAME, samples)
        return draft.publish(manifest)[0]
