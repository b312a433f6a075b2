"""What arrived, judged, hashed and written by one thread, while the next pictures are asked for.

These take about as long as asking does on a fast connection, and mostly without the interpreter.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dcgan_assets.sources.web.content import Arrival, Content, examined
from dcgan_assets.sources.web.download.ledger import Job, Ledger
from dcgan_assets.sources.web.wanted import Picture


class Kept(NamedTuple):
    """A picture that is what it should be, and where it lies; None when it was removed."""

    picture: Picture
    place: int | None


class _Task(NamedTuple):
    job: Job
    data: bytes
    done: asyncio.Future[Kept]


class Keeper:
    """Judges and writes pictures; an asynchronous context, which ends when all is written.

    Waking a thread costs as much as a picture does, so whatever arrived while it was busy is
    handed over together.

    Args:
        ledger: Says what must not be kept.
        content: Gets the bytes; used by nobody else until the context ends.
    """

    def __init__(self, ledger: Ledger, content: Content) -> None:
        self._ledger = ledger
        self._content = content
        self._waiting: list[_Task] = []
        self._busy = False

    async def __aenter__(self) -> Keeper:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "keeper")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._waiting.clear()
        self._thread.shutdown()

    async def keep(self, job: Job, arrival: Arrival) -> Kept:
        """Judge what arrived, and write it unless it was removed.

        Raises:
            RejectedError: It is not wanted; see `judge`.
            OSError: It cannot be written.
        """
        task = _Task(job, arrival.read(), self._loop.create_future())
        self._waiting.append(task)
        self._hand_over()
        return await task.done

    def _hand_over(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            tasks, self._waiting = self._waiting, []
            batch = self._loop.run_in_executor(self._thread, self._keep_all, tasks)
            batch.add_done_callback(self._tell)

    def _tell(self, batch: asyncio.Future[list[tuple[_Task, Kept | Exception]]]) -> None:
        self._busy = False
        for task, result in batch.result():
            if task.done.done():  # whoever waited was cancelled
                continue
            if isinstance(result, Exception):
                task.done.set_exception(result)
            else:
                task.done.set_result(result)
        self._hand_over()

    def _keep_all(self, tasks: list[_Task]) -> list[tuple[_Task, Kept | Exception]]:
        results: list[tuple[_Task, Kept | Exception]] = []
        for task in tasks:
            try:
                results.append((task, self._keep(task)))
            except Exception as error:  # raised again where it is waited for
                results.append((task, error))
        return results

    def _keep(self, task: _Task) -> Kept:
        picture = examined(task.data, task.job.next)
        removed = self._ledger.removed(task.job, picture.sha256)
        return Kept(picture, None if removed else self._content.append(task.data))
