"""`--variant auto`: of a version and those derived from it in fewer bits, the quickest that passes its self-test here.

Which one that is depends on the processor, so it is measured where it is served, when the model is first loaded and
whenever a version of it has changed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

from onnxpress.core import golden
from onnxpress.core.arrays import Array
from onnxpress.core.errors import OnnxpressError
from onnxpress.core.manifest import Manifest
from onnxpress.core.version_folder import check_files, read_manifest
from onnxpress.serving import log
from onnxpress.serving.engine import Engine

_SECONDS = 0.25
"""for each variant that is timed"""
_LEAST = 5
"""runs of each"""
Open = Callable[[Path], Engine]


class Variants:
    """Chooses for every model, and remembers until its files change."""

    def __init__(self, open_engine: Open) -> None:
        """`open_engine` loads and self-tests a version as it would be served."""
        self._open = open_engine
        self._chosen: dict[frozenset[tuple[Path, int, int]], int | None] = {}

    def quickest(self, name: str, versions: Mapping[int, Path]) -> int | None:
        """The version to serve: the quickest of the latest one's family; None where there is nothing to choose."""
        members = family(versions)
        if len(members) < 2:
            return None
        key = frozenset((versions[one], *_stamp(versions[one])) for one in members)
        if key not in self._chosen:
            self._chosen[key] = self._measured(name, {one: versions[one] for one in members})
        return self._chosen[key]

    def _measured(self, name: str, members: Mapping[int, Path]) -> int | None:
        engines: dict[int, Engine] = {}
        try:
            for version, path in members.items():
                try:
                    manifest = read_manifest(path.parent)
                    if manifest is not None:
                        check_files(path.parent, manifest)
                    engines[version] = self._open(path)
                except OnnxpressError as error:
                    log.say(f"{name} version {version} is no variant to choose here: {error}")
            if len(engines) < 2:
                return next(iter(engines), None)
            feeds = golden.read(members[min(engines)].parent / golden.FILE_NAME)[0].inputs
            seconds = timed(engines, feeds)
        except OnnxpressError as error:
            log.say(f"{name}: its variants cannot be timed: {error}")
            return None
        finally:
            for engine in engines.values():
                engine.close()
        best = min(seconds, key=lambda version: seconds[version])
        shown = ", ".join(f"version {version} {1e3 * took:.3g} ms" for version, took in seconds.items())
        log.say(f"{name}: version {best} is the quickest variant here ({shown})")
        return best


def family(versions: Mapping[int, Path]) -> list[int]:
    """The latest version's parent, or itself, and what is derived from that one; ascending.

    >>> family({})
    []
    """
    derived = {}
    for version, path in versions.items():
        manifest = _manifest(path)
        if manifest is not None and manifest.derived_from is not None:
            derived[version] = manifest.derived_from
    if not versions:
        return []
    latest = max(versions)
    first = derived[latest].version if latest in derived else latest
    if first not in versions:
        return [latest]
    manifest = _manifest(versions[first])
    known = manifest.files.get(versions[first].name) if manifest else None
    made = [
        version
        for version, of in derived.items()
        # Of the very file: a version of that number may have been replaced by another.
        if of.version == first and known is not None and of.sha256 == known.sha256
    ]
    return sorted({first, *made}) if latest == first or latest in made else [latest]


def _manifest(path: Path) -> Manifest | None:
    """None where it cannot be read: loading the version tells why."""
    try:
        return read_manifest(path.parent)
    except OnnxpressError:
        return None


def timed(engines: Mapping[int, Engine], feeds: Mapping[str, Array]) -> dict[int, float]:
    """Version → seconds of a run, all in turns; the quickest tenth counts, as other work only makes runs longer."""
    took: dict[int, list[float]] = {version: [] for version in engines}
    for engine in engines.values():
        engine.run(feeds)
    ends = perf_counter() + _SECONDS * len(engines)
    while perf_counter() < ends or len(next(iter(took.values()))) < _LEAST:
        for version, engine in engines.items():
            started = perf_counter()
            engine.run(feeds)
            took[version].append(perf_counter() - started)
    return {version: statistics.quantiles(runs, n=10, method="inclusive")[0] for version, runs in took.items()}


def _stamp(model: Path) -> tuple[int, int]:
    stat = model.stat()
    return stat.st_size, stat.st_mtime_ns
