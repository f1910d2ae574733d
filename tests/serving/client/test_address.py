"""A server's URL, read."""

from __future__ import annotations

import pytest

from onnxpress.core.errors import UsageError
from onnxpress.serving.client.address import Address, parse, split_model


@pytest.mark.parametrize(
    ("url", "expected", "again"),
    [
        ("http://127.0.0.1:8000", Address("127.0.0.1", 8000, False, ""), "http://127.0.0.1:8000"),
        ("http://host/", Address("host", 80, False, ""), "http://host"),
        ("https://host", Address("host", 443, True, ""), "https://host"),
        ("https://host:8443/ml/", Address("host", 8443, True, "/ml"), "https://host:8443/ml"),
        ("http://[::1]:8000", Address("::1", 8000, False, ""), "http://[::1]:8000"),
        ("http://HOST:80", Address("host", 80, False, ""), "http://host"),
    ],
)
def test_a_url_is_read_and_written(url: str, expected: Address, again: str) -> None:
    assert parse(url) == expected
    assert parse(url).url == again


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8000", "not the URL of a server"),
        ("ftp://host", "not the URL of a server"),
        ("http://", "not the URL of a server"),
        ("http://host:port", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://user:secret@host", "user or a password"),
        ("http://host/?a=1", "a query"),
        ("http://host/a b", "must encode"),
        ("http://höst/", "must encode"),
        ("http://host/a\r\nx: y", "must encode"),
    ],
)
def test_what_is_no_servers_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("m", ("m", None)),
        ("m/", ("m", None)),
        ("m/infer", ("m", None)),
        ("m/versions/3", ("m", "3")),
        ("m/versions/3/infer", ("m", "3")),
        ("a%20b", ("a b", None)),
    ],
)
def test_a_models_url_is_taken_apart(rest: str, expected: tuple[str, str | None]) -> None:
    assert split_model(f"http://host/ml/v2/models/{rest}") == ("http://host/ml", *expected)


@pytest.mark.parametrize(
    "path", ["", "/v2", "/v2/models/", "/v2/models/m/versions/", "/v2/models/m/config", "/v1/models/m"]
)
def test_a_url_without_a_model_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        split_model("http://host" + path)
