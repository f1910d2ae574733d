"""What platforms and other servers say in their own documents of how they are asked, typed against a real server.

Amazon SageMaker: "Custom Inference Code with Hosting Services" of its developer guide. Vertex AI: "Custom container
requirements for prediction". KServe: "V1 Protocol". TensorFlow Serving: "RESTful API" and its README's half_plus_two.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.harness import MAIN, WAIT, Reply, ask, running, wait_until
from tests.serving.onnx_models import affine, model, node, plain, publish_affine

from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service

SLOW = [sys.executable, str(Path(__file__).with_name("slow_start.py"))]
X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]
SUMS = [[6.0, 6.0], [15.5, 15.5]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextlib.contextmanager
def container(
    environment: Mapping[str, str], *words: str, main: Sequence[str] = MAIN
) -> Iterator[subprocess.Popen[str]]:
    """`docker run IMAGE WORDS`, where the image's entry point is `onnxpress`."""
    popen = subprocess.Popen(
        [*main, *words], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield popen
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.communicate(timeout=WAIT)


def answered(port: int, path: str) -> int | None:
    """The status; None where nobody listens yet."""
    try:
        return ask(port, "GET", path).status
    except OSError:
        return None


def invoke(port: int, path: str, body: bytes, media: str = "application/json") -> Reply:
    return ask(port, "POST", path, body, [f"content-type: {media}"])


def unpacked(folder: Path, layout: str) -> Path:
    """`model.tar.gz` as its author packed it, unpacked to where SageMaker puts it."""
    made = folder / "made"
    if layout == "a file":
        made.mkdir()
        (made / "sums.onnx").write_bytes(affine())
    elif layout == "a repository":
        publish_affine(made)
    elif layout == "a version":
        shutil.copytree(publish_affine(folder / "other"), made)
    archive, base = folder / "model.tar.gz", folder / "opt" / "ml"
    with tarfile.open(archive, "w:gz") as file:
        file.add(made, ".")
    with tarfile.open(archive) as file:
        file.extractall(base / "model", filter="data")
    return base


@pytest.mark.parametrize("layout", ["a file", "a repository", "a version"])
def test_sagemaker_runs_the_container_with_the_word_serve(tmp_path: Path, layout: str) -> None:
    port, base = free_port(), unpacked(tmp_path, layout)
    environment = {
        "ONNXPRESS_PLATFORM": "sagemaker",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
    }
    with container(environment, "serve") as popen:
        wait_until(lambda: answered(port, "/ping") == 200)
        assert invoke(port, "/invocations", b"1,2,3\n4,5,6.5\n", "text/csv").body == b"6.0,6.0\n15.5,15.5\n"
        body = json.dumps({"instances": X}).encode()
        assert invoke(port, "/invocations", body).body == b"6.0,6.0\n15.5,15.5\n"  # as the environment says
        reply = ask(port, "POST", "/invocations", body, ["accept: application/json", "content-type: application/json"])
        assert reply.json() == {"predictions": SUMS}
        # It is stopped with SIGTERM, and has thirty seconds.
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(WAIT) == 0


def test_a_ping_is_answered_while_a_model_is_loaded_and_is_no_200_then(tmp_path: Path) -> None:
    port = free_port()
    publish_affine(tmp_path)
    environment = {"ONNXPRESS_PLATFORM": "sagemaker", "SAGEMAKER_BIND_TO_PORT": str(port)}
    with container(environment, "serve", str(tmp_path), main=[*SLOW, "1.5"]):
        seen = set[int | None]()

        def over() -> bool:
            seen.add(answered(port, "/ping"))
            return 200 in seen

        wait_until(over)
        assert seen - {None} == {503, 200}


def test_vertex_says_port_paths_and_where_the_model_lies(tmp_path: Path) -> None:
    port = free_port()
    publish_affine(tmp_path)
    where = "/v1/endpoints/7/deployedModels/9"
    environment = {
        "AIP_HTTP_PORT": str(port),
        "AIP_HEALTH_ROUTE": where,
        "AIP_PREDICT_ROUTE": f"{where}:predict",
        "AIP_STORAGE_URI": str(tmp_path),
        "AIP_MODE": "PREDICTION",
        "ONNXPRESS_PLATFORM": "vertex",
    }
    with container(environment, "serve") as popen:
        wait_until(lambda: answered(port, where) == 200)
        body = json.dumps({"instances": X, "parameters": {"any": 1}}).encode()
        reply = invoke(port, f"{where}:predict", body)
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        assert reply.json() == {"predictions": SUMS}
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(WAIT) == 0


def test_a_bucket_of_vertex_is_not_fetched_and_that_is_said(tmp_path: Path) -> None:
    environment = {"AIP_STORAGE_URI": "gs://bucket/model", "ONNXPRESS_PLATFORM": "vertex"}
    with container(environment, "serve") as popen:
        _, errors = popen.communicate(timeout=WAIT)
    assert popen.returncode == 2
    assert "gs://bucket/model" in errors


def half_plus_two(columns: str) -> bytes:
    """`y = x / 2 + 2`, as TensorFlow Serving's example has it."""
    nodes = [node("Mul", ["x", "half"], ["h"]), node("Add", ["h", "two"], ["y"])]
    constants = {"half": np.array(0.5, np.float32), "two": np.array(2, np.float32)}
    return model(nodes, [f"x:float32[batch{columns}]"], [f"y:float32[batch{columns}]"], constants)


@pytest.mark.parametrize("columns", ["", ",1"])
def test_tensorflow_servings_half_plus_two(tmp_path: Path, columns: str) -> None:
    plain(tmp_path, "half_plus_two", half_plus_two(columns), version=123)
    with running(Service(Repository(tmp_path))) as server:

        def predict(body: Any, where: str = "") -> Any:
            reply = ask(server.port, "POST", f"/v1/models/half_plus_two{where}:predict", json.dumps(body).encode())
            assert reply.status == 200, reply.body
            return reply.json()

        assert predict({"instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
        assert predict({"instances": [{"x": 1.0}, {"x": 2.0}]}, "/versions/123") == {"predictions": [2.5, 3.0]}
        assert predict({"inputs": [1.0, 5.0]}) == {"outputs": [2.5, 4.5]}
        many = list(range(30_000))  # read by steps
        assert predict({"instances": many})["predictions"][-1] == 15_001.5
        if columns:
            assert predict({"instances": [[1.0], [2.0]]}) == {"predictions": [[2.5], [3.0]]}
        found = ask(server.port, "GET", "/v1/models/half_plus_two").json()
        assert found["model_version_status"] == [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
        described = ask(server.port, "GET", "/v1/models/half_plus_two/metadata").json()
        signature = described["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert described["model_spec"]["version"] == "123"
        assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
        assert signature["method_name"] == "tensorflow/serving/predict"
        wrong = ask(server.port, "POST", "/v1/models/half_plus_two:predict", b'{"instances": ["a"]}')
        assert wrong.status == 400
        assert list(wrong.json()) == ["error"]


def test_kserves_v1_lists_models_and_says_which_are_ready(tmp_path: Path) -> None:
    publish_affine(tmp_path, "flowers")
    publish_affine(tmp_path, "others")
    with running(Service(Repository(tmp_path))) as server:
        assert ask(server.port, "GET", "/v1/models").json() == {"models": ["flowers", "others"]}
        ready = ask(server.port, "GET", "/v1/models/flowers").json()
        assert (ready["name"], ready["ready"]) == ("flowers", True)
        assert ask(server.port, "GET", "/v1/models/none").status == 404
        body = json.dumps({"instances": X}).encode()
        assert ask(server.port, "POST", "/v1/models/flowers:predict", body).json() == {"predictions": SUMS}
        assert ask(server.port, "POST", "/v1/models/flowers:explain", body).status == 404
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/v1/model", 404)):
            assert ask(server.port, "GET", path).status == status


def test_sagemakers_toolkit_sends_arrays_of_numpy(tmp_path: Path) -> None:
    publish_affine(tmp_path)
    file = io.BytesIO()
    np.save(file, np.array(X, np.float32))
    from onnxpress.serving.settings import AnswerSettings

    with running(Service(Repository(tmp_path)), answers=AnswerSettings(platform="sagemaker")) as server:
        reply = invoke(server.port, "/invocations", file.getvalue(), "application/x-npy")
        assert np.load(io.BytesIO(reply.body)).tolist() == SUMS
        reply = invoke(server.port, "/invocations", b"[1,2,3]\n[4,5,6.5]\n", "application/jsonlines")
        assert reply.body == b"[6.0,6.0]\n[15.5,15.5]\n"
