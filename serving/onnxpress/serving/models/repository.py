"""The models being served: checked, loaded, self-tested, and looked up by name and version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from onnxpress.core.errors import BadModel
from onnxpress.core.version_folder import Located, locate, survey
from onnxpress.serving.engine.threads import available_cpus
from onnxpress.serving.models import version_policy
from onnxpress.serving.models.folder import Folder, Pick, walk
from onnxpress.serving.models.loading import VersionLoader
from onnxpress.serving.models.opening import VersionOpener
from onnxpress.serving.models.reasons import passes, told
from onnxpress.serving.models.served import Served
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.settings import ModelSettings, ProcessSettings
from onnxpress.serving.traffic import Traffic

if TYPE_CHECKING:
    from onnxpress.serving.engine import Engine
    from onnxpress.serving.models.rehearsal import Rehearsal

_BESIDE = 8
"""models that are loaded at the same time, each in a process of its own, where there are few CPUs"""


class Repository:
    """Everything that is served from one path. After `load` a Reloader may put other models in, on the loop."""

    def __init__(
        self,
        path: Path,
        settings: ModelSettings = ModelSettings(),
        processes: ProcessSettings = ProcessSettings(),
        rehearsal: Rehearsal | None = None,
    ) -> None:
        """Nothing is loaded yet. Raises UsageError for a policy of versions that cannot be read.

        With a `rehearsal`, which begins before, no version is loaded in this process that ended another one.
        """
        self._path, self._settings, self._processes = path, settings, processes
        self.traffic = Traffic()
        """of the transports through which these models are asked; see there"""
        self._opener = VersionOpener(settings, processes)
        self.loader = VersionLoader(settings, self._opener, self.traffic)
        self.folder = Folder(path, version_policy.policy(settings.versions), self._picker())
        self.models: dict[str, dict[int, Served]] = {}
        """name → version → what is served; replaced whole, never changed"""
        self.labels: dict[str, Mapping[str, int]] = {}
        """model → label → version"""
        self.failed: dict[tuple[str, int], str] = {}
        """(name, version) → why it is not served"""
        self.passing: set[tuple[str, int]] = set()
        """those of them that may be loaded at another time as they are: the machine was short of something"""
        self.unusable: dict[str, str] = {}
        """models whose own file is wrong, so that nobody can tell which versions are wanted → how"""
        self.skipped: dict[str, str] = {}
        """path in the folder, of what lies there and is no model or version → why"""
        self._rehearsal = rehearsal
        self.ready = False
        """whether `load` is over"""
        self._on_change: list[Callable[[], None]] = []
        self._placing = Lock()

    def _picker(self) -> Pick | None:
        if self._settings.variant == "newest":
            return None
        from onnxpress.serving.models.variants import Variants

        return Variants(self._open_variant).quickest

    def _open_variant(self, path: Path) -> Engine:
        why = self._rehearsal.why_not(path) if self._rehearsal is not None else None
        if why is not None:
            raise BadModel(why, where=str(path))
        return self._opener.engine(path)

    @property
    def cautious(self) -> bool:
        """Whether a version is tried in another process before it is loaded in this one."""
        return self._rehearsal is not None

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
        self.skipped = located.skipped
        if self._processes.isolate and located.models:
            # Beside one another: one that hangs must not keep the others from being loaded. But not all of a hundred at
            # once: each would be so slow that its time is over.
            beside = min(len(located.models), max(_BESIDE, 2 * available_cpus()))
            with ThreadPoolExecutor(beside, thread_name_prefix="load") as threads:
                list(threads.map(lambda name: self._load_model(located, name, placed), located.models))
        else:
            try:
                for name in located.models:
                    self._load_model(located, name, placed)
            finally:
                if self._rehearsal is not None:
                    self._rehearsal.close()
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
                return survey(self._path)
            raise

    def _load(self, name: str, version: int, path: Path) -> Served | None:
        if self._rehearsal is not None and self._rehearsal.why_not(path) is not None:
            # A copy is not quite a process of its own; so one that is has the last word.
            return self.try_version(name, version, path, apart_first=True)
        return self.try_version(name, version, path, at_once=True)

    def try_version(
        self, name: str, version: int, path: Path, *, at_once: bool = False, apart_first: bool = False
    ) -> Served | None:
        """The version, loaded and self-tested. None where that fails, for whatever reason, which `failed` keeps."""
        key = (name, version)
        try:
            served = self.loader.load(name, version, path, at_once=at_once, apart_first=apart_first)
        except Exception as error:
            self.failed[key] = told(error)
            (self.passing.add if passes(error) else self.passing.discard)(key)
            return None
        self.failed.pop(key, None)
        return served

    def _load_model(self, located: Located, name: str, placed: Callable[[], Any]) -> None:
        versions = located.models[name]
        try:
            chosen = self.folder.selected(located, name)
        except BadModel as error:
            self.unusable[name] = self.failed[name, max(versions)] = told(error)
            return
        found = walk(chosen, versions, partial(self._load, name))
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
        # With Triton's first words, which NVIDIA's example clients look for.
        if versions:
            loaded = ", ".join(map(str, sorted(versions)))
            raise Refusal(
                404, f"Request for unknown model: model {name!r} has no version {version!r} loaded; loaded: {loaded}"
            )
        there = ", ".join(sorted(self.models)) or "none"
        raise Refusal(404, f"Request for unknown model: there is no model {name!r}; there are: {there}")

    def close(self) -> None:
        """End every model's thread. A run under way is ended: nobody is left to read its answer."""
        served = self.all()
        for one in served:
            one.engine.abandon()
        for one in served:
            one.close()
