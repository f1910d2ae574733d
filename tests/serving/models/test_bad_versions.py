"""A version that cannot be loaded, for whatever reason, harms no other: every known kind beside a good model."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("the versions hold pipes and devices, and the runs read /proc", allow_module_level=True)

from benchmarks.reliability import bad_versions

pytestmark = pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")


def _assert_harmed_nobody(found: dict[str, Any]) -> None:
    assert found["bad_versions"] > 100
    assert found["answered"] > 200
    assert {key: value for key, value in found.items() if isinstance(value, list) and value} == {}


@pytest.mark.parametrize("mode", bad_versions.MODES)
def test_bad_versions_at_the_start_are_named_and_harm_nobody(mode: str) -> None:
    _assert_harmed_nobody(bad_versions.at_start(*bad_versions.MODES[mode]))


@pytest.mark.slow
@pytest.mark.parametrize("mode", bad_versions.MODES)
def test_bad_versions_that_come_while_serving_are_named_and_harm_nobody(mode: str) -> None:
    _assert_harmed_nobody(bad_versions.while_serving(*bad_versions.MODES[mode]))
