"""What a client says and how it takes what it hears, without a server: the steps are driven by hand."""

from __future__ import annotations

import json
from email.utils import formatdate
from time import time
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadData, BadModel, OnnxpressError, ServerError, UsageError
from onnxpress.serving.client.address import parse
from onnxpress.serving.client.conversation import Conversation, Pause
from onnxpress.serving.client.http import Answer, Request

MODEL = {"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}], "outputs": []}
OUTPUTS = {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.5]}]}


def conversation(retry_seconds: float = 10.0, **more: Any) -> Conversation:
    return Conversation(parse("http://host"), **{"token": None, "binary": True, "retry_seconds": retry_seconds, **more})


def answer(status: int, document: Any = None, **headers: str) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, bytearray(body))


def driven(steps: Any, *answers: Answer) -> tuple[Any, list[Any]]:
    """The result, and what was asked for; fails where more answers are wanted than there are."""
    asked, left = [], list(answers)
    sent = None
    try:
        while True:
            step = steps.send(sent)
            asked.append(step)
            sent = None if isinstance(step, Pause) else left.pop(0)
    except StopIteration as done:
        assert left == []
        return done.value, asked


def test_what_a_model_takes_is_asked_once_and_again_after_a_refusal() -> None:
    talk = conversation()
    infer = lambda: talk.infer("m", [[1, 2]], None, None)  # noqa: E731
    found, asked = driven(infer(), answer(200, MODEL), answer(200, OUTPUTS))
    np.testing.assert_array_equal(found["y"], np.array([1.5], np.float32))
    assert [step.path for step in asked] == ["/v2/models/m", "/v2/models/m/infer"]
    _, asked = driven(infer(), answer(200, OUTPUTS))
    assert [step.path for step in asked] == ["/v2/models/m/infer"]
    with pytest.raises(BadData, match="the server refused: no"):
        driven(infer(), answer(400, {"error": "no"}))
    _, asked = driven(infer(), answer(200, MODEL), answer(200, OUTPUTS))
    assert len(asked) == 2


def test_a_version_is_part_of_the_path_and_names_are_encoded() -> None:
    _, asked = driven(conversation().infer("a/b", [[1, 2]], 3, None), answer(200, MODEL), answer(200, OUTPUTS))
    assert asked[1].path == "/v2/models/a%2Fb/versions/3/infer"


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    _, asked = driven(
        conversation().server(),
        answer(503, {"error": "loading"}, retry_after="2"),
        answer(503, {"error": "loading"}),
        answer(503, {"error": "loading"}, retry_after=formatdate(time() + 3, usegmt=True)),
        answer(503, {"error": "loading"}, retry_after="0"),
        answer(200, {"name": "onnxpress", "version": "1"}),
    )
    pauses = [step.seconds for step in asked if isinstance(step, Pause)]
    assert 2 <= pauses[0] <= 2.5
    assert 1 <= pauses[1] <= 1.25
    assert 1 <= pauses[2] <= 3.75  # a date has whole seconds
    assert 0 < pauses[3] < 0.1
    assert [type(step) for step in asked] == [Request, Pause, Request, Pause, Request, Pause, Request, Pause, Request]


@pytest.mark.parametrize(
    ("seconds", "after"), [(0.0, "1"), (0.0, "0"), (5.0, "6"), (5.0, "9" * 400), (5.0, "Mon, 01 Jan 2999 00:00:00 GMT")]
)
def test_a_busy_server_is_not_waited_for_beyond_the_bound(seconds: float, after: str) -> None:
    with pytest.raises(ServerError, match="the server answered 503: busy") as caught:
        driven(conversation(seconds).server(), answer(503, {"error": "busy"}, retry_after=after))
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadData), (413, BadData), (415, BadData), (404, BadModel), (401, ServerError), (403, ServerError),
     (408, ServerError), (429, ServerError), (500, ServerError), (504, ServerError)],
)  # fmt: skip
def test_every_refusal_is_an_error_of_ours_with_the_servers_words(status: int, kind: type[OnnxpressError]) -> None:
    with pytest.raises(kind, match="its words") as caught:
        driven(conversation().model("m", None), answer(status, {"error": "its words"}))
    assert caught.value.where == "http://host/v2/models/m"
    if isinstance(caught.value, ServerError):
        assert caught.value.status == status


def test_a_redirect_and_a_proxys_page_are_shown() -> None:
    with pytest.raises(ServerError, match="elsewhere: https://host/v2"):
        driven(conversation().server(), answer(308, b"", location="https://host/v2"))
    with pytest.raises(ServerError, match="502: <h1> Bad Gateway </h1>"):
        driven(conversation().server(), answer(502, b"<h1>\n Bad Gateway </h1>"))


@pytest.mark.parametrize("document", [b"<html>", [], {"name": 1}, {"name": "m", "inputs": [{}], "outputs": []}])
def test_what_is_not_the_protocol_is_said(document: Any) -> None:
    with pytest.raises(ServerError, match="not one of the Open Inference Protocol"):
        driven(conversation().model("m", None), answer(200, document))


def test_sizes_that_vary_have_names_of_their_own() -> None:
    tensors = [{"name": name, "datatype": "INT64", "shape": [-1, -1]} for name in ("a", "b")]
    found, _ = driven(conversation().model("m", None), answer(200, {"name": "m", "inputs": tensors, "outputs": []}))
    assert [str(spec) for spec in found.inputs] == ["a:int64[a_0,a_1]", "b:int64[b_0,b_1]"]


def test_a_datatype_that_no_array_holds_is_named() -> None:
    tensor = {"name": "x", "datatype": "FP8", "shape": [1]}
    with pytest.raises(BadModel, match="'x' has the datatype FP8"):
        driven(conversation().model("m", None), answer(200, {"name": "m", "inputs": [tensor], "outputs": []}))


def test_readiness_is_a_yes_or_a_no_and_never_asked_again() -> None:
    for status, expected in ((200, True), (503, False)):
        found, asked = driven(conversation().ready("m", None), answer(status, {"ready": expected}))
        assert found is expected
        assert len(asked) == 1
    with pytest.raises(BadModel, match="no model"):
        driven(conversation().ready("m", None), answer(404, {"error": "there is no model"}))


def test_nobody_there_is_not_ready_and_a_bad_certificate_is_an_error() -> None:
    for cause, expected in ((ConnectionRefusedError(), False), (TimeoutError(), False), (OSError(), None)):
        steps = conversation().ready(None, None)
        steps.send(None)
        error = ServerError("no answer")
        error.__cause__ = cause
        if expected is None:
            with pytest.raises(ServerError):
                steps.throw(error)
        else:
            with pytest.raises(StopIteration) as done:
                steps.throw(error)
            assert done.value.value is expected


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "é", "a\n"])
def test_a_token_that_is_no_header_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="the token is empty, or holds"):
        conversation(token=token)


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_retrying_has_an_end(seconds: float) -> None:
    with pytest.raises(UsageError, match="retry_seconds"):
        conversation(seconds)
