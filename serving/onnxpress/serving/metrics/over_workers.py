"""One `/metrics` over several workers: whichever is asked asks the others, over sockets in a folder they share.

What a worker counted is kept in a file when it leaves, and each time that it is asked, so that a sum never falls behind
what was once reported: a worker that is killed takes with it only what it counted since.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from onnxpress.core import decoders
from onnxpress.serving import log
from onnxpress.serving.exchange import Exchange, fail
from onnxpress.serving.metrics.collected import families
from onnxpress.serving.metrics.family import Family, merged
from onnxpress.serving.service import Service

_PATIENCE_SECONDS = 1.0
"""for a worker to answer; its last word counts where it does not"""
_DEPARTED, _LOCK, _SOCKET, _LAST = "departed", "lock", ".sock", ".last"


class WorkerMetrics:
    """The workers that share `folder`, as one of them sees them. Used from the event loop's thread only."""

    def __init__(self, folder: Path, service: Service) -> None:
        self._folder, self._service = folder, service
        self._own = str(os.getpid())
        self._server: asyncio.AbstractServer | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Answer the others from now on."""
        path = self._folder / (self._own + _SOCKET)
        try:
            path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._answer, str(path))
        except OSError as error:
            # The folder was tidied away, or its path is too long for a socket: no reason to answer nobody.
            log.say(f"/metrics of worker {self._own} are its own only: {path}: {error}")

    def leave(self) -> None:
        """Answer no more; what was counted stays."""
        with contextlib.suppress(OSError):
            self._report()
        if self._server is not None:
            self._server.close()
        (self._folder / (self._own + _SOCKET)).unlink(missing_ok=True)

    def tell(self, then: Callable[[list[Family]], None], exchange: Exchange) -> None:
        """Call `then` with every metric over all workers, once they have told theirs."""

        async def gather() -> None:
            try:
                then(await self.families())
            except Exception as error:
                fail(exchange, error, "the metrics of all workers")

        task = asyncio.get_running_loop().create_task(gather())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def families(self) -> list[Family]:
        """Every metric over all workers, and over those that are gone; this one's where the folder is not to be had."""
        try:
            return await self._all()
        except (OSError, msgspec.MsgspecError, RuntimeError):  # the last where no thread can be had
            return families(self._service)

    async def _all(self) -> list[Family]:
        others = [path.stem for path in self._folder.glob(f"*{_SOCKET}") if path.stem != self._own]
        answers = await asyncio.gather(*map(self._ask, others))
        found = [_decode(self._report())] + [answer for answer in answers if answer is not None]
        answered = {self._own} | {pid for pid, answer in zip(others, answers, strict=True) if answer is not None}
        # Off the loop: another worker may hold the lock.
        gone = await asyncio.to_thread(self._gone, answered)
        served = {name for families in found for family in families for name in family.samples}
        return merged([*found, _only(gone, served)])

    def _report(self) -> bytes:
        """This worker's metrics, kept in its file as well."""
        content = msgspec.json.encode(families(self._service))
        _write(self._folder / (self._own + _LAST), content)
        return content

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self._report())
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def _ask(self, pid: str) -> list[Family] | None:
        """What the worker counted; None where it does not answer."""
        path = self._folder / (pid + _SOCKET)
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 24)
                try:
                    return _decode(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.MsgspecError):
            if not _alive(pid):
                path.unlink(missing_ok=True)
            return None

    def _gone(self, answered: Collection[str]) -> list[Family]:
        """The counters of those that did not answer; what dead ones left goes into one file, so that files stay few."""
        with _locked(self._folder / _LOCK):
            departed = self._folder / _DEPARTED
            dead = [_decode(departed.read_bytes())] if departed.exists() else []
            silent = []
            for path in self._folder.glob(f"*{_LAST}"):
                if path.stem in answered:
                    continue
                counters = [family for family in _decode(path.read_bytes()) if family.kind != "gauge"]
                if _alive(path.stem):
                    silent.append(counters)
                    continue
                dead.append(counters)
                path.unlink()
            kept = merged(dead)
            _write(departed, msgspec.json.encode(kept))
        return merged([kept, *silent])


def _only(gone: list[Family], served: Collection[str]) -> list[Family]:
    """Without the versions that nobody serves any more: their counters end, as those of a single process do."""
    for family in gone:
        family.samples = {
            name: value for name, value in family.samples.items() if name in served or "version=" not in name
        }
        family.fine = {
            labels: counts for labels, counts in family.fine.items() if f"{family.name}_count{{{labels}}}" in served
        }
        family.exemplars = {}
    return gone


def _decode(content: bytes) -> list[Family]:
    found: list[Family] = decoders.of_json(list[Family]).decode(content)
    return found


def _write(path: Path, content: bytes) -> None:
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's process has its number now
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl  # where workers are, this is

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
