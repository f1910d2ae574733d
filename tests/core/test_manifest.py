"""A manifest reads back as it was written; a wrong or newer one is refused by field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import CorruptVersion
from onnxpress.core.manifest import (
    FORMAT,
    EquivalenceSummary,
    FileDigest,
    Manifest,
    SessionSettings,
    Source,
    decode,
    encode,
)
from onnxpress.core.tensors import parse_spec

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
finite = st.floats(allow_nan=False, allow_infinity=False)
manifests = st.builds(
    Manifest,
    name=text,
    version=st.integers(0, 2**40),
    created=text,
    inputs=st.just([parse_spec("features:float32[batch,30]")]),
    outputs=st.just([parse_spec("score:float32[batch]")]),
    labels=st.dictionaries(text, st.lists(text, max_size=3), max_size=3),
    thresholds=st.dictionaries(text, finite, max_size=3),
    batch_safe=st.booleans(),
    opset=st.integers(1, 30),
    ir_version=st.integers(1, 20),
    session=st.builds(
        SessionSettings,
        optimization=st.sampled_from(["none", "basic", "extended", "all"]),
        disabled_optimizers=st.lists(text, max_size=3),
        config=st.dictionaries(text, text, max_size=3),
    ),
    equivalence=st.builds(
        EquivalenceSummary, equivalent=st.booleans(), worst_multiple=finite, limit=finite, floor=text
    ),
    source=st.builds(Source, reference=text, framework=text, framework_version=text, converter=text),
    versions=st.dictionaries(text, text, max_size=3),
    files=st.dictionaries(text, st.builds(FileDigest, size=st.integers(0, 2**40), sha256=text), max_size=3),
)


@given(manifests)
def test_a_manifest_reads_back_as_written(manifest: Manifest) -> None:
    assert decode(encode(manifest), where="here") == manifest


def written() -> dict[str, Any]:
    manifest = Manifest(
        name="a",
        created="2026-01-01T00:00:00Z",
        inputs=[parse_spec("x:float32[batch,2]")],
        outputs=[parse_spec("y:float32[batch]")],
        opset=18,
        ir_version=10,
        equivalence=EquivalenceSummary(equivalent=True, worst_multiple=1.5, limit=12.0, floor="float64"),
        source=Source(reference="nets:build", framework="pytorch", framework_version="2.13.0", converter="dynamo"),
    )
    fields: dict[str, Any] = json.loads(encode(manifest))
    return fields


def test_an_unknown_field_of_a_later_writer_is_ignored() -> None:
    assert decode(json.dumps({**written(), "colour": "blue"}).encode(), where="here").name == "a"


def test_a_newer_format_asks_for_an_upgrade_whatever_else_it_holds() -> None:
    later = json.dumps({"format": FORMAT + 1, "inputs": {"all": "different"}}).encode()
    with pytest.raises(CorruptVersion, match=f"here: the manifest has format {FORMAT + 1}.*\n.*upgrade"):
        decode(later, where="here")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"opset": "18"}, r"\$\.opset"),
        ({"inputs": [{"name": "x", "dtype": "float31", "shape": []}]}, "float31"),
        ({"files": {"model.onnx": {"size": 3}}}, r"\$\.files"),
        ({"format": None}, r"\$\.format"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CorruptVersion, match=field):
        decode(json.dumps({**written(), **change}).encode(), where="here")


@given(st.data())
def test_a_torn_manifest_is_refused(data: st.DataObject) -> None:
    content = msgspec.json.encode(written())
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(CorruptVersion, match="cannot be read"):
        decode(content[:cut], where="here")


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CorruptVersion, match="cannot be read"):
        decode(b'{"format": 1, "name": "\xff\xfe"}', where="here")
