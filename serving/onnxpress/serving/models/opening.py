"""Opening one version: what its manifest says is checked, its session is opened, its golden samples are replayed.

Nothing here waits for callers, and nothing imports the event loop: a copy of a server that begins opens versions so.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import Manifest
from onnxpress.core.version_folder import check_files, read_manifest
from onnxpress.serving.engine import Engine, external_data
from onnxpress.serving.engine.sessions import OpenSession
from onnxpress.serving.engine.threads import available_cpus
from onnxpress.serving.models import profiles
from onnxpress.serving.settings import ModelSettings, ProcessSettings

_MUCH = 64 << 20
"""bytes of external data whose digest and prepacking would hold up the first answer by more than a tenth of a second"""


class VersionOpener:
    """Opens versions as the settings say."""

    def __init__(self, settings: ModelSettings, processes: ProcessSettings) -> None:
        self._settings, self._processes = settings, processes

    @property
    def may_try_apart(self) -> bool:
        """Whether a version that ends its process would end the server, and another process can find that out."""
        return not self._processes.isolate and self._settings.provider == "cpu"

    def manifest(self, path: Path, digests_later: Collection[str] = ()) -> Manifest | None:
        """The manifest of a version that may be served, its files checked against it; None where it has none.

        Raises BadModel for a version that the settings do not allow, CorruptVersion where a file is not the one that
        was published. The digests of `digests_later` are not looked at.
        """
        manifest = read_manifest(path.parent)
        if manifest is not None:
            check_files(path.parent, manifest, digests_later=digests_later)
        if manifest is not None and not manifest.equivalence.equivalent:
            reason = manifest.equivalence.accepted
            if not reason:
                raise BadModel("its export was refused: it does not say what its original says", where=str(path))
            if self._settings.require_equivalence and manifest.derived_from is not None:
                raise BadModel(
                    f"it is derived, {manifest.derived_from.told}, and --require-equivalence is set",
                    where=str(path),
                    hint=f"serve version {manifest.derived_from.version}, which it was made of",
                )
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
        return manifest

    def later(self, path: Path) -> list[str]:
        """The version's external data, where it is so much that nobody should wait for its digests and prepacking."""
        files = external_data.check(path) if self._settings.provider == "cpu" else []
        total = sum(file.stat().st_size for file in files)
        return [file.relative_to(path.parent).as_posix() for file in files] if total >= _MUCH else []

    def open_at_once(self, path: Path) -> Engine:
        """The engine of a version that may be served, loaded as a start does. Raises BadModel or CorruptVersion."""
        later = self.later(path)
        self.manifest(path, later)
        return self.open(path, self._settings.prepack and not later)[0]

    def engine(self, path: Path) -> Engine:
        """A version loaded and self-tested as it would be served. Raises BadModel or CorruptVersion."""
        return self.open(path, self._settings.prepack)[0]

    def open(
        self, path: Path, prepack: bool, *, most: int | None = None, apart: bool = False
    ) -> tuple[Engine, profiles.Chosen]:
        """The same, and how it is to be run.

        `most`: rows that run together, by Triton's configuration. With `apart` it is opened in a process of its own.
        """
        chosen = profiles.choose(
            path,
            provider=self._settings.provider,
            threads=self._settings.threads,
            share=max(1, available_cpus() // self._processes.workers),
            max_rows=self._settings.max_batch or most,
        )
        open_session: OpenSession | None = None
        if self._processes.isolate or apart:
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
