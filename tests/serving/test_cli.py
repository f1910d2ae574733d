"""`predict`, `inspect` and `doctor` on a model file, a version and a running server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.serving.harness import serving
from tests.serving.onnx_models import mixed, mixing, plain, publish_affine

from onnxpress.core.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    captured = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, captured.out, captured.err


def test_predict_from_every_kind_of_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = publish_affine(tmp_path)
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    (tmp_path / "rows.json").write_text('{"x": [[1, 2, 3], [4, 5, 6]]}')
    v2 = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}
    (tmp_path / "v2.json").write_text(json.dumps(v2))
    np.savez(tmp_path / "rows.npz", x=np.arange(1, 7, dtype=np.float32).reshape(2, 3))
    with serving(tmp_path) as server:
        for model in (str(folder), str(folder / "model.onnx"), f"http://127.0.0.1:{server.port}/v2/models/affine"):
            for name in ("rows.csv", "rows.json", "v2.json", "rows.npz"):
                code, out, err = call(capsys, "predict", model, str(tmp_path / name))
                assert (code, json.loads(out)) == (0, {"y": [[6.0, 6.0], [15.0, 15.0]]}), err
    code, out, _ = call(capsys, "predict", str(folder), str(tmp_path / "rows.csv"), "--output", str(tmp_path / "y.npz"))
    assert (code, out) == (0, "")
    with np.load(tmp_path / "y.npz") as archive:
        assert archive["y"].dtype == np.float32


def test_predict_with_texts_and_several_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain(tmp_path, "mixed", mixed())
    (tmp_path / "in.json").write_text('{"a": [[1, 2]], "b": [[3, 4]], "s": ["ä"]}')
    with serving(tmp_path) as server:
        for model in (str(tmp_path / "mixed"), f"http://127.0.0.1:{server.port}/v2/models/mixed"):
            code, out, err = call(capsys, "predict", model, str(tmp_path / "in.json"))
            assert code == 0, err
            assert json.loads(out)["y"] == [[4.0, 6.0]]
            assert json.loads(out)["s_again"] == ["ä"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"z": [[1, 2, 3]]}', "there is no input 'z'"),
        ('{"x": [[1, 2]]}', "axis 1 is 2"),
        ('{"x": [["a", 2, 3]]}', "are no float32"),
        ("{", "not JSON"),
    ],
)
def test_predict_says_what_is_wrong_with_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, sentence: str
) -> None:
    folder = publish_affine(tmp_path)
    (tmp_path / "in.json").write_text(content)
    code, out, err = call(capsys, "predict", str(folder), str(tmp_path / "in.json"))
    assert (code, out) == (1, "")
    assert sentence in err


def test_predict_says_what_a_server_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_affine(tmp_path)
    (tmp_path / "in.json").write_text("{}")
    with serving(tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}/v2/models/nobody"
        code, _, err = call(capsys, "predict", url, str(tmp_path / "in.json"))
    assert code == 1
    assert "there is no model 'nobody'" in err


def test_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = publish_affine(tmp_path)
    code, out, _ = call(capsys, "inspect", str(folder))
    assert code == 0
    assert "x:float32[batch,3]" in out
    assert "measured equivalent" in out
    code, out, _ = call(capsys, "inspect", str(folder), "--json")
    assert json.loads(out)["manifest"]["batch_safe"] is True


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "doctor", "--json")
    found = json.loads(out)
    assert (code, found["telemetry_disabled"]) == (0, True)
    assert "CPUExecutionProvider" in found["providers"]


def test_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = publish_affine(tmp_path)
    plain(tmp_path, "mixed", mixed())
    plain(tmp_path, "mixing", mixing())
    code, out, _ = call(capsys, "explain", str(folder), "--threads", "1")
    assert code == 0
    assert "up to 64 rows" in out
    code, out, _ = call(capsys, "explain", str(tmp_path / "mixing"), "--json")
    found = {choice["option"]: choice for choice in json.loads(out)["choices"]}
    assert found["batching"]["value"] == "off"
    assert "no manifest" in found["batching"]["why"]
    assert "Softmax combines rows" in found["batching"]["why"]
    code, out, _ = call(capsys, "explain", str(tmp_path / "mixed"), "--json")
    found = {choice["option"]: choice for choice in json.loads(out)["choices"]}
    assert found["batching"]["value"] == "up to 64 rows"
    assert "its graph proves" in found["batching"]["why"]
    assert found["reading JSON"]["value"].startswith("in two passes")
    assert found["self-test"]["value"] == "none"
