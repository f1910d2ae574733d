"""A plain file is batched where its graph proves that rows are independent; a published one where that was measured."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.serving.onnx_models import affine, mixing, model, node, plain, publish

from onnxpress.core import rows
from onnxpress.core.manifest import Manifest
from onnxpress.core.onnx_graph import Model
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Engine, rows_apart
from onnxpress.serving.exchange import Headers
from onnxpress.serving.models import profiles
from onnxpress.serving.serving_options import explain
from onnxpress.serving.traffic import Traffic

X = ["x:float32[batch,3]"]
UNKNOWN = model([node("Tokenizer", ["x"], ["y"])], X, ["y:float32[batch,3]"])


def of(content: bytes) -> rows_apart.RowsApart:
    return rows_apart.proven(Model(content), where="m.onnx")


class Asked:
    """An exchange that keeps its answer."""

    gone = False

    def __init__(self) -> None:
        self.status, self.body = 0, b""

    def respond(self, status: int, body: bytes, headers: Headers = ()) -> None:
        self.status, self.body = status, body


def ask_together(own: Batcher, asked: np.ndarray[Any, Any]) -> list[Any]:
    """The answers to requests of one row each that come in one turn of the loop."""
    tensors = [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": row.tolist()} for row in asked]

    async def main() -> list[Asked]:
        exchanges = [Asked() for _ in tensors]
        for tensor, exchange in zip(tensors, exchanges, strict=True):
            own.submit(json.dumps({"inputs": [tensor]}).encode(), exchange)
        while not all(exchange.status for exchange in exchanges):
            await asyncio.sleep(0.001)
        return exchanges

    return [json.loads(exchange.body)["outputs"][0]["data"] for exchange in asyncio.run(main())]


def batcher(engine: Engine) -> Batcher:
    return Batcher(engine, Traffic(), name="m", version=1, max_rows=64, max_waiting=100)


def test_a_plain_file_whose_rows_are_proven_independent_is_batched(tmp_path: Path) -> None:
    plain(tmp_path, "affine", affine(0.5))
    engine = Engine.load(tmp_path / "affine" / "1" / "model.onnx")
    assert engine.manifest is None
    assert engine.rows.known == "proven"
    own = batcher(engine)
    assert own.batches
    asked = np.arange(24, dtype=np.float32).reshape(8, 3)
    answers = ask_together(own, asked)
    assert own.counts.batches == {8: 1}
    np.testing.assert_array_equal(answers, np.repeat(asked.sum(1, keepdims=True) + 0.5, 2, axis=1))


@pytest.mark.parametrize(("content", "known"), [(mixing(), "dependent (y)"), (UNKNOWN, "")])
def test_one_that_is_not_is_not(content: bytes, known: str, tmp_path: Path) -> None:
    found = of(content)
    assert not found.apart
    assert found.known == known
    assert "does not prove" in found.why
    if known:
        plain(tmp_path, "m", content)
        engine = Engine.load(tmp_path / "m" / "1" / "model.onnx")
        own = batcher(engine)
        assert not own.batches
        ask_together(own, np.ones((4, 3), np.float32))
        assert own.counts.batches == {1: 4}


@pytest.mark.parametrize("batch_safe", [True, False])
def test_of_a_published_version_the_manifest_decides(batch_safe: bool, tmp_path: Path) -> None:
    folder = publish(tmp_path, "m", affine(), X, ["y:float32[batch,2]"], batch_safe=batch_safe)
    engine = Engine.load(folder / "model.onnx")
    assert engine.rows.apart == batch_safe
    assert batcher(engine).batches == batch_safe


@pytest.mark.parametrize(
    ("batch_safe", "said", "known"),
    [
        (True, "", "measured"),
        (True, "proven", "proven"),
        (True, "measured", "measured"),
        (False, "dependent (softmax_3)", "dependent (softmax_3)"),
        (False, "", "dependent"),
        (False, "proven", "proven"),
    ],
)
def test_what_a_manifest_says_is_told(batch_safe: bool, said: str, known: str, tmp_path: Path) -> None:
    folder = publish(tmp_path, "m", affine(), X, ["y:float32[batch,2]"])
    written = json.loads((folder / "manifest.json").read_text()) | {"batch_safe": batch_safe, "rows": said}
    found = rows_apart.told(msgspec.json.decode(json.dumps(written), type=Manifest))
    assert (found.apart, found.known) == (batch_safe, known)


@pytest.mark.parametrize(("said", "most"), [("measured", 16), ("proven", 256), ("", 256)])
def test_no_more_rows_share_a_run_than_were_measured_unless_it_is_proven(said: str, most: int, tmp_path: Path) -> None:
    folder = publish(tmp_path, "m", affine(), X, ["y:float32[batch,2]"])
    written = json.loads((folder / "manifest.json").read_text()) | {"rows": said, "rows_together": 16}
    (folder / "manifest.json").write_text(json.dumps(written))
    chosen = profiles.choose(folder / "model.onnx", max_rows=256)
    assert chosen.max_rows == most
    assert ("nothing proves" in chosen.max_rows_why) == (most == 16)


def test_outputs_whose_rows_have_another_name_are_named_as_the_inputs(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["z"])]
    content = model(nodes, ["x:float32[batch,3]"], ["y:float32[unk__1,3]", "z:float32[unk__2,3]"])
    plain(tmp_path, "m", content)
    engine = Engine.load(tmp_path / "m" / "1" / "model.onnx")
    assert [spec.shape for spec in engine.outputs] == [("batch", 3), ("batch", 3)]
    assert batcher(engine).batches


def test_a_graph_that_the_proof_trips_over_is_served_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(model: Model) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(rows, "prove", broken)
    plain(tmp_path, "m", affine())
    engine = Engine.load(tmp_path / "m" / "1" / "model.onnx")
    assert not engine.rows.apart
    assert "too deep" in capsys.readouterr().err


def test_explain_says_which_node_stands_against_it(tmp_path: Path) -> None:
    plain(tmp_path, "mixing", mixing())
    path = tmp_path / "mixing" / "1" / "model.onnx"
    chosen = profiles.choose(path, provider="cpu", threads=1, share=1, max_rows=None)
    (batching,) = [choice for choice in explain(Engine.load(path), chosen, path) if choice.option == "batching"]
    assert batching.value == "off"
    assert "y (Softmax): Softmax combines rows" in batching.why
