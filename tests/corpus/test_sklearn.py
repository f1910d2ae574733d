"""Every scikit-learn estimator of the corpus is published equal to its original, or refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

from tests.corpus.check import assert_most_were_judged, check
from tests.corpus.expected import Entry
from tests.corpus.sklearn_models import corpus


@pytest.mark.parametrize("entry", corpus.entries, ids=lambda entry: entry.name)
def test_as_expected(entry: Entry, tmp_path: Path) -> None:
    check(entry, "sklearn", tmp_path)


def test_most_were_judged_by_public_calls(request: pytest.FixtureRequest) -> None:
    if len(request.session.items) < len(corpus.entries):
        pytest.skip("only some entries were asked")
    assert_most_were_judged(share=0.6)
