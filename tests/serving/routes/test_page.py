"""The page at `/`: who gets it, what it may do, and that it works in a browser."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.serving.harness import Running, ask, running
from tests.serving.onnx_models import model, node, plain
from tests.serving.onnx_models import publish as publish_model
from tests.serving.publishing import publish
from tests.serving.routes.chromium import Browser, chromium

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.tensors import Domain
from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.served import Served
from onnxpress.serving.routes import examples, page
from onnxpress.serving.routes.chosen import page_wanted
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings, Address, AnswerSettings, ServerSettings

MOST_BYTES = 120_000
FILES = Path(page.__file__).parent / "page_files"
TOKEN = "a-token-of-some-length"


def test_the_files_are_small_and_may_ask_this_server_alone(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    size = 0
    with running(Service(Repository(tmp_path))) as server:
        media_of = {"css": "text/css", "js": "text/javascript"}
        files = {f"/page/{path.name}": media_of.get(path.suffix[1:], "") for path in FILES.iterdir()}
        for path, media in {"/": "text/html", **{path: media for path, media in files.items() if media}}.items():
            reply = ask(server.port, "GET", path)
            assert reply.status == 200
            assert reply.headers["content-type"].startswith(media)
            policy = reply.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert "unsafe" not in policy
            assert b"http://" not in reply.body
            assert b"https://" not in reply.body
            size += len(reply.body)
        assert ask(server.port, "POST", "/").status == 405
        for path in ("/page", "/page/x", "/page/../page.js", "/page/index.html", "/page/page.js/x"):
            assert ask(server.port, "GET", path).status == 404
    assert size < MOST_BYTES


def test_it_works_below_whatever_path_a_proxy_gives_it() -> None:
    for path in FILES.iterdir():
        found = re.findall(r"""["'`]/(?:page|v1|v2|metrics|openapi)[^"'`]*""", path.read_text())
        assert found == [], f"{path.name} asks at the root"


def test_the_report_is_the_versions_own_and_runs_nothing(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tiny")
    with running(Service(Repository(tmp_path))) as server:
        assert ask(server.port, "GET", "/page/report/tiny/1").status == 404
        (folder / "equivalence.html").write_text("<p>equal</p>")
        reply = ask(server.port, "GET", "/page/report/tiny/1")
        assert (reply.status, reply.body) == (200, b"<p>equal</p>")
        assert "sandbox" in reply.headers["content-security-policy"]
        assert "script" not in reply.headers["content-security-policy"]
        assert ask(server.port, "GET", "/page/report/tiny/2").status == 404
        assert ask(server.port, "GET", "/page/report/..%2Ftiny/1").status == 404


def test_it_is_there_on_loopback_and_elsewhere_where_it_is_asked_for() -> None:
    def wanted(*hosts: str, page: bool = False) -> bool:
        return page_wanted(ServerSettings(address=Address(host=hosts), answers=AnswerSettings(page=page)))

    assert wanted("127.0.0.1")
    assert wanted("::1", "localhost", "127.0.0.2")
    assert not wanted("0.0.0.0")
    assert not wanted("127.0.0.1", "10.0.0.1")
    assert not wanted("example.org")
    assert wanted("0.0.0.0", page=True)


def test_without_it_there_is_nothing_and_with_tokens_nothing_without_one(tmp_path: Path) -> None:
    publish(tmp_path / "models", "tiny")
    with running(Service(Repository(tmp_path / "models")), address=Address(host=("0.0.0.0",))) as server:
        assert ask(server.port, "GET", "/").status == 404
        assert ask(server.port, "GET", "/page/page.js").status == 404
    asked = AnswerSettings(page=True)
    with running(Service(Repository(tmp_path / "models")), address=Address(host=("0.0.0.0",)), answers=asked) as server:
        assert ask(server.port, "GET", "/").status == 200
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    with running(Service(Repository(tmp_path / "models")), access=AccessSettings(tokens=tokens)) as server:
        for path in ("/", "/page/page.js", "/page/form/tiny/1", "/page/report/tiny/1"):
            assert ask(server.port, "GET", path).status == 401


def test_a_form_is_made_of_the_signature_and_a_golden_sample(tmp_path: Path) -> None:
    with running(Service(Repository(kinds(tmp_path)))) as server:
        reply = ask(server.port, "GET", "/page/form/form/1")
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        found = reply.json()
        assert found["report"] is True
        age, plan, note, flags, codes = found["inputs"]
        assert (age["low"], age["high"], age["enforced"], age["null"]) == (0, 120, True, True)
        assert plan["values"] == ["basic", "gold"]
        assert note["sample"] == {"shape": [1], "data": ["two\nlines"]}
        assert flags["sample"]["data"] == [True, False]
        assert codes["sample"]["data"] == ["9007199254740993", "-2", "3"]  # as text: JavaScript would round the first
        assert ask(server.port, "GET", "/page/form/bytes/1").json()["report"] is False
        for path in ("/page/form/none/1", "/page/form/form/2", "/page/form/form"):
            assert ask(server.port, "GET", path).status == 404
        assert ask(server.port, "POST", "/page/form/form/1").status == 405


def test_the_goldens_are_read_once_for_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    found = examples.of

    def counting(served: Served, *more: Any) -> Any:
        asked.append(served.version)
        return found(served, *more)

    monkeypatch.setattr(examples, "of", counting)
    repository = Repository(kinds(tmp_path))
    with running(Service(repository)) as server:
        first = ask(server.port, "GET", "/page/form/form/1")
        assert ask(server.port, "GET", "/page/form/form/1").body == first.body
        assert asked == [1]
        # A report that comes or goes is seen all the same.
        (tmp_path / "form" / "1" / "equivalence.html").unlink()
        assert ask(server.port, "GET", "/page/form/form/1").json() == {**first.json(), "report": False}
        ask(server.port, "GET", "/page/form/picture/1")
        monkeypatch.setattr(page, "_MOST_KEPT", 10)
        for _ in range(2):
            for name in ("form", "picture"):
                assert ask(server.port, "GET", f"/page/form/{name}/1").status == 200
        assert asked == [1] * 5


def kinds(folder: Path) -> Path:
    """Models that answer what they are asked: of named values, of a picture, of one of any size, and of bytes."""
    inputs = ["age:float32[n]", "plan:string[n]", "note:string[n]", "flags:bool[n,2]", "codes:int64[n,3]"]
    outputs = [text.replace(":", "_again:") for text in inputs]
    names = [text.partition(":")[0] for text in inputs]
    content = model([node("Identity", [name], [f"{name}_again"]) for name in names], inputs, outputs)
    values = [
        np.array([31.5], np.float32),
        np.array(["gold"], object),
        np.array(["two\nlines"], object),
        np.array([[True, False]]),
        np.array([[9007199254740993, -2, 3]]),
    ]
    again = {f"{name}_again": value for name, value in zip(names, values, strict=True)}
    floors = {name: np.full(value.shape, 1e-6) for name, value in again.items() if value.dtype.kind == "f"}
    case = golden.Golden(dict(zip(names, values, strict=True)), again, floors)
    path = publish_model(folder, "form", content, inputs, outputs, cases=[case])
    manifest = read_manifest(path)
    assert manifest is not None
    domains = {
        "age": Domain(low=0, high=120, enforced=True),
        "plan": Domain(values=["basic", "gold"], enforced=True),
    }
    specs = [msgspec.structs.replace(spec, domain=domains.get(spec.name)) for spec in manifest.inputs]
    (path / "manifest.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, inputs=specs)))
    (path / "equivalence.html").write_text("<p>equal</p>")
    x = np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    case = golden.Golden({"x": x}, {"y": x}, {"y": np.full(x.shape, 1e-6)})
    spec = "float32[n,3,8,8]"
    publish_model(folder, "picture", same(spec), [f"x:{spec}"], [f"y:{spec}"], cases=[case])
    plain(folder, "anysize", same("uint8[n,height,width,3]"))
    plain(folder, "bytes", same("uint8[length]"))
    return folder


def same(spec: str) -> bytes:
    return model([node("Identity", ["x"], ["y"])], [f"x:{spec}"], [f"y:{spec}"])


def png(pixels: Array) -> bytes:
    """A picture of uint8 (height, width, 3)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(Service(Repository(kinds(tmp_path_factory.mktemp("models"))))) as found:
        yield found


def opened(browser: Browser, server: Running, name: str) -> str:
    """Open the page, and on it the model; returns what selects its form."""
    browser.said.clear()
    browser.go(f"http://127.0.0.1:{server.port}/")
    browser.wait_for("document.querySelectorAll('.model').length")
    summary = f"[...document.querySelectorAll('.model h2')].find((one) => one.textContent.startsWith('{name} '))"
    browser.run(f"{summary}.closest('details').open = true")
    form = f'[aria-label="Ask {name} version 1"]'
    browser.wait_for(f"document.querySelector('{form}')")
    return form


def submit(browser: Browser, form: str) -> None:
    browser.run(f"document.querySelector('{form}').requestSubmit()")


def answers(browser: Browser, form: str) -> list[list[str]]:
    """The cells of every row of the answer's tables."""
    box = f"document.querySelector('{form}').closest('.model').querySelector('.answer')"
    browser.wait_for(f"{box}.querySelector('tbody, [role=alert]')")
    rows = f"[...{box}.querySelectorAll('tbody tr')].map((row) => [...row.children].map((one) => one.textContent))"
    found: list[list[str]] = browser.run(f"{rows}")
    assert found, browser.run(f"{box}.textContent")
    return found


def refusal(browser: Browser, form: str) -> str:
    box = f"document.querySelector('{form}').closest('.model').querySelector('.answer')"
    browser.wait_for(f"{box}.querySelector('[role=alert]')")
    found: str = browser.run(f"{box}.textContent")
    return found


def test_a_model_is_asked_with_its_golden_sample_in_a_browser(tmp_path: Path, browser: Browser) -> None:
    folder = publish(tmp_path / "models", "tiny")
    manifest = read_manifest(folder)
    assert manifest is not None
    width = manifest.outputs[0].shape[1]
    assert isinstance(width, int)
    labels = [f"<b>{number}</b>" for number in range(width)]
    changed = msgspec.structs.replace(manifest, labels={"y": labels})
    (folder / "manifest.json").write_bytes(msgspec.json.encode(changed))
    with running(Service(Repository(tmp_path / "models"))) as server:
        browser.size(1440, dark=False)
        form = opened(browser, server, "tiny")
        said = browser.run("document.querySelector('.model').textContent")
        assert "same as its source" in said
        assert "none beside the model" in said
        assert not browser.run("document.querySelector('a[href*=report]')")
        assert browser.run("document.querySelector('textarea').value.split(',').length") == 32
        # As a keyboard does it: the button has the focus, and Enter.
        browser.run("document.querySelector('form button').focus()")
        browser.press("Enter")
        rows = answers(browser, form)
        # A label is text, whatever it looks like; the highest value comes first.
        assert sorted(row[0] for row in rows) == sorted(labels)
        values = [float(row[1]) for row in rows]
        assert values == sorted(values, reverse=True)
        assert browser.run("document.querySelectorAll('.answer .bar').length") == width
        # How busy it is comes from the metrics.
        browser.wait_for("/ms a run/.test(document.querySelector('.model').textContent)")
        browser.wait_for("document.querySelector('.sizes td')")
        assert browser.run("document.querySelector('.sizes td').textContent") == "1"
        browser.wait_for(
            "/, 1 requests a batch|and 1 requests a batch/.test(document.querySelector('.model').textContent)"
        )
        browser.run("document.querySelector('textarea').value = '1, x'")
        submit(browser, form)
        assert "value 2 is no number" in refusal(browser, form)
        assert browser.run("document.querySelector('textarea').getAttribute('aria-invalid')") == "true"
        assert browser.said == []


def test_texts_choices_and_ranges_have_controls_of_their_own(browser: Browser, server: Running) -> None:
    form = opened(browser, server, "form")
    tags = browser.run(f"[...document.querySelectorAll('{form} :is(input, select, textarea)')].map((one) => one.type)")
    assert tags == ["number", "select-one", "textarea", "select-one", "select-one", "textarea"]
    found = answers_of(browser, form)
    assert found["age_again"] == ["31.5"]
    assert (found["plan_again"], found["note_again"]) == (["gold"], ["two\nlines"])
    assert found["flags_again"] == ["true", "false"]
    assert found["codes_again"] == ["9007199254740993", "-2", "3"]
    browser.run(f"document.querySelector('{form} select').value = 'basic'")
    browser.run(f"document.querySelector('{form} textarea').value = 'a \"quoted\" text, with commas'")
    browser.run(f"document.querySelector('{form} input').value = ''")
    found = answers_of(browser, form)
    assert (found["plan_again"], found["note_again"]) == (["basic"], ['a "quoted" text, with commas'])
    assert found["age_again"] == ["no number"]
    browser.run(f"document.querySelector('{form} input').value = '121'")
    submit(browser, form)
    assert "age: not 0 to 120" in refusal(browser, form)
    link = browser.run("document.querySelector('a[href*=report]').getAttribute('href')")
    assert link == "page/report/form/1"
    assert ask(server.port, "GET", f"/{link}").status == 200
    assert browser.said == []


def answers_of(browser: Browser, form: str) -> dict[str, list[str]]:
    """Ask, and give each output's values."""
    box = f"document.querySelector('{form}').closest('.model').querySelector('.answer')"
    browser.run(f"{box}.replaceChildren()")
    submit(browser, form)
    answers(browser, form)
    tables = (
        f"[...{box}.querySelectorAll('table')].map((one) => [one.caption.textContent.split(':')[0], "
        "[...one.querySelectorAll('tbody tr')].map((row) => row.querySelector('td').textContent)])"
    )
    return dict(browser.run(tables))


def test_a_picture_is_sent_as_the_array_that_the_model_takes(browser: Browser, server: Running, tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, (8, 8, 3), np.uint8)
    file = tmp_path / "picture.png"
    file.write_bytes(png(pixels))
    form = opened(browser, server, "picture")
    sample = answers_of(browser, form)["y"]
    assert [float(one) for one in sample] == pytest.approx(np.linspace(0, 1, 192), abs=1e-5)
    browser.choose(f"{form} input[type=file]", file)
    browser.wait_for(f"/the chosen picture/.test(document.querySelector('{form}').textContent)")
    sent = [float(one) for one in answers_of(browser, form)["y"]]
    assert sent == pytest.approx((pixels / 255).transpose(2, 0, 1).ravel(), abs=1e-5)
    browser.run(f"document.querySelector('{form} select[id$=scale]').value = 'signed'")
    sent = [float(one) for one in answers_of(browser, form)["y"]]
    assert sent == pytest.approx((pixels / 127.5 - 1).transpose(2, 0, 1).ravel(), abs=1e-5)
    # A model of whole numbers and any size gets the bytes as they are.
    form = opened(browser, server, "anysize")
    submit(browser, form)
    assert "choose a picture" in refusal(browser, form)
    browser.choose(f"{form} input[type=file]", file)
    browser.wait_for(f"/the chosen picture, 8 × 8/.test(document.querySelector('{form}').textContent)")
    assert [int(one) for one in answers_of(browser, form)["y"]] == pixels.ravel().tolist()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    browser.choose(f"{form} input[type=file]", broken)
    browser.wait_for(f"/no picture that the browser/.test(document.querySelector('{form}').textContent)")
    # Bytes that are no picture's are sent as a file has them.
    form = opened(browser, server, "bytes")
    browser.choose(f"{form} input[type=file]", broken)
    browser.wait_for(f"/10 bytes/.test(document.querySelector('{form}').textContent)")
    assert bytes(int(one) for one in answers_of(browser, form)["y"]) == b"no picture"
    assert browser.said == []


def test_latencies_are_told_from_the_histogram_of_the_metrics(browser: Browser, server: Running) -> None:
    form = opened(browser, server, "form")
    said = f"document.querySelector('{form}').closest('.model').textContent"
    ask_and_look = f"(document.querySelector('{form}').requestSubmit(), {said})"
    browser.wait_for(f"/half answered in [0-9.]+ ms, 99 % in [0-9.]+ ms/.test({ask_and_look})")
    more = "".join(
        f'onnxpress_request_seconds_bucket{{model="form",version="1",outcome="answered",le="{le}"}} ${{asked}}\\n'
        for le in ("0.01", "0.1", "+Inf")
    )
    browser.run(
        "window.real = window.fetch; let asked = 0; window.fetch = (path, options) => path !== 'metrics' "
        "? window.real(path, options) : window.real(path).then((reply) => reply.text()).then((text) => { asked += 10; "
        f"return new Response(text.replace(/^onnxpress_request_seconds.*$/gm, '') + `{more}`); }})"
    )
    browser.wait_for(f"/requests a second, half answered in 5 ms, 99 % in 9.9 ms/.test({ask_and_look})")


def test_it_fits_narrow_and_wide_and_is_reached_by_keys(browser: Browser, server: Running) -> None:
    for name in ("form", "picture"):
        form = opened(browser, server, name)
        submit(browser, form)
        answers(browser, form)
        for wide, dark in ((360, True), (768, False), (1440, False)):
            browser.size(wide, dark=dark)
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert browser.run(overflow) <= 0
            browser.picture(f"{name}-{wide}")
    unlabelled = "[...document.querySelectorAll('input, select, textarea')].filter((one) => !one.labels.length).length"
    assert browser.run(unlabelled) == 0
    controls = "[...document.querySelectorAll('summary, a, button, input, select, textarea')]"
    wanted = browser.run(f"{controls}.filter((one) => one.checkVisibility()).length")
    browser.run("document.activeElement.blur()")
    seen = set()
    for _ in range(wanted + 12):
        browser.press("Tab")
        # It has a place of its own in the document, and it shows that it has the focus.
        place = "[...document.querySelectorAll('*')].indexOf(document.activeElement)"
        if browser.run("document.activeElement !== document.body"):
            assert browser.run("getComputedStyle(document.activeElement).outlineStyle") != "none"
            if browser.run(f"{controls}.includes(document.activeElement)"):
                seen.add(browser.run(place))
    assert len(seen) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(browser: Browser, server: Running, dark: bool) -> None:
    for name in ("form", "picture"):
        form = opened(browser, server, name)
        submit(browser, form)
        answers(browser, form)
        browser.wait_for("document.querySelector('.sizes td')")
        for wide in (360, 1440):
            browser.size(wide, dark=dark)
            assert browser.axe() == []


def test_with_tokens_the_whole_page_works_for_a_browser_that_shows_one(tmp_path: Path, browser: Browser) -> None:
    publish(tmp_path / "models", "tiny")
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    browser.call("Network.enable")
    try:
        with running(Service(Repository(tmp_path / "models")), access=AccessSettings(tokens=tokens)) as server:
            browser.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {TOKEN}"})
            form = opened(browser, server, "tiny")
            submit(browser, form)
            assert answers(browser, form)
    finally:
        browser.call("Network.setExtraHTTPHeaders", headers={})
