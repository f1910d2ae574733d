"""Every Keras model of the corpus is published equal to its original, or refused with its reason; none is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")
import keras
from tests.corpus.check import assert_most_were_judged, check
from tests.corpus.expected import Entry
from tests.corpus.keras_models import corpus

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize("entry", corpus.entries, ids=lambda entry: entry.name)
def test_as_expected(entry: Entry, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    check(entry, "tensorflow", tmp_path)


def test_most_were_judged_by_public_calls(request: pytest.FixtureRequest) -> None:
    if len(request.session.items) < len(corpus.entries):
        pytest.skip("only some entries were asked")
    assert_most_were_judged(share=0.6)
