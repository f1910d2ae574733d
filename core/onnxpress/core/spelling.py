"""A hint for a name that is not known: which one was probably meant, and which there are."""

from __future__ import annotations

from collections.abc import Sequence


def did_you_mean(given: str, known: Sequence[str], introduction: str) -> str:
    """`did you mean 'port'? there are: host, port`; the question is left out where nothing comes near."""
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(given, known, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"{introduction}: {', '.join(known)}"
