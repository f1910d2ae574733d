"""A hint for a name that is not known: which one was probably meant, and which there are."""

from __future__ import annotations

from collections.abc import Sequence


def did_you_mean(given: str, known: Sequence[str], introduction: str, *, most: int | None = None) -> str:
    """`did you mean 'port'? there are: host, port`; without the question where nothing comes near.

    At most so many names are listed.

    >>> did_you_mean("prot", ["host", "port", "unix"], "there are", most=2)
    "did you mean 'port'? there are: host, port and 1 more"
    """
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(given, known, n=1)
    listed = ", ".join(known[:most]) or "nothing"
    more = f" and {len(known) - most} more" if most is not None and len(known) > most else ""
    return (f"did you mean {near[0]!r}? " if near else "") + f"{introduction}: {listed}{more}"
