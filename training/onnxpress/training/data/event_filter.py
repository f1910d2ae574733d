"""Which events of a file are taken: by type, sub-type, person and date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from onnxpress.core.errors import BadData

_TIME = "dataTime"
_FORMS = ("%d-%m-%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d-%m-%Y", "%d/%m/%Y", "%Y/%m/%d")
"""beside ISO 8601: what older apps wrote"""


class EventFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of `only`, events that match every field that is given; of `without`, those that match one of them.

    Capitals and small letters are alike.
    """

    types: list[str] = []
    """`type` is one of these"""
    sub_types: list[str] = []
    """`subType` is one of these"""
    users: list[str | int] = []
    """`userId` is one of these"""
    since: str | None = None
    """`dataTime` is not before this date or time, for example 2024-01-31 or 2024-01-31T08:00:00"""
    before: str | None = None
    """`dataTime` is before this date or time"""

    def __post_init__(self) -> None:
        for given in (self.since, self.before):
            if given is not None and parsed(given) is None:
                raise ValueError(f"{given!r} is no date; write 2024-01-31 or 2024-01-31T08:00:00")


def takes(event: Mapping[str, Any], only: EventFilter, without: EventFilter | None, *, where: str) -> bool:
    """Whether the event matches all of `only` and nothing of `without`.

    Raises BadData where its date counts and is none.
    """
    if not all(_matches(event, only, where)):
        return False
    return without is None or not any(_matches(event, without, where))


def _matches(event: Mapping[str, Any], chosen: EventFilter, where: str) -> Iterator[bool]:
    """Of each field that is given; `since` and `before` are one stretch of time."""
    for field, wanted in (("type", chosen.types), ("subType", chosen.sub_types), ("userId", chosen.users)):
        if wanted:
            yield str(event.get(field)).lower() in {str(name).lower() for name in wanted}
    if chosen.since is not None or chosen.before is not None:
        at = moment(event, where)
        since, before = (parsed(given) if given else None for given in (chosen.since, chosen.before))
        yield (since is None or at >= since) and (before is None or at < before)


def moment(of: Mapping[str, Any], where: str) -> datetime:
    """The `dataTime` of an event or datapoint, in UTC. Raises BadData where it has none that can be read."""
    at = parsed(of.get(_TIME))
    if at is None:
        raise BadData(f"{_TIME} {of.get(_TIME)!r} is no time", where=where, hint="for example 2024-01-31T08:00:00Z")
    return at


def parsed(text: object) -> datetime | None:
    """A time in UTC, or None where the text is none; a time without a zone is taken as UTC."""
    if not isinstance(text, str):
        return None
    at = None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        for form in _FORMS:
            try:
                at = datetime.strptime(text, form)
                break
            except ValueError:
                continue
    if at is None:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
