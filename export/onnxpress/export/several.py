"""Several sources in one call: each on its own, then a table and the worst exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from onnxpress.core.errors import OnnxpressError
from onnxpress.export.equivalence.report import Report, multiple
from onnxpress.export.stage import Published


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source: a folder and its evidence, or an error and the exit code that stands for it."""

    source: str
    exit_code: int = 0
    folder: str | None = None
    equivalence: Report | None = None
    error: str | None = None


def export_each(sources: Sequence[str], export: Callable[[str], Published]) -> list[Result]:
    """Export one after the other; a failure is told on stderr and harms no other source."""
    results = []
    for number, source in enumerate(sources, 1):
        print(f"[{number}/{len(sources)}] {source}", file=sys.stderr, flush=True)
        try:
            published = export(source)
        except OnnxpressError as error:
            results.append(Result(source=source, exit_code=error.exit_code, error=str(error)))
        except Exception as error:  # the user's own code can raise anything; the other sources are still wanted
            results.append(Result(source=source, exit_code=1, error=f"{type(error).__name__}: {error}"))
        else:
            results.append(Result(source=source, folder=str(published.folder), equivalence=published.report))
        if results[-1].error is not None:
            print(f"error: {results[-1].error}", file=sys.stderr, flush=True)
    return results


def table(results: Sequence[Result]) -> str:
    """One line for each source: its distance from the original in noise floors and its folder, or why there is none."""
    width = max(len(result.source) for result in results)
    lines = []
    for result in results:
        if result.equivalence is not None:
            lines.append(
                f"{result.source:{width}}  published  {multiple(result.equivalence.worst_multiple):>6} floors  "
                f"{result.folder}"
            )
        else:
            first = next(iter((result.error or "").splitlines()), "")
            lines.append(f"{result.source:{width}}  refused    {first}")
    return "\n".join(lines)


def document(published: Published) -> dict[str, Any]:
    """What `--json` prints of one version."""
    return {"folder": str(published.folder), "manifest": published.manifest, "equivalence": published.report}
