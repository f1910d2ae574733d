"""The models being served: loaded, self-tested, and looked up by name and version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.version_folder import check_files, locate, read_manifest
from onnxpress.serving.batcher import Batcher
from onnxpress.serving.engine import Engine
from onnxpress.serving.protocol.errors import Refusal
from onnxpress.serving.protocol.infer import Codec


class Served:
    """One loaded version: its engine and the queue in front of it."""

    def __init__(self, name: str, version: int, engine: Engine, batcher: Batcher) -> None:
        self.name, self.version, self.engine, self.batcher = name, version, engine, batcher


class Repository:
    """Everything that is served from one path. Loading happens once; then it is only read."""

    def __init__(
        self,
        path: Path,
        *,
        provider: str = "cpu",
        threads: int | None = None,
        all_versions: bool = False,
        require_equivalence: bool = False,
        max_rows: int = 64,
        max_waiting: int = 1024,
    ) -> None:
        self._path, self._provider, self._threads = path, provider, threads
        self._all_versions, self._require_equivalence = all_versions, require_equivalence
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="run")
        self.models: dict[str, dict[int, Served]] = {}
        self.failed: dict[tuple[str, int], str] = {}
        """(name, version) → why it is not served"""
        self.ready = False

    def load(self) -> None:
        """Load the latest version of every model, or all versions; a model that cannot be loaded harms no other.

        Raises BadModel when nothing at all can be served.
        """
        for name, versions in locate(self._path).models.items():
            for version in versions if self._all_versions else [max(versions)]:
                try:
                    served = self._load_one(name, version, versions[version])
                except (OnnxpressError, ValueError) as error:
                    self.failed[name, version] = str(error)
                else:
                    self.models.setdefault(name, {})[version] = served
        if not self.models:
            reasons = "\n  ".join(f"{name} version {version}: {why}" for (name, version), why in self.failed.items())
            raise BadModel(f"no model could be loaded\n  {reasons}", where=str(self._path))
        self.ready = True

    def _load_one(self, name: str, version: int, path: Path) -> Served:
        manifest = read_manifest(path.parent)
        if manifest is not None:
            check_files(path.parent, manifest)  # first: the runtime should not see a file that was tampered with
        engine = Engine.load(path, provider=self._provider, threads=self._threads)
        if self._require_equivalence and not (engine.manifest and engine.manifest.equivalence.equivalent):
            raise BadModel(
                "its equivalence was never measured, and --require-equivalence is set",
                hint="publish it with onnxpress export",
            )
        codec = Codec(name, version, engine.inputs, engine.outputs)
        batcher = Batcher(engine, codec, max_rows=self._max_rows, max_waiting=self._max_waiting, pool=self._pool)
        return Served(name, version, engine, batcher)

    def find(self, name: str, version: str | None) -> Served:
        """The model's latest loaded version, or the one named. Raises Refusal(404), or 503 for one that failed."""
        versions = self.models.get(name)
        if version is None and versions:
            return versions[max(versions)]
        if versions and version is not None and version.isdecimal() and int(version) in versions:
            return versions[int(version)]
        for (failed_name, failed_version), reason in self.failed.items():
            if failed_name == name and version in (None, str(failed_version)):
                raise Refusal(503, f"model {name!r} version {failed_version} could not be loaded: {reason}")
        if versions:
            loaded = ", ".join(map(str, sorted(versions)))
            raise Refusal(404, f"model {name!r} has no version {version!r} loaded; loaded: {loaded}")
        raise Refusal(404, f"there is no model {name!r}; there are: {', '.join(sorted(self.models)) or 'none'}")

    def close(self) -> None:
        """Stop the threads; runs under way are finished first."""
        self._pool.shutdown(wait=True)
