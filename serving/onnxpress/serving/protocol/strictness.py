"""Numbers beyond a dtype's range are errors, not infinities."""

from __future__ import annotations

from contextvars import Context, copy_context

import numpy as np


def strict() -> Context:
    """A context in which numpy raises where 1e39 would become an infinity in float32, by default with a warning.

    Running a callback in it costs nothing; `np.errstate` around every conversion costs 1 µs, a twentieth of a request.
    """
    context = copy_context()
    context.run(np.seterr, over="raise")
    return context
