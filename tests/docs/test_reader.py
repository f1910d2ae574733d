"""tests.docs: a page that says something wrong fails, and one that says it right does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs import pages
from tests.docs.reader import Reader

FENCE = "```"


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text.replace("~~~", FENCE))
    folder = tmp_path / "folder"
    folder.mkdir()
    reader = Reader(folder)
    try:
        for block in pages.read(page).blocks:
            reader.read(block)
    finally:
        reader.close()


@pytest.mark.parametrize(
    "text",
    [
        "~~~console\n$ echo one; echo two; echo 3\none\n3\n~~~\n",
        "~~~console\n$ echo one two three\none ... three\n~~~\n",
        "<!-- docs: figures vary -->\n\n~~~console\n$ echo 12,345 of 1.5e-3\n3 of 2.5\n~~~\n",
        "<!-- docs: exit 3 -->\n~~~console\n$ true\n$ exit 3\n~~~\n",
        "~~~python\n# there.py\nvalue = 1\n~~~\n~~~python\nimport there\nassert there.value == 1\n~~~\n",
        "~~~python\nvalue = 1\n~~~\n~~~python\n>>> value + 1\n2\n~~~\n",
        "~~~sh\nfirst=1\ntest $first = 1\n~~~\n",
        "~~~json\n[1]\n~~~\n",
        "~~~sh\npip install 'onnxpress[cpu]'\n~~~\n",
    ],
)
def test_a_right_page_runs(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, monkeypatch, text)


@pytest.mark.parametrize(
    "text",
    [
        "~~~console\n$ echo one; echo two\ntwo\none\n~~~\n",
        "~~~console\n$ echo 12\n13\n~~~\n",
        "~~~console\n$ false\n~~~\n",
        "<!-- docs: exit 3 -->\n~~~console\n$ true\n~~~\n",
        "<!-- docs: figures vary -->\n~~~console\n$ echo 1 fault\n1 floor\n~~~\n",
        "~~~console\n$ echo error >&2; exit 1\nerror\n~~~\n",
        "~~~python\nraise ValueError\n~~~\n",
        "~~~python\n>>> 1 + 1\n3\n~~~\n",
        "~~~sh\nfalse | cat\n~~~\n",
        "~~~sh\nfalse\ntrue\n~~~\n",
        "~~~text\nanything\n~~~\n",
        "~~~sh\npip install 'onnxpress[gpu]'\n~~~\n",
        "~~~sh\nmake no-such-target\n~~~\n",
    ],
)
def test_a_wrong_page_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        run(tmp_path, monkeypatch, text)


@pytest.mark.parametrize(
    "text", ["~~~json\n[1\n~~~\n", "~~~sh\nls\n", "<!-- docs: fast -->\n", "<!-- docs: exit 1 -->\nwords\n"]
)
def test_what_cannot_be_read_is_an_error(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"page.md|delimiter"):
        run(tmp_path, monkeypatch, text)
