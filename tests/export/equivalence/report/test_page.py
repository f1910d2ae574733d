"""The page says the verdict first, escapes what it is given, and fetches nothing."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import msgspec
import pytest

from onnxpress.export.equivalence.report.page import render
from onnxpress.export.equivalence.report.schema import (
    CaseFigure,
    Check,
    Explanation,
    OutputFigure,
    Power,
    Report,
    Rung,
    Survivor,
)


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


def test_the_power_of_the_questions_is_on_the_first_screen_with_what_they_miss() -> None:
    power = Power(
        planted=100,
        shown=97,
        strong=80,
        strong_shown=79,
        below=4,
        survivors=[Survivor(kind="mask ignored", layer="encoder.<2>", place="Where 7", multiple=200.0)],
    )
    text = Reader(render(msgspec.structs.replace(report(1.0), power=power), name="m", source="s")).text
    told = "These questions would have shown 97 of 100 small faults; not mask ignored in encoder.<2> (Where 7), 2 more."
    assert told in text
    assert text.index(told) < text.index("so the server may batch")
    assert "4 changed an answer by less than one noise floor" in text
    unknown = Power(why_not="the measuring left no time to plant one")
    text = Reader(render(msgspec.structs.replace(report(1.0), power=unknown), name="m", source="s")).text
    assert "is not known: the measuring left no time to plant one" in text
    assert "0 of 0" not in text
    assert "would have shown" not in Reader(render(report(99.0), name="m", source="s")).text
