"""The command `predict`, from each kind of file, in this process and at a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from tests.serving.harness import serving, started
from tests.serving.onnx_models import identity
from tests.serving.publishing import publish

from onnxpress.core.errors import BadData, BadModel, ServerError, UsageError
from onnxpress.serving.cli.predict import predict

ROWS = np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return publish(tmp_path / "models", "tiny")


def ask(*arguments: object, stdin: str | None = None) -> str:
    done = CliRunner().invoke(predict, [str(argument) for argument in arguments], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def as_json(path: Path) -> Path:
    path.write_text(json.dumps({"x": ROWS.tolist()}))
    return path


def as_request(path: Path) -> Path:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 32], "data": ROWS.ravel().tolist()}
    path.write_text(json.dumps({"inputs": [tensor]}))
    return path


def as_npz(path: Path) -> Path:
    np.savez(path, x=ROWS, label=np.zeros(2))
    return path


def as_csv(path: Path) -> Path:
    lines = [",".join(f"f{number}" for number in range(32)), *(",".join(map(str, row)) for row in ROWS)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("write", "name"), [(as_json, "q.json"), (as_request, "r.json"), (as_npz, "q.npz"), (as_csv, "q.csv")]
)
def test_every_kind_of_file_gives_the_same(
    tmp_path: Path, model: Path, write: Callable[[Path], Path], name: str
) -> None:
    found = np.array(json.loads(ask(model, write(tmp_path / name)))["y"])
    expected = np.array(json.loads(ask(model, "-", stdin=json.dumps(ROWS.tolist())))["y"])
    assert found.shape == (2, 8)
    np.testing.assert_array_equal(found, expected)


def test_the_answer_as_csv_goes_on_to_the_next_question(tmp_path: Path, model: Path) -> None:
    assert ask(model, as_csv(tmp_path / "q.csv"), "--output", tmp_path / "out.csv") == ""
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header == ",".join(f"y_{number}" for number in range(8))
    expected = json.loads(ask(model, as_json(tmp_path / "q.json")))["y"]
    np.testing.assert_array_equal(np.array([row.split(",") for row in rows], np.float32), np.float32(expected))


@pytest.mark.parametrize("name", ["out.npz", "out.json"])
def test_output_file(tmp_path: Path, model: Path, name: str) -> None:
    assert ask(model, as_json(tmp_path / "q.json"), "--output", tmp_path / name) == ""
    content = dict(np.load(tmp_path / name)) if name.endswith("npz") else json.loads((tmp_path / name).read_text())
    assert np.shape(content["y"]) == (2, 8)


def test_interactive_goes_on_after_a_mistake(model: Path) -> None:
    line = json.dumps(ROWS[0].tolist())
    done = CliRunner().invoke(predict, [str(model), "--interactive"], input=f"{line}\nnonsense\n\n{line}\n")
    answers = [json.loads(text) for text in done.stdout.splitlines() if text]
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert "not JSON" in done.stderr


def test_interactive_ends_with_quit_and_takes_a_text_as_it_is(tmp_path: Path, model: Path) -> None:
    line = json.dumps(ROWS[0].tolist())
    done = CliRunner().invoke(predict, [str(model), "--interactive"], input=f"{line}\nquit\n{line}\n")
    assert done.stdout.count("{") == 1
    (tmp_path / "texts.onnx").write_bytes(identity("string", "batch"))
    done = CliRunner().invoke(
        predict, [str(tmp_path / "texts.onnx"), "--interactive"], input='example.com\n12\n"quit"\n["a", "b"]\nexit\n'
    )
    answers = [json.loads(text) for text in done.stdout.splitlines() if text]
    assert [next(iter(one.values())) for one in answers] == [["example.com"], ["12"], ["quit"], ["a", "b"]]


def test_a_device_named_in_two_ways_is_refused(model: Path, tmp_path: Path) -> None:
    question = as_json(tmp_path / "q.json")
    with pytest.raises(UsageError, match="--device and --provider are both given"):
        ask(model, question, "--provider", "cuda:0", "--device", "cpu")


def test_auto_says_why_it_runs_on_the_cpu(tmp_path: Path, model: Path) -> None:
    question = as_json(tmp_path / "q.json")
    done = CliRunner().invoke(predict, [str(model), str(question), "--device", "auto"])
    assert done.exit_code == 0
    usable = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert ("runs on the CPU: this onnxruntime has no CUDA provider" in done.stderr) != usable


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.json", "{", "not JSON"),
        ("q.json", '{"z": [1]}', "no input 'z'"),
        ("q.json", '{"x": [[1, 2]]}', "axis 1 is 2"),
        ("q.json", '{"x": "words"}', "are no float32"),
        ("q.json", '{"inputs": [{"name": "x"}]}', "not a V2 inference request"),
        ("q.csv", "a,b\n1\n", "1 values where the header has 2"),
        ("q.csv", "a,b\n", "no rows"),
        ("q.csv", "", "no rows"),
        ("q.npz", "junk", "cannot be read"),
        ("none.json", None, "No such file"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, model: Path, name: str, content: str | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadData, match=said) as caught:
        ask(model, path)
    assert name in str(caught.value.where)


def test_wrong_usage(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UsageError, match="no INPUT"):
        ask(model)
    with pytest.raises(UsageError, match="names no model"):
        ask("http://127.0.0.1:1/", as_json(tmp_path / "q.json"))
    with pytest.raises(ServerError, match="cannot be reached"):
        ask("http://127.0.0.1:1/v2/models/m", as_json(tmp_path / "q.json"))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    publish(tmp_path / "served", "table")
    publish(tmp_path / "served", "echo")
    with serving(tmp_path / "served") as running:
        yield f"http://127.0.0.1:{running.port}/v2/models/"


def test_a_served_model(url: str) -> None:
    for spelled in ("table", "table/infer", "table/versions/1", "table/versions/1/infer"):
        assert json.loads(ask(url + spelled, "-", stdin="[1, 2]")) == {"value": [10.0, 20.0]}
    with pytest.raises(BadData, match="the server refused: the model cannot answer this"):
        ask(url + "table", "-", stdin="[99]")
    with pytest.raises(BadModel, match="there is no model 'none'"):
        ask(url + "none", "-", stdin="[1]")


def test_records_and_csv_at_a_server_as_from_a_folder(tmp_path: Path, url: str) -> None:
    path, out = tmp_path / "q.csv", tmp_path / "out.csv"
    path.write_text("id;row\n1;2\n7;3\n")
    for model in (url + "table", tmp_path / "served" / "table"):
        assert json.loads(ask(model, "-", stdin='[{"row": 2}, {"row": 3}]')) == {"value": [20.0, 30.0]}
        ask(model, path, "--output", out)
        assert out.read_text() == "value\n20.0\n30.0\n"
        for wrong in ('[{"row": 2.0}]', '[{"row": "2"}]', "[true]"):
            with pytest.raises(BadData, match="are no int64"):
                ask(model, "-", stdin=wrong)


def test_a_server_that_wants_a_token(tmp_path: Path) -> None:
    publish(tmp_path / "models", "table")
    tokens, token = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text("a-long-enough-token\n")
    token.write_text("a-long-enough-token\n")
    with started(tmp_path / "models", "--tokens", str(tokens)) as server:
        url = f"{server.url}/v2/models/table"
        assert json.loads(ask(url, "-", "--token-file", token, stdin="[1]")) == {"value": [10.0]}
        assert json.loads(ask(url, "-", "--token", "a-long-enough-token", stdin="[1]")) == {"value": [10.0]}
        header = "authorization:  Bearer a-long-enough-token "
        assert json.loads(ask(url, "-", "--header", header, "--header", "X-Tenant: a", stdin="[1]")) == {
            "value": [10.0]
        }
        with pytest.raises(ServerError, match="401"):
            ask(url, "-", stdin="[1]")
        for wrong, says in (
            (("--token", "a", "--token-file", token), "both given"),
            (("--token", "a", "--header", header), "leave one of them out"),
            (("--header", "no-colon"), "no colon"),
            (("--header", "a b: c"), "no name of a header"),
            (("--header", "Host: c"), "set by every request itself"),
            (("--header", "x: 1", "--header", "X: 2"), "given twice"),
            (("--header", "x: \n1\r\n2"), "characters that a header cannot"),
        ):
            with pytest.raises(UsageError, match=says):
                ask(url, "-", *wrong, stdin="[1]")
    with pytest.raises(UsageError, match="are for a server"):
        ask(tmp_path / "models", "-", "--token-file", token, stdin="[1]")
