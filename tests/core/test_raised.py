"""The user's own line among those that an error came through."""

from __future__ import annotations

import json

import pytest

from onnxpress.core.raised import own_frame, place


def test_the_innermost_line_of_the_user_s_is_told() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    own = own_frame(caught.value, lambda file: file.startswith(json.__path__[0]))
    assert own is not None
    assert own.line == 'json.loads("{")'
    assert place(own) == f"test_raised.py:{own.lineno}"
    assert own_frame(caught.value, lambda _: True) is None
    assert place(None) == ""
