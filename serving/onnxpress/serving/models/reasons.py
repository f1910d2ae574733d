"""Why a version is not served, in words: for the log whole, for callers without the paths of this machine."""

from __future__ import annotations

import errno
import re

from onnxpress.core.errors import OnnxpressError

_PATH = r"(?<![^\s'\"(=:,])(?:/[^\s/'\":;,]+)*/(?=[^\s/'\":;,]+)|\b[A-Za-z]:\\(?:[^\s\\'\":;,]+\\)*"
_CALLERS_CHARACTERS = 300
_SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}
)


def told(error: BaseException) -> str:
    """What went wrong, for the log: our own errors in their words, others with their kind."""
    if isinstance(error, OnnxpressError):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = f"there is not enough memory for it{f': {error}' if str(error) else ''}"
    elif isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def for_callers(reason: str) -> str:
    """One line of it, with the last part of every path alone.

    >>> for_callers("/srv/models/iris/1: model.onnx is missing\\n  hint: copy it again")
    '1: model.onnx is missing'
    """
    line, _, _ = reason.partition("\n  hint: ")
    short = " ".join(re.sub(_PATH, "", line).split())
    return short if len(short) <= _CALLERS_CHARACTERS else f"{short[: _CALLERS_CHARACTERS - 3]}..."


def passes(error: BaseException) -> bool:
    """Whether it may be otherwise at the next try, though no file has changed: the machine was short of something."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SHORTAGES)
