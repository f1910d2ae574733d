"""How many connections each worker has, in memory that all of them share: by it the next one goes to who has few.

Workers that accept from one socket would else share badly: whoever is awake takes all of a burst, and a client
that keeps eight connections open would have one worker answer all of them.
"""

from __future__ import annotations

import mmap

_NOBODY = -1
_BYTES = 4


class Loads:
    """A place for each worker that is or may be there at a time; made before they are forked."""

    def __init__(self, places: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, places * _BYTES)).cast("i")
        for place in range(places):
            self._counts[place] = _NOBODY
        self._taken: set[int] = set()

    def take(self) -> int:
        """A place for the supervisor to give away; where all are taken the last, which costs nothing but fairness."""
        places = len(self._counts)
        place = next((place for place in range(places) if place not in self._taken), places - 1)
        self._taken.add(place)
        return place

    def give_back(self, place: int) -> None:
        """Whoever had it is gone."""
        self._taken.discard(place)
        self._counts[place] = _NOBODY

    def share(self, place: int) -> Share:
        """The place as its worker uses it."""
        return Share(self._counts, place)


class Share:
    """One worker's place among those of all.

    >>> loads = Loads(2)
    >>> mine, other = loads.share(0), loads.share(1)
    >>> mine.put(3); other.put(1); mine.has_enough, other.has_enough
    (True, False)
    """

    def __init__(self, counts: memoryview, place: int) -> None:
        self._counts, self._place = counts, place
        self._left = False

    def put(self, connections: int) -> None:
        """So many are open here."""
        if not self._left:
            self._counts[self._place] = connections

    def leave(self) -> None:
        """No more are accepted here, whatever is put."""
        self._counts[self._place] = _NOBODY
        self._left = True

    @property
    def has_enough(self) -> bool:
        """Whether another worker that accepts has clearly fewer connections."""
        mine = self._counts[self._place]
        fewest = min((count for count in self._counts if count != _NOBODY), default=mine)
        return mine > fewest + fewest // 8
