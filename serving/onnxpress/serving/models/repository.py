"""The models being served: checked, loaded, self-tested, and looked up by name and version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.version_folder import Located, locate
from onnxpress.serving.models import version_policy
from onnxpress.serving.models.folder import Folder
from onnxpress.serving.models.loading import VersionLoader
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.settings import ModelSettings, ProcessSettings
from onnxpress.serving.traffic import Traffic


class Repository:
    """Everything that is served from one path. After `load` a Reloader may put other models in, on the loop."""

    def __init__(
        self, path: Path, settings: ModelSettings = ModelSettings(), processes: ProcessSettings = ProcessSettings()
    ) -> None:
        """Nothing is loaded yet. Raises UsageError for a policy of versions that cannot be read."""
        self._path, self._settings, self._processes = path, settings, processes
        self.folder = Folder(path, version_policy.policy(settings.versions))
        self.traffic = Traffic()
        """of the transports through which these models are asked; see there"""
        self.loader = VersionLoader(settings, processes, self.traffic)
        self.models: dict[str, dict[int, Served]] = {}
        """name → version → what is served; replaced whole, never changed"""
        self.labels: dict[str, Mapping[str, int]] = {}
        """model → label → version"""
        self.failed: dict[tuple[str, int], str] = {}
        """(name, version) → why it is not served"""
        self.ready = False
        """whether `load` is over"""
        self._on_change: list[Callable[[], None]] = []
        self._placing = Lock()

    def on_change(self, then: Callable[[], None]) -> None:
        """Call `then` whenever other models are served, on the event loop's thread."""
        self._on_change.append(then)

    def put(self, name: str, versions: dict[int, Served], labels: Mapping[str, int]) -> dict[int, Served]:
        """Serve these versions of the model from now on, none where there are none; returns those before."""
        before = self.models.get(name, {})
        self.models = {**self.models, name: versions}
        self.labels = {**self.labels, name: labels}
        if not versions:
            del self.models[name], self.labels[name]
        for then in self._on_change:
            then()
        return before

    def load(self, placed: Callable[[], Any] = lambda: None) -> None:
        """Load the chosen versions of every model; a model that cannot be loaded harms no other.

        Where the latest version cannot be loaded the one before it is, so that a bad publication does not take a model
        away; `failed` says so. `placed` is called, in whatever thread, when a model can be asked. Raises BadModel when
        nothing at all can be served, and nothing can come later either.
        """
        located = self._located()
        load = partial(self._load_model, located, placed)
        if not self._processes.isolate:
            for name in located.models:
                load(name)
        elif located.models:
            # Beside one another: one that hangs must not keep the others from being loaded.
            with ThreadPoolExecutor(len(located.models), thread_name_prefix="load") as threads:
                list(threads.map(load, located.models))
        if not self.models and not self._more_may_come:
            reasons = "\n  ".join(f"{name} version {version}: {why}" for (name, version), why in self.failed.items())
            raise BadModel(f"no model could be loaded\n  {reasons}", where=str(self._path))
        self.ready = True

    @property
    def _more_may_come(self) -> bool:
        """Whether models can be loaded after the start."""
        return self._settings.poll > 0 or self._settings.model_control

    def _located(self) -> Located:
        """What lies in the folder; nothing in an empty one, where something may come later. Raises BadModel."""
        try:
            return locate(self._path)
        except BadModel:
            if self._more_may_come and self._path.is_dir():
                return Located("repository", {})
            raise

    def _load_model(self, located: Located, placed: Callable[[], Any], name: str) -> None:
        versions = located.models[name]
        try:
            chosen = self.folder.selected(located, name)
        except BadModel as error:
            self.failed[name, max(versions)] = str(error)
            return
        found: dict[int, Served] = {}
        for version in sorted(versions, reverse=True):
            if chosen.wants(version, len(found)):
                try:
                    found[version] = self.loader.load(name, version, versions[version], at_once=True)
                except (OnnxpressError, OSError, ValueError) as error:
                    self.failed[name, version] = str(error)
        if found:
            with self._placing:  # replaced whole: others read it meanwhile
                self.labels = {**self.labels, name: chosen.labels}
                self.models = {**self.models, name: found}
            placed()

    def all(self) -> list[Served]:
        """Every version that is served."""
        return [served for _, versions in sorted(self.models.items()) for _, served in sorted(versions.items())]

    def find(self, name: str, version: str | None) -> Served:
        """The model's latest loaded version, or the one of that number or label.

        Raises Refusal(404), or 503 for one that failed.
        """
        versions = self.models.get(name, {})
        labels = self.labels.get(name, {})
        if version is not None and version in labels:
            version = str(labels[version])
        if version is None and versions:
            return versions[max(versions)]
        for number, served in versions.items():
            if version == str(number):
                return served
        for failed_name, number in self.failed:
            if failed_name == name and version in (None, str(number)):
                # The reason names files of this machine: it stands in the log, and is not for callers.
                raise Refusal(503, f"model {name!r} version {number} could not be loaded; the server's log says why")
        if versions:
            loaded = ", ".join(map(str, sorted(versions)))
            raise Refusal(404, f"model {name!r} has no version {version!r} loaded; loaded: {loaded}")
        raise Refusal(404, f"there is no model {name!r}; there are: {', '.join(sorted(self.models)) or 'none'}")

    def close(self) -> None:
        """End every model's thread. A run under way is ended: nobody is left to read its answer."""
        served = self.all()
        for one in served:
            one.engine.abandon()
        for one in served:
            one.close()
