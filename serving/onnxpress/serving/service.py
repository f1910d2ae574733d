"""What is served, and how it stands. No request passes here: see `router`."""

from __future__ import annotations

import time

from onnxpress.serving.models.reloading import Reloader
from onnxpress.serving.models.repository import Repository


class Service:
    """A repository, and what is to be said of the server that answers from it.

    `control`: who loads and unloads models for callers; None where callers may not.
    """

    def __init__(self, repository: Repository, *, control: Reloader | None = None) -> None:
        self.repository, self.control = repository, control
        self.traffic = repository.traffic
        self.started = time.time()
        """Unix time"""
        self._leaving = False

    @property
    def ready(self) -> bool:
        """Whether requests are welcome: everything is loaded, and the server is not on its way out."""
        return self.repository.ready and not self._leaving

    def leave(self) -> None:
        """Not ready any more: the server is on its way out."""
        self._leaving = True
