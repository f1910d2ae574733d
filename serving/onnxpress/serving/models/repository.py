"""The models being served: checked, loaded, self-tested, and looked up by name and version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.manifest import FILE_NAME as MANIFEST
from onnxpress.core.version_folder import MODEL_FILE, Located, check_files, locate, read_manifest
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Engine, external_data
from onnxpress.serving.engine.sessions import OpenSession
from onnxpress.serving.engine.threads import available_cpus
from onnxpress.serving.models import profiles, version_policy
from onnxpress.serving.models.version_policy import Selection
from onnxpress.serving.protocol.refusal import Refusal
from onnxpress.serving.settings import ModelSettings, ProcessSettings
from onnxpress.serving.traffic import Traffic

_MUCH = 64 << 20
"""bytes of external data whose digest and prepacking would hold up the first answer by more than a tenth of a second"""
Signature = tuple[tuple[str, int, int], ...]
"""name, size and time of change of every file of a version: what tells whether it was changed"""


@dataclass(frozen=True)
class Found:
    """A version as it lies in the folder."""

    path: Path
    signature: Signature
    has_manifest: bool


@dataclass(frozen=True)
class FoundModel:
    """A model's versions as they lie in the folder, and which of them are wanted, or why that cannot be told."""

    versions: dict[int, Found]
    selection: Selection | str


class Served:
    """One loaded version: its engine and the queue in front of it."""

    def __init__(
        self, name: str, version: int, engine: Engine, batcher: Batcher, *, load_seconds: float, signature: Signature
    ) -> None:
        self.name, self.version, self.engine, self.batcher = name, version, engine, batcher
        self.load_seconds, self.signature = load_seconds, signature

        self.closed = False

    def close(self) -> None:
        """End its thread and its process; a run under way is finished first."""
        self.closed = True
        self.batcher.close()
        self.engine.close()


@dataclass(frozen=True)
class Incomplete:
    """A version that answers from external data as it lies: its model file, and those whose digests were put off."""

    served: Served
    path: Path
    later: list[str]


class Repository:
    """Everything that is served from one path. After `load` a Reloader may put other models in, on the loop."""

    def __init__(
        self, path: Path, settings: ModelSettings = ModelSettings(), processes: ProcessSettings = ProcessSettings()
    ) -> None:
        """Nothing is loaded yet. Raises UsageError for a policy of versions that cannot be read."""
        self._path, self._settings, self._processes = path, settings, processes
        self._selection = version_policy.policy(settings.versions)
        self.traffic = Traffic()
        """of the transports through which these models are asked; see there"""
        self.models: dict[str, dict[int, Served]] = {}
        """name → version → what is served; replaced whole, never changed"""
        self.incomplete: list[Incomplete] = []
        """versions that answer already, and have yet to be completed"""
        self.labels: dict[str, Mapping[str, int]] = {}
        """model → label → version"""
        self.failed: dict[tuple[str, int], str] = {}
        """(name, version) → why it is not served"""
        self.ready = False
        self._on_change: list[Callable[[], None]] = []

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

    def load(self) -> None:
        """Load the chosen versions of every model; a model that cannot be loaded harms no other.

        Where the latest version cannot be loaded the one before it is, so that a bad publication does not take a model
        away; `failed` says so. Raises BadModel when nothing at all can be served.
        """
        located = locate(self._path)
        if not self._processes.isolate:
            for name in located.models:
                self._load_model(located, name)
        else:
            # Beside one another: one that hangs must not keep the others from being loaded.
            with ThreadPoolExecutor(len(located.models), thread_name_prefix="load") as threads:
                list(threads.map(lambda name: self._load_model(located, name), located.models))
        if not self.models:
            reasons = "\n  ".join(f"{name} version {version}: {why}" for (name, version), why in self.failed.items())
            raise BadModel(f"no model could be loaded\n  {reasons}", where=str(self._path))
        self.ready = True

    def _load_model(self, located: Located, name: str) -> None:
        versions = located.models[name]
        try:
            chosen = self._selected(located, name)
        except BadModel as error:
            self.failed[name, max(versions)] = str(error)
            return
        found: dict[int, Served] = {}
        for version in sorted(versions, reverse=True):
            if chosen.wants(version, len(found)):
                try:
                    found[version] = self.load_version(name, version, versions[version], at_once=True)
                except (OnnxpressError, OSError, ValueError) as error:
                    self.failed[name, version] = str(error)
        if found:
            self.models[name], self.labels[name] = found, chosen.labels

    def look(self) -> dict[str, FoundModel]:
        """What lies in the folder now. Nothing where nothing is."""
        try:
            located = locate(self._path)
        except OnnxpressError:
            return {}
        found: dict[str, FoundModel] = {}
        for name, versions in located.models.items():
            chosen: Selection | str
            try:
                chosen = self._selected(located, name)
            except BadModel as error:
                chosen = str(error)
            model = FoundModel({}, chosen)
            for version, path in versions.items():
                try:
                    one = Found(path, _signature(path), (path.parent / MANIFEST).is_file())
                except OSError:
                    continue  # it went away meanwhile
                model.versions[version] = one
            if model.versions:
                found[name] = model
        return found

    def _selected(self, located: Located, name: str) -> Selection:
        """Which versions of the model are wanted. Raises BadModel where its own file is wrong."""
        if located.form in ("file", "version"):
            return self._selection
        any_version = next(iter(located.models[name].values()))
        return version_policy.read(any_version.parent.parent, self._selection)

    def load_version(self, name: str, version: int, path: Path, *, at_once: bool = False) -> Served:
        """Check, load and self-test one version. Raises BadModel or CorruptVersion saying why it cannot be served.

        With `at_once` much external data is used as it lies, and `incomplete` says that there is more to do.
        """
        started, signature = perf_counter(), _signature(path)
        later = self._later(path) if at_once else []
        # Before the runtime reads it: a file that is not the one that was published is not even parsed.
        manifest = read_manifest(path.parent)
        if manifest is not None:
            check_files(path.parent, manifest, digests_later=later)
        if manifest is not None and not manifest.equivalence.equivalent:
            reason = manifest.equivalence.accepted
            if not reason:
                raise BadModel("its export was refused: it does not say what its original says", where=str(path))
            if self._settings.require_equivalence:
                raise BadModel(
                    f"its export was refused and published knowingly ({reason}), and --require-equivalence is set",
                    where=str(path),
                    hint="serve a version that was measured equivalent",
                )
        elif self._settings.require_equivalence and manifest is None:
            raise BadModel(
                "its equivalence was never measured, and --require-equivalence is set",
                where=str(path),
                hint="publish it with onnxpress export",
            )
        prepack = self._settings.prepack and not later
        engine, chosen = self._engine(path, prepack)
        batcher = Batcher(
            engine,
            self.traffic,
            name=name,
            version=version,
            max_rows=chosen.max_rows,
            max_waiting=self._settings.max_waiting,
        )
        if self._settings.provider != "cpu" and batcher.batches:
            from onnxpress.serving.engine import padding, sample_inputs

            # Not every size, which would take minutes, but no caller meets a cold device.
            sample_inputs.warm_up(engine, path, padding.sizes(min(chosen.max_rows, padding.MAX_ROWS)))
        took = perf_counter() - started
        served = Served(name, version, engine, batcher, load_seconds=took, signature=signature)
        if later:
            self.incomplete.append(Incomplete(served, path, later))
        return served

    def _later(self, path: Path) -> list[str]:
        """The version's external data, where it is so much that nobody should wait for it."""
        files = external_data.check(path) if self._settings.provider == "cpu" else []
        total = sum(file.stat().st_size for file in files)
        return [file.relative_to(path.parent).as_posix() for file in files] if total >= _MUCH else []

    def complete(self, one: Incomplete) -> None:
        """What loading at once left undone: the digests, and the prepacked session. Takes seconds; runs in a thread.

        Raises CorruptVersion where a file is not the one that was published, BadModel where the session cannot be had.
        """
        manifest = read_manifest(one.path.parent)
        if manifest is not None:
            check_files(one.path.parent, manifest)
        if self._settings.prepack:
            engine, _ = self._engine(one.path, prepack=True)
            one.served.engine.adopt(engine)
            if one.served.closed:  # replaced meanwhile: nobody else will end what was just started
                one.served.close()

    def _engine(self, path: Path, prepack: bool) -> tuple[Engine, profiles.Chosen]:
        chosen = profiles.choose(
            path,
            provider=self._settings.provider,
            threads=self._settings.threads,
            share=max(1, available_cpus() // self._processes.workers),
            max_rows=self._settings.max_batch,
        )
        open_session: OpenSession | None = None
        if self._processes.isolate:
            from onnxpress.serving.isolation.session import IsolatedSession

            open_session = partial(IsolatedSession, limits=self._processes)
        engine = Engine.load(
            path,
            provider=self._settings.provider,
            settings=chosen.settings,
            threads=chosen.threads,
            prepack=prepack,
            open_session=open_session,
            # Only what was named at the start: neither a manifest nor a caller can load a library.
            custom_ops=[str(library) for library in self._settings.custom_ops],
        )
        engine.run_limit = self._processes.run_seconds
        trapping = engine.findings.trapping
        if trapping and not self._processes.isolate:
            engine.close()
            raise BadModel(
                f"values of a caller could end the server: {trapping[0]} divides integers by integers that callers "
                "choose, and the processor traps at the smallest one divided by -1",
                where=str(path),
                hint="serve it with --isolate, or divide by Where(b == -1, 1, b) and negate there",
            )
        return engine, chosen

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
        for versions in self.models.values():
            for served in versions.values():
                served.engine.end_long_run(0.0)
                served.close()


def _signature(model: Path) -> Signature:
    """Of every file beside a version's model.onnx, or of a lone .onnx file."""
    files = [path for path in model.parent.rglob("*") if path.is_file()] if model.name == MODEL_FILE else [model]
    profile = profiles.path_of(model)
    if profile.is_file():
        files.append(profile)  # what a new one says is wanted at the next look
    stats = [
        (path.name if path == profile else path.relative_to(model.parent).as_posix(), path.stat())
        for path in sorted(files)
    ]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
