"""Every torch module of the corpus is published equal to its original, or refused with its reason; none is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
import torch
from tests.corpus.check import assert_most_were_judged, check
from tests.corpus.expected import Entry
from tests.corpus.torch_models import corpus

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("entry", corpus.entries, ids=lambda entry: entry.name)
def test_as_expected(entry: Entry, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check(entry, "pytorch", tmp_path)


def test_most_were_judged_by_public_calls(request: pytest.FixtureRequest) -> None:
    if len(request.session.items) < len(corpus.entries):
        pytest.skip("only some entries were asked")
    assert_most_were_judged(share=0.75)
