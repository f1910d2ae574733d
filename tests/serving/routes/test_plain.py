"""Rows of named columns, as services had them: labels out, and what is wrong with which row and column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.serving.harness import Running, ask, running
from tests.serving.onnx_models import plain, publish
from tests.serving.routes.churn import INPUTS, OUTPUTS, churn, repository_at

from onnxpress.core.tensors import parse_spec
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AnswerSettings, ModelSettings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("models")
    path = publish(folder, "churn", churn(), INPUTS, OUTPUTS)
    manifest = read_manifest(path)
    assert manifest is not None
    labels = ["stays", "leaves"]
    age = msgspec.structs.replace(parse_spec(INPUTS[0]), refuses=("infinity",))
    changed = msgspec.structs.replace(
        manifest, labels={"prediction": labels, "probabilities": labels}, inputs=[age, *manifest.inputs[1:]]
    )
    (path / "manifest.json").write_bytes(msgspec.json.encode(changed))
    with running(Service(Repository(folder, ModelSettings())), answers=AnswerSettings(plain_rows=True)) as found:
        yield found


def post(server: Running, body: Any, path: str = "/predict") -> tuple[int, Any]:
    reply = ask(server.port, "POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())
    return reply.status, reply.json()


ROW = {"age": 80, "plan": "basic", "spent": 12}


@pytest.mark.parametrize("path", ["/predict", "/models/churn", "/predict/churn", "/models/churn/versions/1"])
@pytest.mark.parametrize("body", [{"rows": [ROW, {**ROW, "age": 20.5}]}, [ROW, {**ROW, "age": 20.5}]])
def test_each_row_is_answered_with_its_labels(server: Running, path: str, body: Any) -> None:
    status, found = post(server, body, path)
    assert status == 200, found
    assert isinstance(found, list) == isinstance(body, list)  # answered in the form that it is asked in
    first, second = found if isinstance(body, list) else found["rows"]
    assert (first["prediction"], second["prediction"]) == ("leaves", "stays")
    assert first["probabilities"] == {"stays": pytest.approx(0.2), "leaves": pytest.approx(0.8)}
    assert (first["said"], first["paid"]) == ("basic", [12])


def test_null_is_a_missing_value_where_the_model_takes_one(server: Running) -> None:
    status, found = post(server, [{"age": None, "plan": None, "spent": 1}])
    assert status == 200, found
    assert found[0]["said"] == ""
    assert found[0]["probabilities"] == {"stays": None, "leaves": None}
    assert post(server, [ROW, {**ROW, "spent": None}]) == (
        400,
        {"error": "row 1: 'spent' is missing, and the model takes no such"},
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([ROW, {"agee": 1, "plan": "a", "spent": 1}], "row 1 has a column 'agee'"),
        ([{"age": 1, "plan": "a"}], "row 0 lacks the column 'spent'"),
        ([ROW, ROW, 3], "row 2 is no object"),
        ([ROW, {**ROW, "age": "old"}], "row 1: the values of 'age' are no float32"),
        ([{**ROW, "plan": 3}], "row 0: the values of 'plan' are no strings"),
        ([{**ROW, "spent": 1.5}], "row 0: the values of 'spent' are no int64"),
        ([{**ROW, "spent": True}], "row 0: the values of 'spent' are no int64"),
        ([{**ROW, "age": [1, 2]}], "row 0"),
        ([], "there are no rows"),
        ({"rows": []}, "there are no rows"),
        ({"rows": [ROW], "more": 1}, "more"),
        ({"instances": [ROW]}, "rows"),
        (b"", "rows"),
        (b"[", "JSON"),
        (b'{"rows": 3}', "rows"),
        (b"3", "rows"),
        (b"\xff", "rows"),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column(server: Running, body: Any, words: str) -> None:
    status, found = post(server, body)
    assert status == 400
    assert words in found["error"]


def test_a_typo_is_answered_with_the_nearest(server: Running) -> None:
    _, found = post(server, [{"agee": 1, "plan": "a", "spent": 1}])
    assert "did you mean 'age'" in found["error"]


def test_values_outside_a_domain_are_told_with_their_row(tmp_path: Path) -> None:
    with running(Service(repository_at(tmp_path)), answers=AnswerSettings(plain_rows=True)) as server:

        def refused(row: Any) -> str:
            status, found = post(server, [{**ROW, "plan": "gold"}, {**ROW, **row}], "/models/churn")
            assert status == 400, found
            told: str = found["error"]
            return told

        assert refused({"age": 130}) == "row 1: the input 'age' holds 130.0, which is outside of its domain [0, 120]"
        assert refused({"plan": "goldd"}).startswith("row 1: the input 'plan' holds 'goldd'")
        assert "did you mean 'gold'? there are: basic, gold" in refused({"plan": "goldd"})
        assert refused({"plan": None}) == "row 1: 'plan' is missing, and the model takes no such"


def test_many_rows_are_read_by_steps_and_answered_in_order(server: Running) -> None:
    rows = [{"age": number % 100, "plan": f"p{number}", "spent": number} for number in range(30_000)]
    status, found = post(server, {"rows": rows})  # 1.4 MB
    assert status == 200
    assert [row["paid"] for row in found["rows"]] == [[number] for number in range(30_000)]
    rows[20_001]["age"] = "x"
    status, found = post(server, {"rows": rows})
    assert status == 400
    assert "row 20001:" in found["error"]


def test_health_methods_and_other_paths(server: Running) -> None:
    assert ask(server.port, "GET", "/health").json() == {"status": "ok"}
    assert ask(server.port, "GET", "/predict").status == 405
    assert ask(server.port, "POST", "/models/none", b"[]").status == 404
    assert ask(server.port, "POST", "/models", b"[]").status == 404
    assert ask(server.port, "GET", "/healthz").status == ask(server.port, "GET", "/readyz").status == 200


def test_without_the_option_there_is_nothing_there(tmp_path: Path) -> None:
    plain(tmp_path, "churn", churn())
    with running(Service(Repository(tmp_path))) as server:
        assert ask(server.port, "GET", "/health").status == 404
        assert ask(server.port, "POST", "/predict", b"[]").status == 404


def test_where_several_are_served_the_model_is_to_be_named(tmp_path: Path) -> None:
    plain(tmp_path, "churn", churn())
    plain(tmp_path, "other", churn())
    with running(Service(Repository(tmp_path)), answers=AnswerSettings(plain_rows=True)) as server:
        status, found = post(server, [ROW])
        assert status == 400
        assert "churn, other" in found["error"]
        assert post(server, [ROW], "/models/other")[0] == 200
