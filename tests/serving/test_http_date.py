"""The Date header's form, against the standard library's."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from onnxpress.serving.http_date import http_date


@pytest.mark.parametrize("seconds", [0, 784111777, 951782400, 1_700_000_000, 4102444799])
def test_it_is_as_the_standard_library_writes_it(seconds: int) -> None:
    assert http_date(seconds).decode() == formatdate(seconds, usegmt=True)
