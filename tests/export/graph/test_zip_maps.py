"""A file of scikit-learn's plain converter ends in a ZipMap: served, and published, as the tensor that it wraps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
skl2onnx = pytest.importorskip("skl2onnx")
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402

from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.sources.resolve import resolve  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402
from onnxpress.serving.models.repository import Repository  # noqa: E402

ROWS, TARGET = load_iris(return_X_y=True)


@pytest.mark.parametrize("names", [["setosa", "b", "a"], [30, 10, 20]])
def test_a_zip_map_is_served_as_its_tensor(names: list[Any], tmp_path: Path) -> None:
    """Whatever their labels, the columns are in the order of the estimator's classes."""
    model = LogisticRegression(max_iter=500).fit(ROWS, np.array(names)[TARGET])
    proto = skl2onnx.to_onnx(model, ROWS[:1].astype("f4"), target_opset={"": 18, "ai.onnx.ml": 3})
    proto.ir_version = 10
    assert any(node.op_type == "ZipMap" for node in proto.graph.node)
    path = tmp_path / "plain.onnx"
    path.write_bytes(proto.SerializeToString())
    repository = Repository(path)
    repository.load()
    served = repository.find("plain", None)
    assert served.batcher.batches, "its rows are proven independent, so it is batched"
    rows = ROWS[::10].astype("f4")
    for engine in (served.engine, Engine.load(path.read_bytes())):
        answer = engine.run({"X": rows})
        assert (answer["output_probability"].dtype, engine.outputs[1].shape[1]) == (np.float32, 3)
        np.testing.assert_allclose(answer["output_probability"], model.predict_proba(rows), atol=1e-5)
        assert answer["output_label"].tolist() == model.predict(rows).tolist()
    published = export(resolve(str(path)), repository=tmp_path / "models")
    assert published.manifest.labels == {"output_probability": [str(one) for one in model.classes_]}
    answer = Engine.load(published.folder / "model.onnx").run({"X": rows})
    np.testing.assert_allclose(answer["output_probability"], model.predict_proba(rows), atol=1e-5)


def test_a_sequence_that_is_no_zip_map_is_refused_as_before(tmp_path: Path) -> None:
    from tests.serving.onnx_models import sequence

    from onnxpress.core.errors import BadModel

    (tmp_path / "sequence.onnx").write_bytes(sequence())
    with pytest.raises(BadModel, match="is a sequence of tensors"):
        Engine.load(tmp_path / "sequence.onnx")
