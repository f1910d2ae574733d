"""Chromium as Debian has it, without a window: one tab, told what to do through its debugging pipe."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")


class Browser:
    """The tab."""

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

    def go(self, url: str) -> None:
        """Open the address."""
        self.call("Page.navigate", url=url)

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=found, files=[str(path)])

    def press(self, key: str) -> None:
        """Press Enter or Tab, and let it go."""
        text = "\r" if key == "Enter" else ""
        code = {"Enter": 13, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)

    def axe(self) -> list[Any]:
        """What axe-core finds in the page: rule, how grave it is, and where. Skips the test where there is none."""
        self.run(_axe())
        told = "[one.id, one.impact, one.nodes.map((node) => node.html)]"
        found: list[Any] = self.run(f"axe.run().then((found) => found.violations.map((one) => {told}))")
        return found

    def picture(self, name: str) -> None:
        """Keep the whole page as a picture, where `ONNXPRESS_PICTURES` says a folder for them."""
        folder = os.environ.get("ONNXPRESS_PICTURES")
        if folder:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            drawn = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)["data"]
            (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(drawn))


def _axe() -> str:
    """The checker of accessibility: in a package for tests, or where `ONNXPRESS_AXE` says."""
    said = os.environ.get("ONNXPRESS_AXE")
    found = importlib.util.find_spec("axe_core_python")
    places = [Path(said)] if said else []
    if found is not None and found.origin is not None:
        places.append(Path(found.origin).with_name("axe.min.js"))
    for place in places:
        if place.is_file():
            return place.read_text()
    pytest.skip("axe-core is not installed: pip install axe-core-python, or name axe.min.js in ONNXPRESS_AXE")


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe --no-first-run"
    command = f'exec "$0" {flags} --user-data-dir="$1" 3<&{theirs_in} 4>&{theirs_out}'
    popen = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, str(profile)],
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
