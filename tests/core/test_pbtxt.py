"""Protobuf's text format, as people write Triton's config.pbtxt."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.core import pbtxt
from onnxpress.core.errors import BadModel

CONFIG = r"""
# a comment
name: "iris"  platform: 'onnxruntime_onnx'
max_batch_size : 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 4 ] }, { name: "z" dims: 3 dims: 4 } ]
output < name: "y" "z\n\x41" label_filename: "l.txt" >
dynamic_batching { }   # another
parameters { key: "a" value: { string_value: "b" } };
version_policy: { specific { versions: [1,3] } } a: true b: -1.5e3 c: 0x1F d: -inf e: []
"""


def test_every_form_is_read() -> None:
    found = pbtxt.parse(CONFIG)
    assert found["name"] == ["iris"]
    assert found["max_batch_size"] == [8]
    assert found["input"] == [
        {"name": ["x"], "data_type": ["TYPE_FP32"], "dims": [-1, 4]},
        {"name": ["z"], "dims": [3, 4]},
    ]
    assert found["output"] == [{"name": ["yz\nA"], "label_filename": ["l.txt"]}]
    assert found["dynamic_batching"] == [{}]
    assert found["version_policy"] == [{"specific": [{"versions": [1, 3]}]}]
    assert [found[name] for name in "abcde"] == [["true"], [-1500.0], [31], ["-inf"], []]
    assert pbtxt.parse("") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\na:", "line 2: expected a value"),
        ("a {", "expected the name of a field, or '}'"),
        ("a: [1", "expected ',' or ']'"),
        ("a: [1 2]", "expected ',' or ']'"),
        ('a: "x', "is unexpected"),
        ("}", "expected the name of a field"),
        ("a { b: 1 ]", "or '}'"),
        ("a{" * 100_000, "nested too deep"),
        ("\0", "is unexpected"),
        ("a " * 3, "expected a value"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    with pytest.raises(BadModel, match=r"line [0-9]+") as caught:
        pbtxt.read(path)
    assert why in caught.value.what


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadModel, match="not UTF-8"):
        pbtxt.read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(BadModel, match="not a regular file"):
        pbtxt.read(path)
    path.unlink()
    path.write_bytes(b" " * (2 << 20))
    with pytest.raises(BadModel, match="at most"):
        pbtxt.read(path)
