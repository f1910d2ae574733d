"""Changing what is served while it is served: load beside the old, self-test, swap in one step, or leave the old alone.

A version that cannot be loaded is not tried again until its files change. A folder without a manifest, whose files
cannot be checked against anything, is left alone until it has not changed between two looks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from time import perf_counter

from onnxpress.core.errors import CorruptVersion, OnnxpressError
from onnxpress.core.version_folder import CONFIG_FILE
from onnxpress.serving import log
from onnxpress.serving.models.folder import Found, FoundModel, Signature
from onnxpress.serving.models.reasons import told
from onnxpress.serving.models.repository import Repository
from onnxpress.serving.models.served import Served
from onnxpress.serving.models.version_policy import FILE_NAME, Selection
from onnxpress.serving.protocol.refusal import Refusal

_DRAIN_SECONDS = 0.02
_LOOK_SECONDS = 2.0
"""for which one look tries what is not served yet, before another one sees whether what is served has a new version"""
_GONE = FoundModel({}, Selection())


class Reloader:
    """Changes one repository, one change at a time. Used from the event loop's thread only."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._one = asyncio.Lock()
        self._seen: dict[tuple[str, int], Signature] = {}
        """what the last look that came to the model found, loaded or not"""
        self._behind = ""
        """the name behind which the next look goes on, where the last one had no time for all"""
        self._unloaded: set[str] = set()
        """models that callers asked away; polling does not bring them back"""
        self._closing: set[asyncio.Task[None]] = set()

    async def watch(self, seconds: float) -> None:
        """Look at the folder every so many seconds, and follow it, for ever."""
        pause = seconds
        while True:
            await asyncio.sleep(pause)
            pause = seconds
            try:
                await self.look(_LOOK_SECONDS)
                if self._behind:
                    pause = 0.0
            except Exception as error:  # whatever it is, the next look comes
                log.say(f"looking for new versions failed: {type(error).__name__}: {error}")

    async def look(self, seconds: float = math.inf) -> None:
        """Follow the folder once: load what is new or changed, drop what is gone.

        What is served comes first. Of the rest a part is left to the next look where that takes more than so many
        `seconds`: a hundred bad versions must not keep a good one from its callers.
        """
        async with self._one:
            found, skipped = await asyncio.to_thread(self._repository.folder.look)
            for path, why in skipped.items():
                if self._repository.skipped.get(path) != why:
                    log.say(f"skipped {path}: {why}")
            self._repository.skipped = skipped
            served = sorted(self._repository.models)
            rest = sorted(found.keys() - self._repository.models.keys())
            left = set(rest)  # what is not come to keeps what was seen of it
            rest = [name for name in rest if name > self._behind]
            until, self._behind = perf_counter() + seconds, ""
            for name in [*served, *rest]:
                if name not in self._unloaded:
                    try:
                        await self._follow(name, found.get(name, _GONE), settled=False)
                    except Exception as error:  # whatever it is, the other models are followed
                        log.say(f"{name} could not be followed: {told(error)}")
                left.discard(name)
                if name in rest[:-1] and perf_counter() > until:
                    self._behind = name
                    break
            before = self._seen
            self._seen = {
                (name, version): one.signature
                for name, model in found.items()
                for version, one in model.versions.items()
                if name not in left
            }
            self._seen |= {key: signature for key, signature in before.items() if key[0] in left}
            self._repository.failed = {
                key: reason
                for key, reason in self._repository.failed.items()
                if key[1] in found.get(key[0], _GONE).versions or isinstance(found.get(key[0], _GONE).selection, str)
            }

    async def load(self, name: str) -> None:
        """Load the model's latest version, or all, as they are in the folder now. Raises Refusal."""
        async with self._one:
            models, self._repository.skipped = await asyncio.to_thread(self._repository.folder.look)
            found = models.get(name)
            if not found:
                raise Refusal(400, f"there is no model {name!r} in the repository")
            self._unloaded.discard(name)
            for version in found.versions:
                self._repository.failed.pop((name, version), None)
            await self._follow(name, found, settled=True)
            if isinstance(found.selection, str):
                raise Refusal(400, f"a file of {name!r} cannot be used, {FILE_NAME} or {CONFIG_FILE}; the log says why")
            failed = [version for version in found.versions if (name, version) in self._repository.failed]
            if failed:
                raise Refusal(400, f"version {max(failed)} of {name!r} could not be loaded; the server's log says why")

    async def unload(self, name: str) -> None:
        """Serve the model no more; what was accepted is answered. Raises Refusal."""
        async with self._one:
            if name not in self._repository.models:
                raise Refusal(400, f"the model {name!r} is not loaded")
            self._unloaded.add(name)
            self._put(name, {}, {})

    def complete(self, loop: asyncio.AbstractEventLoop) -> None:
        """Finish what loading at once left undone, one version after another. Runs in a thread of its own."""
        for one in self._repository.loader.incomplete:
            served, started = one.served, perf_counter()
            name, version = served.name, served.version
            try:
                self._repository.loader.complete(one)
            except (CorruptVersion, OSError) as error:
                reason = str(error)
                loop.call_soon_threadsafe(self._withdraw, served, reason)
            except OnnxpressError as error:
                log.say(f"{name} version {version} goes on from its file as it lies: {error}")
            else:
                log.say(f"{name} version {version} is complete, {perf_counter() - started:.2f} s after it was ready")

    def _withdraw(self, served: Served, reason: str) -> None:
        """Serve this version no more; it is not what was published."""
        name, version = served.name, served.version
        versions = self._repository.models.get(name, {})
        if versions.get(version) is not served:
            return  # another took its place meanwhile
        self._repository.failed[name, version] = reason
        log.say(f"NOT serving {name} version {version}: {reason}")
        rest = {number: one for number, one in versions.items() if number != version}
        self._put(name, rest, self._repository.labels.get(name, {}))

    async def _follow(self, name: str, found: FoundModel, *, settled: bool) -> None:
        """Bring one model in step with what was found of it."""
        if isinstance(found.selection, str):
            known = found.versions or name in self._repository.models
            if known and self._repository.unusable.get(name) != found.selection:
                log.say(f"leaving {name} as it is: {found.selection}")
            self._repository.unusable[name] = found.selection
            if found.versions and name not in self._repository.models:
                self._repository.failed[name, max(found.versions)] = found.selection
            return
        if self._repository.unusable.pop(name, None) is not None:
            for version in found.versions:  # it was not the version's fault
                self._repository.failed.pop((name, version), None)
        have = self._repository.models.get(name, {})
        new: dict[int, Served] = {}
        for version in sorted(found.versions, reverse=True):
            if not found.selection.wants(version, len(new)):
                continue
            served = have.get(version)
            if served is None or served.signature != found.versions[version].signature:
                served = await self._try(name, version, found.versions[version], settled) or served
            if served is not None:
                new[version] = served
        changed = new != have or found.selection.labels != self._repository.labels.get(name, {})
        if changed and (new or not found.versions):
            self._put(name, new, found.selection.labels)

    async def _try(self, name: str, version: int, found: Found, settled: bool) -> Served | None:
        """The version, loaded and self-tested; None where that fails or is too early. The reason is kept and said."""
        key = (name, version)
        known_bad = key in self._repository.failed and self._seen.get(key, found.signature) == found.signature
        known_bad = known_bad and key not in self._repository.passing
        early = not settled and not found.has_manifest and self._seen.get(key) != found.signature
        if known_bad or early:
            return None
        before = self._repository.failed.get(key)
        served = await asyncio.to_thread(
            self._repository.try_version, name, version, found.path, apart_first=self._repository.cautious
        )
        if served is None and self._repository.failed[key] != before:
            log.say(f"NOT serving {name} version {version}: {self._repository.failed[key]}")
        return served

    def _put(self, name: str, versions: dict[int, Served], labels: Mapping[str, int]) -> None:
        """Swap: requests from now on meet these versions; the old ones answer what they have, and go."""
        old = self._repository.put(name, versions, labels)
        if old and versions and versions[max(versions)] is not old[max(old)]:
            latest = versions[max(versions)]
            latest.note = latest.differs_from(old[max(old)])
            if latest.note:
                log.say(f"{name} version {latest.version} has {latest.note}")
        for version, served in old.items():
            if versions.get(version) is not served:
                log.say(f"no longer serving {name} version {version}{' as it was' if version in versions else ''}")
                task = asyncio.get_running_loop().create_task(_close(served))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        for version, served in versions.items():
            if old.get(version) is not served:
                log.say(f"serving {name} version {version}")


async def _close(served: Served) -> None:
    while served.batcher.busy:
        await asyncio.sleep(_DRAIN_SECONDS)
    await asyncio.to_thread(served.close)
