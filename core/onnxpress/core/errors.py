"""The exceptions of onnxpress, each a sentence for a person: what happened, in what, and what to do next.

OnnxpressError            exit 1
├── UsageError            exit 2   the command, recipe or specification itself is wrong
├── MissingExtra          exit 1   a package that this step needs is not installed
├── BadData               exit 1   data that cannot be used: missing column, wrong shape, torn file
├── BadModel              exit 1   a model or published version that cannot be loaded or converted
│   └── CorruptVersion    exit 1   a version folder whose files are not what its manifest says
├── NotEquivalent         exit 1   the export does not say the same as its source; nothing was published
├── ServerError           exit 1   a server that is not reached, wants a token, is too busy or fails
└── ProcessLost           exit 1   another of the processes that fit together is gone; the checkpoint stays
"""

from __future__ import annotations

import functools
from typing import Any


class OnnxpressError(Exception):
    """What happened (`what`), in which file, field or model (`where`), and how to mend it (`hint`).

    Every error that is not a fault of this program is one of these, with the exit code that the command line gives it.

    >>> try:
    ...     onnxpress.load("nothing.onnx")
    ... except onnxpress.OnnxpressError as error:
    ...     error.what, error.where, error.hint, error.exit_code
    ('no such file or folder', 'nothing.onnx', None, 1)
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what)

    def __reduce__(self) -> tuple[Any, ...]:
        # A converter in a child process sends its error back whole; by default the keywords would be lost.
        return functools.partial(type(self), where=self.where, hint=self.hint), (self.what,)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{self.what}{hint}"


class UsageError(OnnxpressError):
    """The command line, recipe or specification is wrong; nothing was started.

    >>> onnxpress.AsyncClient("http://127.0.0.1:8000", connections=0)
    Traceback (most recent call last):
    onnxpress.core.errors.UsageError: connections is 0; at least one is needed
    """

    exit_code = 2


class MissingExtra(OnnxpressError):
    """A package that this step needs is not installed; the hint holds the pip line that brings it.

    >>> from onnxpress.core.optional import require
    >>> require("a_framework", needed_by="this example")
    Traceback (most recent call last):
    onnxpress.core.errors.MissingExtra: this example needs the package a_framework, which is not installed
      hint: pip install a_framework
    """


class BadData(OnnxpressError):
    """Data that cannot be used; `where` names file, row and column as far as they are known.

    >>> onnxpress.load("models/iris")(features=[["many"]])
    Traceback (most recent call last):
    onnxpress.core.errors.BadData: iris: the values of 'features' are no float32: they are <U4
    """


class BadModel(OnnxpressError):
    """A model that cannot be loaded, converted or run, or that is not there.

    >>> onnxpress.load("nothing.onnx")
    Traceback (most recent call last):
    onnxpress.core.errors.BadModel: nothing.onnx: no such file or folder
    """


class CorruptVersion(BadModel):
    """A version folder whose files are missing or differ from what its manifest says.

    >>> with open(shutil.copytree("models/iris", "copy") + "/1/model.onnx", "ab") as file:
    ...     _ = file.write(b"more")
    >>> onnxpress.load("copy")    # doctest: +ELLIPSIS
    Traceback (most recent call last):
    onnxpress.core.errors.CorruptVersion: ...copy/1: model.onnx has ... bytes, the manifest says ...
      hint: copy or export the version again
    """


class NotEquivalent(OnnxpressError):
    """The export does not say the same as its source, or cannot be shown to; nothing was published.

    >>> onnxpress.export("models/iris/1/model.onnx", against="other_iris:build")    # doctest: +ELLIPSIS
    Traceback (most recent call last):
    onnxpress.core.errors.NotEquivalent: models/iris/1/model.onnx: the export is refused, nothing was published
    ...
    """


class ServerError(OnnxpressError):
    """A server that gave no answer, or one that is not about the question; `status` is HTTP's, None without an answer.

    401 and 403 are a token that is missing or wrong, 503 a server that is loading, leaving or too busy.

    >>> try:
    ...     onnxpress.Client("http://127.0.0.1:1").infer("iris", rows)
    ... except onnxpress.ServerError as error:
    ...     print(error, error.status)
    http://127.0.0.1:1/v2/models/iris: the server cannot be reached: Connection refused None
    """

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), where=self.where, hint=self.hint, status=self.status), (self.what,)


class ProcessLost(OnnxpressError):
    """Another of the processes that fit together is gone, and none can go on without it; the checkpoint stays.

    >>> str(onnxpress.ProcessLost("process 1 is gone", hint="start all again with --resume"))
    'process 1 is gone\\n  hint: start all again with --resume'
    """
