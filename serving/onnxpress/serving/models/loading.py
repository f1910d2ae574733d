"""Loading one version: opened, and its queue put in front of it."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from onnxpress.core.errors import BadModel
from onnxpress.core.manifest import Derived
from onnxpress.core.version_folder import CONFIG_FILE, check_files, in_version_folder, read_manifest
from onnxpress.serving import log
from onnxpress.serving.batching.batcher import Batcher
from onnxpress.serving.engine.sessions import Down
from onnxpress.serving.models import triton_config
from onnxpress.serving.models.folder import signature
from onnxpress.serving.models.opening import VersionOpener
from onnxpress.serving.models.served import Incomplete, Served
from onnxpress.serving.models.triton_config import TritonConfig
from onnxpress.serving.settings import ModelSettings
from onnxpress.serving.traffic import Traffic

_SHOWN = 500


class VersionLoader:
    """Loads versions as the settings say."""

    def __init__(self, settings: ModelSettings, opener: VersionOpener, traffic: Traffic) -> None:
        self._settings, self._opener, self._traffic = settings, opener, traffic
        self.incomplete: list[Incomplete] = []
        """versions that answer already, and have yet to be completed"""

    def load(self, name: str, version: int, path: Path, *, at_once: bool = False, apart_first: bool = False) -> Served:
        """Check, load and self-test one version. Raises BadModel or CorruptVersion saying why it cannot be served.

        With `at_once` much external data is used as it lies, and `incomplete` says that there is more to do. With
        `apart_first` it is loaded and tested in a process of its own before.
        """
        started, seen = perf_counter(), signature(path)
        later = self._opener.later(path) if at_once else []
        # Before the runtime reads it: a file that is not the one that was published is not even parsed.
        manifest = self._opener.manifest(path, digests_later=later)
        prepack = self._settings.prepack and not later
        config = triton_config.read(path.parent.parent) if in_version_folder(path) else TritonConfig()
        if apart_first and self._opener.may_try_apart:
            self._try_apart(path)
        labels = triton_config.labels(path.parent.parent, config)
        engine, chosen = self._opener.open(path, prepack, most=config.max_batch)
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
        served = Served(name, version, engine, batcher, path=path, load_seconds=took, signature=seen)
        if later:
            self.incomplete.append(Incomplete(served, path, later))
        return served

    def _try_apart(self, path: Path) -> None:
        """Raises BadModel where the version ends a process that loads and tests it, or takes too long."""
        try:
            engine, _ = self._opener.open(path, self._settings.prepack, apart=True)
        except Down as error:
            raise BadModel(f"its golden samples cannot be run: {error.what}", where=str(path)) from None
        engine.close()

    def complete(self, one: Incomplete) -> None:
        """What loading at once left undone: the digests, and the prepacked session. Takes seconds; runs in a thread.

        Raises CorruptVersion where a file is not the one that was published, BadModel where the session cannot be had.
        """
        manifest = read_manifest(one.path.parent)
        if manifest is not None:
            check_files(one.path.parent, manifest)
        if self._settings.prepack:
            engine, _ = self._opener.open(one.path, prepack=True)
            one.served.engine.adopt(engine)
            if one.served.closed:  # replaced meanwhile: nobody else will end what was just started
                one.served.close()


def _tell_processor(name: str, version: int, derived: Derived) -> None:
    """A line where this processor lacks what the version is quick with."""
    from onnxpress.core import processor

    if missing := processor.lacking(derived.precision, derived.processor):
        log.say(
            f"{name} version {version}: it was measured on a processor with {', '.join(missing)}, which this one has "
            f"not: it may be slower here than version {derived.version}"
        )
