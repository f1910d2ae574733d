"""Threads that nobody waits for: the loop ends while one is at work, and says so."""

from __future__ import annotations

import asyncio
import threading

from onnxpress.serving.transports.loop_threads import LoopThreads


def test_the_loop_ends_before_its_threads_do() -> None:
    go, begun = threading.Event(), threading.Event()
    threads = LoopThreads()

    def work() -> None:
        begun.set()
        go.wait(60)

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(threads)
        assert await asyncio.to_thread(int, "7") == 7
        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(0)
        begun.wait(60)
        task.cancel()

    try:
        asyncio.run(main())
        assert threads.busy
    finally:
        go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("onnxpress"):
            thread.join(60)
    assert not threads.busy
