"""What is served, and how it stands. No request passes here: see `router`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository

if TYPE_CHECKING:
    from onnxpress.serving.models.served import Served
    from onnxpress.serving.tracing.exporting import Exporting

ReadyWhen = Literal["all", "any", "started"]


class Service:
    """A repository, and what is to be said of the server that answers from it.

    `control`: who loads and unloads models for callers; None where callers may not. `ready_when`: what has to be loaded
    before it is ready; see `ModelSettings`.
    """

    def __init__(
        self, repository: Repository, *, control: Reloader | None = None, ready_when: ReadyWhen = "all"
    ) -> None:
        self.repository, self.control = repository, control
        self._ready_when = ready_when
        self.traffic = repository.traffic
        self.started = time.time()
        """Unix time"""
        self.on_reload: list[Callable[[], None]] = []
        """what SIGHUP asks to read its file again, and raises nothing where that fails"""
        self.needed: list[Callable[[], tuple[bool, str]]] = []
        """what requests need besides models: whether it can be used, and what is wrong with it"""
        self.on_leave: list[Callable[[], None]] = []
        """who wants to know that the server is on its way out"""
        self.exporting: Exporting | None = None
        """what sends traces, where there are any"""
        self._leaving = False

    @property
    def leaving(self) -> bool:
        """Whether the server is on its way out."""
        return self._leaving

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: what has to be loaded is, and the server is not on its way out."""
        if self._leaving or not all(usable for usable, _ in self._needs()):
            return False
        repository = self.repository
        if self._ready_when == "started":
            return True
        if self._ready_when == "any":
            return bool(repository.models)
        # A new version that failed while the one before it is served takes nothing away.
        return repository.ready and all(name in repository.models for name, _ in repository.failed)

    def states(self, found: Served, every: bool) -> list[tuple[int, str, str]]:
        """Version, state and what is wrong of the version `found`, or of `every` one of its model, the newest first.

        The states are TensorFlow Serving's. One whose process is down is loaded anew.
        """
        versions = self.repository.models[found.name]
        rows = []
        for number in sorted(versions, reverse=True) if every else [found.version]:
            down = versions[number].engine.down
            state = "LOADING" if down else "UNLOADING" if self._leaving else "AVAILABLE"
            rows.append((number, state, f"its process {down}" if down else ""))
        return rows

    @property
    def faults(self) -> list[str]:
        """What is wrong with the files that the server lives from, whether or not it is ready in spite of it."""
        return [fault for _, fault in self._needs() if fault]

    def _needs(self) -> list[tuple[bool, str]]:
        return [state() for state in self.needed]

    def reload(self) -> None:
        """Have files read again that say who may ask."""
        for read_again in self.on_reload:
            read_again()

    def leave(self) -> None:
        """Not ready any more: the server is on its way out."""
        self._leaving = True
        for told in self.on_leave:
            told()
