"""The OpenAPI document by programs that we did not write: a generated client, and a tester that makes requests.

`openapi-python-client` wants other versions than the rest of the tools, so it has an environment of its own:
`pipx install openapi-python-client`, or `ONNXPRESS_OPENAPI_CLIENT` says where the command is.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.harness import Running, ask, running
from tests.serving.routes.churn import repository_at

from onnxpress.serving.service import Service
from onnxpress.serving.settings import AnswerSettings

SECONDS = 240
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    repository = repository_at(tmp_path_factory.mktemp("models"))
    with running(Service(repository), answers=AnswerSettings(plain_rows=True)) as found:
        yield found


@pytest.fixture(scope="module")
def client_package(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package that is generated of the document."""
    command = os.environ.get("ONNXPRESS_OPENAPI_CLIENT") or shutil.which("openapi-python-client")
    if command is None:
        pytest.skip("openapi-python-client is not installed")
    pytest.importorskip("httpx")
    pytest.importorskip("attrs")
    folder = tmp_path_factory.mktemp("generated")
    document, config = folder / "openapi.json", folder / "config.json"
    document.write_bytes(ask(server.port, "GET", "/openapi.json").body)
    config.write_text(json.dumps({"package_name_override": "generated_client", "post_hooks": []}))
    words = ["generate", "--path", str(document), "--meta", "none", "--config", str(config)]
    words += ["--output-path", str(folder / "generated_client"), "--fail-on-warning"]
    done = subprocess.run([command, *words], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield "generated_client"
    sys.path.remove(str(folder))


@pytest.mark.slow
def test_a_generated_client_asks_every_model_by_its_own_types(server: Running, client_package: str) -> None:
    with importlib.import_module(client_package).Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        models = importlib.import_module(f"{client_package}.models")

        def call(tag: str, name: str) -> object:
            return importlib.import_module(f"{client_package}.api.{tag}.{name}").sync

        age = models.ChurnV1InputAge(name="age", shape=[1], datatype="FP32", data=[80.0])
        plan = models.ChurnV1InputPlan(
            name="plan", shape=[1], datatype="BYTES", data=[models.ChurnV1InputPlanDataItem.GOLD]
        )
        spent = models.ChurnV1InputSpent(name="spent", shape=[1, 1], datatype="INT64", data=[7])
        asked = models.ChurnV1InferRequest(inputs=[age, plan, spent])
        answer = call("churn", "infer_churn")(client=client, body=asked)  # type: ignore[operator]
        assert isinstance(answer, models.ChurnV1InferResponse)
        outputs = {output.name: output for output in answer.outputs}
        assert isinstance(outputs["probabilities"], models.ChurnV1OutputProbabilities)
        assert (outputs["prediction"].data, outputs["said"].data, outputs["paid"].data) == ([1], ["gold"], [7])
        rows = [models.ChurnV1Row(age=80.0, plan=models.ChurnV1RowPlan.GOLD, spent=7)]
        told = call("churn", "models_churn")(client=client, body=rows)  # type: ignore[operator]
        assert told[0].prediction == "leaves"
        assert told[0].probabilities.to_dict() == {"stays": pytest.approx(0.2), "leaves": pytest.approx(0.8)}
        given = models.ChurnV1PredictInstances(
            instances=[models.ChurnV1Instance(age=80.0, plan=models.ChurnV1InstancePlan.GOLD, spent=[7])]
        )
        predicted = call("churn", "v1_predict_churn")(client=client, body=given)  # type: ignore[operator]
        assert predicted.predictions[0].said == "gold"
        value = models.FixedV1InputB(name="b", shape=[2, 2], datatype="BOOL", data=[True, False, False, True])
        flipped = call("fixed", "infer_fixed")(  # type: ignore[operator]
            client=client, body=models.FixedV1InferRequest(inputs=[value])
        )
        assert flipped.outputs[0].data == [False, True, True, False]
        for version in (1, 2):
            x = models.TinyV1InputX if version == 1 else models.TinyV2InputX
            request = models.TinyV1InferRequest if version == 1 else models.TinyV2InferRequest
            body = request(inputs=[x(name="x", shape=[1, 32], datatype="FP32", data=[0.5] * 32)])
            found = call("tiny", f"infer_tiny_v{version}")(client=client, body=body)  # type: ignore[operator]
            assert found.model_version == str(version)
        metadata = call("tiny", "metadata_tiny")(client=client)  # type: ignore[operator]
        assert (metadata.name, metadata.versions) == ("tiny", ["1", "2"])
        wrong = models.FixedV1InferRequest(inputs=[])
        refused = call("fixed", "infer_fixed")(client=client, body=wrong)  # type: ignore[operator]
        assert isinstance(refused, models.Error)
        assert "'b'" in refused.error


ONE = ["--include-path-regex", "churn|^/v2$|index|healthz", "--exclude-path-regex", "versions|predict/"]


@pytest.mark.parametrize(
    "chosen", [[*ONE, "--max-examples", "2"], pytest.param(["--max-examples", "20"], marks=pytest.mark.slow)]
)
def test_schemathesis_finds_no_server_error_and_no_answer_that_is_not_foreseen(
    server: Running, tmp_path: Path, chosen: list[str]
) -> None:
    pytest.importorskip("schemathesis")
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    words = ["run", url, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", *chosen]
    words += ["--generation-deterministic", "--suppress-health-check", "all", "--continue-on-failure", "--no-color"]
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
