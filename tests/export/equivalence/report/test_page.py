"""The page says the verdict first, escapes what it is given, and fetches nothing."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from tests.serving.routes.chromium import chromium

from onnxpress.core.manifest import EquivalenceSummary, Manifest, Source
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.export.equivalence.report.page import render
from onnxpress.export.equivalence.report.pictures import curve
from onnxpress.export.equivalence.report.schema import (
    CaseFigure,
    Check,
    Explanation,
    OutputFigure,
    Point,
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


def manifest(source: str = "a:b") -> Manifest:
    return Manifest(
        name="<m>",
        version=3,
        created="2026-01-02T03:04:05+00:00",
        inputs=[
            TensorSpec(name="age", dtype="float32", shape=("n",), domain=Domain(low=0, high=120, enforced=True)),
            TensorSpec(name="<plan>", dtype="string", shape=("n", 2)),
        ],
        outputs=[TensorSpec(name="<score>", dtype="float32", shape=("n", 2))],
        labels={"<score>": ["stays", "le<aves"]},
        thresholds={"<score>": 0.25},
        opset=18,
        ir_version=10,
        equivalence=EquivalenceSummary(equivalent=True, worst_multiple=1.0, limit=10.0, floor="float64"),
        source=Source(reference=source, framework="pytorch", framework_version="2.13", converter="none"),
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
    read = Reader(render(report(worst), manifest()))
    assert read.fetched == []
    verdict = "Equivalent." if worst <= 10 else "Not equivalent."
    assert verdict in read.text
    assert read.text.index(verdict) < read.text.index("Outputs")
    assert read.text.index("Not measured: the output <map>") < read.text.index("Outputs")
    for words in ("<m>", "<score>", "a & b", "3 near-ties", "a:b"):
        assert words in read.text


@pytest.mark.parametrize("detail", ["first differs at 0 (Linear)", "no layer could be named: the original shows none"])
def test_an_explanation_is_a_sentence(detail: str) -> None:
    page = render(msgspec.structs.replace(report(2432.0), explanation=Explanation(case="a", detail=detail)), manifest())
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
    text = Reader(render(msgspec.structs.replace(report(1.0), power=power), manifest())).text
    told = "These questions would have shown 97 of 100 small faults; not mask ignored in encoder.<2> (Where 7), 2 more."
    assert told in text
    assert text.index(told) < text.index("so the server may batch")
    assert "4 changed an answer by less than one noise floor" in text
    unknown = Power(why_not="the measuring left no time to plant one")
    text = Reader(render(msgspec.structs.replace(report(1.0), power=unknown), manifest())).text
    assert "is not known: the measuring left no time to plant one" in text
    assert "0 of 0" not in text
    assert "would have shown" not in Reader(render(report(99.0), manifest())).text


def test_version_date_signature_and_what_to_do_next_stand_before_the_figures() -> None:
    text = Reader(render(report(1.0), manifest())).text
    first = text[: text.index("How far every element is")]
    for words in (
        "<m>, version 3", "2026-01-02 03:04:05 UTC", "pytorch 2.13", "age", "only [0, 120]", "[n, 2]",
        "labels stays, le<aves", "decided at 0.25", "What to do next", "onnxpress serve models/<m>",
    ):  # fmt: skip
        assert words in first, words
    refused = Reader(render(report(99.0), manifest())).text
    for words in ("Nothing was published. Mend what is named above", "onnxpress verify models/.refused/<m>/3"):
        assert words in refused
        assert words not in text
    accepted = Reader(render(msgspec.structs.replace(report(99.0), accepted="known"), manifest())).text
    assert "does not take it with --require-equivalence" in accepted
    assert "onnxpress verify models/<m>/3" in accepted


def test_every_wide_box_has_a_name_and_is_reached_by_keys() -> None:
    page = render(report(1.0), manifest())
    assert page.count('class="scroll"') == page.count('class="scroll" tabindex="0" role="region" aria-label="') > 3


@pytest.mark.parametrize(
    ("multiples", "marks"),
    [
        ([0.2, 0.9], ["0.1", "1", "10"]),
        ([0.0, 0.0], ["1", "10"]),
        ([0.002, 4e5], ["0.01", "1", "100", "1e4", "1e6"]),
        ([math.inf], ["1", "100", "1e4", "1e6", "1e8"]),
    ],
)
def test_the_curves_axis_is_as_long_as_its_values_are(multiples: list[float], marks: list[str]) -> None:
    points = [Point(node=at, operator="Add", layer="", multiple=value) for at, value in enumerate(multiples)]
    drawn = "".join(curve(points))
    assert [part.partition(">")[2].partition("<")[0] for part in drawn.split("<text")[1:]][: len(marks)] == marks


@pytest.mark.slow
@pytest.mark.parametrize(
    "shown",
    [report(1.0), report(99.0), msgspec.structs.replace(report(99.0), derived="0 of 9 differ")],
    ids=["good", "refused", "derived"],
)
def test_in_a_browser_it_fits_narrow_and_wide_and_axe_finds_nothing(tmp_path: Path, shown: Report) -> None:
    points = [Point(node=at, operator="Add", layer="a", multiple=0.1 * at) for at in range(5)]
    outputs = [msgspec.structs.replace(one, distribution=[1, 2, 3, 0, 0, 0, 0, 0, 1]) for one in shown.outputs]
    page = tmp_path / "equivalence.html"
    page.write_text(render(msgspec.structs.replace(shown, curve=points, outputs=outputs), manifest()))
    with chromium(tmp_path / "profile") as browser:
        browser.go(page.as_uri())
        browser.wait_for("document.readyState === 'complete' && document.querySelector('h1')")
        for wide, dark in ((360, True), (1440, True), (360, False), (1440, False)):
            browser.size(wide, dark=dark)
            assert browser.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
            assert browser.axe() == []
        assert browser.said == []
