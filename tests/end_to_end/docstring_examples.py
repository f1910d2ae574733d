"""Runs the examples in the docstrings of the front door, in the working directory; started as a script by a test.

Its argument is a server's URL, which stands for the one in the examples. Prints name → what went wrong, as JSON.
"""

from __future__ import annotations

import doctest
import inspect
import io
import json
import sys
from typing import Any

import onnxpress
from onnxpress import _public

SETTING = """
import asyncio, os, shutil, signal
import httpx, numpy, onnxpress
from other_iris import build, rows
estimator = build(C=1.0)
"""


def documented(name: str) -> list[tuple[str, Any]]:
    """The name itself, and what a class of ours has beside it."""
    value = getattr(onnxpress, name)
    if name == "export":
        value = value.__wrapped__
    members = vars(value).items() if name in ("Client", "AsyncClient") else ()
    return [(name, value), *((f"{name}.{key}", one) for key, one in members if not key.startswith("_"))]


def main(url: str) -> None:
    """See the module's docstring."""
    found = {}
    for name in _public.NAMES:
        if name == "__version__":
            continue
        for place, value in documented(name):
            text = (inspect.getdoc(value) or "").replace("http://127.0.0.1:8000", url)
            names: dict[str, Any] = {}
            exec(SETTING, names)
            test = doctest.DocTestParser().get_doctest(text, names, place, place, 0)
            said = io.StringIO()
            doctest.DocTestRunner().run(test, out=said.write)
            examples = len(test.examples)
            found[place] = {"examples": examples, "said": said.getvalue()}
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    sys.path.insert(0, "")
    main(sys.argv[1])
