"""Loading one version: its files checked, its session opened, its golden samples replayed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import perf_counter

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import Derived
from onnxpress.core.version_folder import CONFIG_FILE, check_files, in_version_folder, read_manifest
from onnxpress.serving import log
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine import Engine, external_data
from onnxpress.serving.engine.sessions import Down, OpenSession
from onnxpress.serving.engine.threads import available_cpus
from onnxpress.serving.models import profiles, triton_config
from onnxpress.serving.models.folder import signature
from onnxpress.serving.models.served import Incomplete, Served
from onnxpress.serving.models.triton_config import TritonConfig
from onnxpress.serving.settings import ModelSettings, ProcessSettings
from onnxpress.serving.traffic import Traffic

_SHOWN = 500
_MUCH = 64 << 20
"""bytes of external data whose digest and prepacking would hold up the first answer by more than a tenth of a second"""


class VersionLoader:
    """Loads versions as the settings say."""

    def __init__(self, settings: ModelSettings, processes: ProcessSettings, traffic: Traffic) -> None:
        self._settings, self._processes, self._traffic = settings, processes, traffic
        self.incomplete: list[Incomplete] = []
        """versions that answer already, and have yet to be completed"""

    def load(self, name: str, version: int, path: Path, *, at_once: bool = False, apart_first: bool = False) -> Served:
        """Check, load and self-test one version. Raises BadModel or CorruptVersion saying why it cannot be served.

        With `at_once` much external data is used as it lies, and `incomplete` says that there is more to do. With
        `apart_first` it is loaded and tested in a process of its own before.
        """
        started, seen = perf_counter(), signature(path)
        later = self._later(path) if at_once else []
        # Before the runtime reads it: a file that is not the one that was published is not even parsed.
        manifest = read_manifest(path.parent)
        if manifest is not None:
            check_files(path.parent, manifest, digests_later=later)
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
        prepack = self._settings.prepack and not later
        config = triton_config.read(path.parent.parent) if in_version_folder(path) else TritonConfig()
        if apart_first and self.may_try_apart:
            self._try_apart(path)
        labels = triton_config.labels(path.parent.parent, config)
        engine, chosen = self._engine(path, prepack, most=config.max_batch)
        try:
            batcher = Batcher(
                engine,
                self._traffic,
                name=name,
                version=version,
                max_rows=chosen.max_rows,
                max_waiting=config.max_waiting or self._settings.max_waiting,
                instances=self._settings.instances,
                labels=labels,
            )
            if self._settings.provider != "cpu" and batcher.batches:
                from onnxpress.serving.engine import padding, sample_inputs

                # Not every size, which would take minutes, but no caller meets a cold device.
                sample_inputs.warm_up(engine, path, padding.sizes(min(chosen.max_rows, padding.MAX_ROWS)))
        except Exception:
            engine.close()
            raise
        if config.unused:
            log.say(f"{name}: {CONFIG_FILE}: not used here: {', '.join(config.unused)[:_SHOWN]}")
        if manifest is not None and manifest.derived_from is not None:
            _tell_processor(name, version, manifest.derived_from)
        took = perf_counter() - started
        served = Served(name, version, engine, batcher, load_seconds=took, signature=seen)
        if later:
            self.incomplete.append(Incomplete(served, path, later))
        return served

    @property
    def may_try_apart(self) -> bool:
        """Whether a version that ends its process would end the server, and another process can find that out."""
        return not self._processes.isolate and self._settings.provider == "cpu"

    def _try_apart(self, path: Path) -> None:
        """Raises BadModel where the version ends a process that loads and tests it, or takes too long."""
        try:
            engine, _ = self._engine(path, self._settings.prepack, apart=True)
        except Down as error:
            raise BadModel(f"its golden samples cannot be run: {error.what}", where=str(path)) from None
        engine.close()

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

    def engine(self, path: Path) -> Engine:
        """A version loaded and self-tested as it would be served. Raises BadModel or CorruptVersion."""
        return self._engine(path, self._settings.prepack)[0]

    def _engine(
        self, path: Path, prepack: bool, *, most: int | None = None, apart: bool = False
    ) -> tuple[Engine, profiles.Chosen]:
        """`most`: rows that run together, by Triton's configuration."""
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


def _tell_processor(name: str, version: int, derived: Derived) -> None:
    """A line where this processor lacks what the version is quick with."""
    from onnxpress.core import processor

    if missing := processor.lacking(derived.precision, derived.processor):
        log.say(
            f"{name} version {version}: it was measured on a processor with {', '.join(missing)}, which this one has "
            f"not: it may be slower here than version {derived.version}"
        )
