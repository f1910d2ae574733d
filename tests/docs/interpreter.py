"""The one Python interpreter of a page: runs a block after another in one namespace. Started as a script.

A line of JSON `{"code", "name", "line"}` comes in on stdin; a line `{"output", "error"}` goes out on stdout.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import sys
import traceback
from typing import Any


def run(code: str, name: str, line: int, names: dict[str, Any]) -> str | None:
    """What went wrong, or None. `line` is where the code begins in the page called `name`."""
    if code.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, names, name, name, line)
        said = io.StringIO()
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.write, clear_globs=False)
        names.update(test.globs)
        return said.getvalue() or None
    try:
        exec(compile("\n" * line + code, name, "exec", dont_inherit=True), names)
    except (Exception, SystemExit):
        return traceback.format_exc()
    return None


def main() -> None:
    """Until stdin ends."""
    # What blocks print is kept apart from the answers; their child processes must not write among them either.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    names: dict[str, Any] = {"__name__": "__main__"}
    for request in sys.stdin:
        asked = json.loads(request)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            error = run(asked["code"], asked["name"], asked["line"], names)
        answers.write(json.dumps({"output": printed.getvalue(), "error": error}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
