"""The page at `/`: who gets it, what it may do, and that it works in a browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.serving.harness import ask, running
from tests.serving.publishing import publish

from onnxpress.core.version_folder import read_manifest
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.routes.chosen import page_wanted
from onnxpress.serving.service import Service
from onnxpress.serving.settings import AccessSettings, Address, AnswerSettings, ServerSettings

CHROMIUM = shutil.which("chromium")
MOST_BYTES = 120_000


def test_the_files_are_small_and_may_ask_this_server_alone(tmp_path: Path) -> None:
    publish(tmp_path, "tiny")
    size = 0
    with running(Service(Repository(tmp_path))) as server:
        for path, media in (("/", "text/html"), ("/page/page.css", "text/css"), ("/page/page.js", "text/javascript")):
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
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-some-length\n")
    with running(Service(Repository(tmp_path / "models")), access=AccessSettings(tokens=tokens)) as server:
        for path in ("/", "/page/page.js", "/page/report/tiny/1"):
            assert ask(server.port, "GET", path).status == 401


class Browser:
    """One tab of Chromium, told what to do through its debugging pipe."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = os.fdopen(read, "rb", buffering=0), os.fdopen(write, "wb", buffering=0)
        self._rest, self._number, self._session = b"", 0, ""
        self.said: list[Any] = []
        """what the page wrote to the console, and what the browser refused it"""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._read.close()
        self._write.close()

    def call(self, method: str, **parameters: Any) -> Any:
        """What it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write.write(json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "result" in found, found
                return found["result"]
            if found.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.said.append(found["params"])

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            more = self._read.read(65536)
            assert more, "the browser has ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def run(self, expression: str) -> Any:
        """The value of JavaScript; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Until the condition holds in the page."""
        look = f"const look = () => ({condition}) ? done(true) : setTimeout(look, 20)"
        self.run(f"new Promise((done) => {{ {look}; look(); }})")

    def size(self, width: int, *, dark: bool) -> None:
        """Be so wide, and in dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --no-first-run"
    command = f'exec "$0" {flags} --user-data-dir="$1" 3<&{theirs_in} 4>&{theirs_out}'
    popen = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, str(tmp_path / "profile")],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        found = Browser(ours_in, ours_out)
        yield found
        with contextlib.suppress(OSError):
            found.close()
    finally:
        popen.kill()
        popen.wait()


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
        browser.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
        browser.wait_for("document.querySelector('.model form')")
        assert "same as its source" in browser.run("document.querySelector('.model').textContent")
        assert browser.run("document.querySelector('textarea').value.split(',').length") == 32
        unlabelled = "[...document.querySelectorAll('input, textarea')].filter((one) => !one.labels.length).length"
        assert browser.run(unlabelled) == 0
        # As a keyboard does it: the button has the focus, and Enter.
        browser.run("document.querySelector('form button').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        browser.wait_for("document.querySelector('.answer tbody')")
        assert browser.run("document.querySelectorAll('.answer tbody tr').length") == width
        # A label is text, whatever it looks like.
        assert browser.run("document.querySelector('.answer tbody th').textContent") == labels[0]
        assert browser.run("document.querySelectorAll('.answer .bar').length") == (width if width > 1 else 0)
        for wide, dark in ((360, True), (768, False), (1440, False)):
            browser.size(wide, dark=dark)
            overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert browser.run(overflow) <= 0
            if folder_for_pictures := os.environ.get("ONNXPRESS_PICTURES"):
                import base64

                picture = browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
                (Path(folder_for_pictures) / f"page-{wide}.png").write_bytes(base64.b64decode(picture))
        browser.run("document.querySelector('textarea').value = '1, x'")
        browser.run("document.querySelector('form').requestSubmit()")
        browser.wait_for("document.querySelector('.answer [role=alert]')")
        assert browser.run("document.querySelector('textarea').getAttribute('aria-invalid')") == "true"
    assert browser.said == []
