"""Several sources in one call, or in a list: each on its own, then a table and the worst exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from onnxpress.core.document_errors import check_fields, wrong_document
from onnxpress.core.documents import read_document
from onnxpress.core.errors import OnnxpressError, UsageError
from onnxpress.export.equivalence.report.schema import Report, multiple
from onnxpress.export.pipeline.publish import Published
from onnxpress.export.source import SourceRef


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One source, and the name that its model is published under; default: the source's own."""

    ref: SourceRef
    name: str | None = None
    accept_refusal: str | None = None


class _Listed(SourceRef, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry as the file holds it: the name, and why a refusal is accepted, among the source's options."""

    name: str | None = None
    accept_refusal: str | None = None


_COMMAND_ONLY = ("trust_pickle", "trust_run", "hide_gpus")
"""what whoever runs the command decides, and no file"""


def read_list(path: Path, **of_all: Any) -> list[Entry]:
    """A YAML or JSON list of sources with their options, or of sources alone.

    Files are taken from the list's folder; `of_all` are fields of SourceRef that hold for every source. Raises
    UsageError with the place of what is wrong.
    """
    document = read_document(path)
    if not isinstance(document, list):
        raise UsageError("it is no list of sources: each begins with a dash", where=str(path))
    document = [{"source": item} if isinstance(item, str) else item for item in document]
    for place, item in enumerate(document):
        if isinstance(item, dict) and (refused := item.keys() & _COMMAND_ONLY):
            raise UsageError(f"`{min(refused)}` is no option of a list's - at `$[{place}]`", where=str(path))
    check_fields(document, list[_Listed], where=str(path))
    try:
        listed = msgspec.convert(document, list[_Listed], dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise wrong_document(error, document, _Listed, where=str(path)) from None
    if not listed:
        raise UsageError("the list is empty", where=str(path))
    return [
        Entry(
            name=one.name,
            accept_refusal=one.accept_refusal,
            ref=SourceRef(**_options(one, path.parent) | of_all),
        )
        for one in listed
    ]


def _options(listed: _Listed, folder: Path) -> dict[str, Any]:
    """What the list says of one source, by SourceRef's fields."""
    options = {name: getattr(listed, name) for name in SourceRef.__struct_fields__}
    return {name: folder / value if isinstance(value, Path) else value for name, value in options.items()}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source: a folder and its evidence, or an error and the exit code that stands for it."""

    source: str
    exit_code: int = 0
    folder: str | None = None
    equivalence: Report | None = None
    error: str | None = None


def export_each(entries: Sequence[Entry], export: Callable[[Entry], Published]) -> list[Result]:
    """Export one after the other; a failure is told on stderr and harms no other source."""
    results = []
    for number, entry in enumerate(entries, 1):
        source = entry.ref.reference
        print(f"[{number}/{len(entries)}] {source}", file=sys.stderr, flush=True)
        try:
            published = export(entry)
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
            knowingly = f", refused but accepted ({reason})" if (reason := result.equivalence.accepted) else ""
            lines.append(
                f"{result.source:{width}}  published  {multiple(result.equivalence.worst_multiple):>6} floors  "
                f"{result.folder}{knowingly}"
            )
        else:
            first = next(iter((result.error or "").splitlines()), "")
            lines.append(f"{result.source:{width}}  refused    {first}")
    return "\n".join(lines)


def document(published: Published) -> dict[str, Any]:
    """What `--json` prints of one version."""
    return {"folder": str(published.folder), "manifest": published.manifest, "equivalence": published.report}
