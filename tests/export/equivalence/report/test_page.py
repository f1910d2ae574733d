"""The page says the verdict first, escapes what it is given, and fetches nothing."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import msgspec
import pytest

from onnxpress.export.equivalence.report.page import render
from onnxpress.export.equivalence.report.schema import CaseFigure, Check, Explanation, OutputFigure, Report, Rung


def report(worst: float) -> Report:
    return Report(
        equivalent=worst <= 10,
        worst_multiple=worst,
        limit=10.0,
        floor="float64",
        batch_safe=True,
        batch_multiple=0.5,
        outputs=[
            OutputFigure(
                name="<score>",
                dtype="float32",
                worst_multiple=worst,
                worst_case="a & b",
                largest_error=1e-7,
                floor=5e-8,
            ),
            OutputFigure(
                name="label", dtype="bool", worst_multiple=0.0, worst_case="a", largest_error=2, floor=0, near_ties=3
            ),
        ],
        cases=[CaseFigure(name="samples, batch 1", batch=1, multiples={"<score>": worst, "label": 0.0})],
        ladder=[Rung(name="cpu, as served", worst_multiple=worst)],
        checks=[Check(name="repeatable", passed=True, detail="twice")],
        environment={"python": "3.11"},
        not_measured=["the output <map>"],
    )


class Reader(HTMLParser):
    """Holds the page against its own tags, and collects the text and whatever would be fetched."""

    void = frozenset({"meta", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.fetched = "", list[str]()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.void:
            self.open.append(tag)
        self.fetched += [value or "" for name, value in attributes if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.mark.parametrize("worst", [0.0, 2.5, 10.0, 11.0, 5e6, math.inf])
def test_the_page_is_whole_and_says_the_verdict_first(worst: float) -> None:
    read = Reader(render(report(worst), name="<m>", source="a:b"))
    assert read.fetched == []
    verdict = "Equivalent." if worst <= 10 else "Not equivalent."
    assert verdict in read.text
    assert read.text.index(verdict) < read.text.index("Outputs")
    assert read.text.index("Not measured: the output <map>") < read.text.index("Outputs")
    for words in ("<m>", "<score>", "a & b", "3 near-ties", "onnxpress verify models/<m> --against a:b"):
        assert words in read.text


@pytest.mark.parametrize("detail", ["first differs at 0 (Linear)", "no layer could be named: the original shows none"])
def test_an_explanation_is_a_sentence(detail: str) -> None:
    page = render(
        msgspec.structs.replace(report(2432.0), explanation=Explanation(case="a", detail=detail)),
        name="net",
        source="x",
    )
    assert f"<p>{detail[0].upper()}{detail[1:]}.</p>" in page
