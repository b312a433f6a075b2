"""Worker processes that read pictures: bytes in, thumbnails out, in the order asked for.

Decoders are where bad input does its worst, so they run in processes of their own, with bounded
memory and time. A picture that kills its process costs one row, not the run. The processes are
started once and serve every shard that this process works on; they are fresh interpreters, not
forks, and import nothing but what decoding needs.
"""

from __future__ import annotations

import atexit
import hashlib
import mmap
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from dcgan_assets.sources.decode import MAX_PIXELS, Pixels, Refused, decode, thumbnails
from dcgan_assets.sources.items import Location, UnreadableError
from dcgan_models.errors import UserError

# The decoders' own libraries and mapped files come on top, some 0.2 GiB.
WORKER_DATA_BYTES = 5 << 28
BATCH = 64
# A batch takes some 15 ms. A picture of 50 million pixels takes seconds.
BATCH_SECONDS = 120.0
# So many pictures may be read ahead of the one that is waited for.
WINDOW = 32 * BATCH
QUEUED = 3
MAX_DEATHS_IN_A_ROW = 8
_POLL_SECONDS = 0.5
_KEPT_BYTES = 1 << 27


class Reading(NamedTuple):
    """What became of one location.

    Attributes:
        reason: Why there are no pixels; None where there are.
        source_sha256: Of the bytes; None when they were not read.
        pixels_sha256: Of the largest thumbnail; None when refused.
        width, height: Of the picture as shown, where known.
        converted: What decoding changed, as `Decoded.converted`.
    """

    reason: str | None
    source_sha256: str | None = None
    pixels_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    converted: str | None = None


class Readings(NamedTuple):
    """What became of some locations, in their order.

    Attributes:
        readings: One for each location.
        pixels: For each size uint8 (n_kept, size, size, 3), in the order of the sizes.
    """

    readings: list[Reading]
    pixels: list[Pixels]


class StoppedError(Exception):
    """Reading ended early, as it was asked to."""


class Recipe(NamedTuple):
    """What is made of every picture: thumbnails of these sizes, unless a side is too short."""

    sizes: tuple[int, ...]
    min_side: int

    @property
    def picture_bytes(self) -> int:
        """Of all thumbnails of a picture."""
        return sum(size * size * 3 for size in self.sizes)


def read_pictures(
    locations: Sequence[Location],
    recipe: Recipe,
    workers: int,
    should_stop: Callable[[], bool] = lambda: False,
    batch_seconds: float = BATCH_SECONDS,
) -> Generator[Readings, None, None]:
    """Read pictures with worker processes.

    The memory held is bounded: at most `WINDOW` pictures are read ahead of those yielded.

    Args:
        locations: Where the pictures lie.
        recipe: What to make of each.
        workers: Processes.
        should_stop: Asked twice a second at least.
        batch_seconds: After this long a process that does not answer is killed.

    Yields:
        Batches in the order of the locations, which together are all of them.

    Raises:
        StoppedError: `should_stop` said so.
        UserError: A source as a whole cannot be read, or processes die again and again.
    """
    with _pool_lock:
        run = _Run(locations, recipe, batch_seconds)
        try:
            while run.expected < len(locations):
                if should_stop():
                    raise StoppedError
                run.hire(workers)
                run.hand_out()
                run.collect()
                while batch := run.done.pop(run.expected, None):
                    run.expected += len(batch.readings)
                    yield batch
        finally:
            # Whoever is still at work was abandoned; its answers would confuse the next run.
            for worker in [worker for worker in _pool if worker.tasks]:
                worker.dismiss()


def close_workers() -> None:
    """End the worker processes. They end by themselves when this process does."""
    for worker in list(_pool):
        worker.dismiss()


class _Task(NamedTuple):
    """The locations from `start` to `stop`."""

    start: int
    stop: int


@dataclass(eq=False)
class _Worker:
    """A process, our end of the line to it, and the tasks it has, the first being at work.

    Pixels come back through memory that both sides have mapped, one part for each task that may
    be under way: through the line they would be copied four times.
    """

    process: subprocess.Popen[bytes]
    line: Connection[Any, Any]
    space: mmap.mmap
    picture_bytes: int
    free: list[int]
    tasks: deque[tuple[_Task, int]] = field(default_factory=deque)
    ready: bool = False
    since: float = field(default_factory=time.monotonic)

    @classmethod
    def hire(cls, picture_bytes: int) -> _Worker:
        ours, theirs = socket.socketpair()
        shared = _shared_memory(QUEUED * BATCH * picture_bytes)
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)  # noqa: PTH109
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(MAX_PIXELS),
            # Or glibc gives every picture's memory back, and clears it again for the next one:
            # a quarter of the time.
            "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES // 4),
            "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
        }
        descriptors = [theirs.fileno(), shared.fileno()]
        script = f"from dcgan_assets.sources.readers import serve; serve(*{descriptors})"
        with theirs, shared:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
            space = mmap.mmap(shared.fileno(), 0)
        worker = cls(process, Connection(ours.detach()), space, picture_bytes, list(range(QUEUED)))
        _pool.append(worker)
        return worker

    def give(self, task: _Task, locations: Sequence[Location], recipe: Recipe) -> None:
        if not self.tasks:
            self.since = time.monotonic()
        part = self.free.pop()
        self.tasks.append((task, part))
        # A process that has just died is noticed when its answer is waited for.
        with suppress(OSError):
            self.line.send((locations, recipe, part))

    def finish(self, readings: list[Reading], recipe: Recipe) -> tuple[_Task, Readings]:
        """Take the pixels of the task that was at work out of the shared memory."""
        task, part = self.tasks.popleft()
        kept = sum(reading.reason is None for reading in readings)
        pixels = [places[:kept].copy() for places in _places(self.space, recipe, part)]
        self.free.append(part)
        return task, Readings(readings, pixels)

    def dismiss(self) -> int:
        """End the process at once; returns its exit status, as `Popen.returncode`."""
        _pool.remove(self)
        self.line.close()
        self.process.kill()
        return self.process.wait()


_pool: list[_Worker] = []
_pool_lock = threading.Lock()
atexit.register(close_workers)
if hasattr(os, "register_at_fork"):
    # A forked child must neither use nor end its parent's workers.
    os.register_at_fork(after_in_child=_pool.clear)


class _Run:
    """One call of `read_pictures`: what is to do, what is done, what is waited for."""

    def __init__(self, locations: Sequence[Location], recipe: Recipe, batch_seconds: float) -> None:
        self.locations = locations
        self.recipe = recipe
        self.batch_seconds = batch_seconds
        starts = range(0, len(locations), BATCH)
        self.to_do = deque(_Task(start, min(start + BATCH, len(locations))) for start in starts)
        self.done: dict[int, Readings] = {}
        self.expected = 0
        self.deaths_in_a_row = 0

    def hire(self, workers: int) -> None:
        """Bring the pool to the number asked for."""
        fitting = [one for one in _pool if one.picture_bytes == self.recipe.picture_bytes]
        for worker in list(_pool):
            if worker not in fitting[:workers]:
                worker.dismiss()
        while len(_pool) < workers:
            _Worker.hire(self.recipe.picture_bytes)

    def hand_out(self) -> None:
        """Give every process a task, then a second one that waits for the first."""
        for depth in range(QUEUED):
            for worker in _pool:
                if len(worker.tasks) > depth:
                    continue
                if not self.to_do or self.to_do[0].start >= self.expected + WINDOW:
                    return
                task = self.to_do.popleft()
                worker.give(task, self.locations[task.start : task.stop], self.recipe)

    def collect(self) -> None:
        """Take what has been answered, and see to the processes that cannot answer any more."""
        lines = {worker.line: worker for worker in _pool}
        for line in wait(list(lines), _POLL_SECONDS):
            worker = lines[line]  # type: ignore[index]
            try:
                answer = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker, None)
            else:
                self._take(worker, answer)
        for worker in list(_pool):
            limit = self.batch_seconds if worker.ready else BATCH_SECONDS
            if worker.tasks and time.monotonic() > worker.since + limit:
                self._bury(worker, f"not read within {limit:g} s")

    def _take(self, worker: _Worker, answer: object) -> None:
        worker.since = time.monotonic()
        match answer:
            case list(readings):
                task, self.done[task.start] = worker.finish(readings, self.recipe)
                self.deaths_in_a_row = 0
            case UserError():
                raise answer
            case str(trace):
                raise RuntimeError(f"a reading process failed:\n{trace}")
            case None:
                worker.ready = True

    def _bury(self, worker: _Worker, overdue: str | None) -> None:
        """A process died, or is ended because it is overdue: find out which picture did it."""
        if overdue is None:
            # Its line is closed a little before it has ended and its status is known.
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(_POLL_SECONDS)
        status = worker.dismiss()
        if not worker.ready:
            raise UserError(f"a process for reading pictures did not start (status {status})")
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row > MAX_DEATHS_IN_A_ROW:
            raise UserError(
                f"the processes that read pictures die again and again ({_cause(status)}); "
                "is there too little memory?"
            )
        if not worker.tasks:
            return
        guilty, *waiting = (task for task, _ in worker.tasks)
        # Rows are waited for in order, so what was taken goes back to the front.
        self.to_do.extendleft(reversed(waiting))
        if guilty.stop - guilty.start == 1:
            reason = overdue or f"its reading process died: {_cause(status)}"
            nothing = [np.empty((0, size, size, 3), np.uint8) for size in self.recipe.sizes]
            self.done[guilty.start] = Readings([Reading(reason)], nothing)
        else:
            singles = [_Task(i, i + 1) for i in range(guilty.start, guilty.stop)]
            self.to_do.extendleft(reversed(singles))


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _shared_memory(size: int) -> BinaryIO:
    """A file of this size, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create("thumbnails"), "r+b")
    else:
        file = tempfile.TemporaryFile()  # noqa: SIM115
    file.truncate(size)
    return file


def _places(space: mmap.mmap, recipe: Recipe, part: int) -> list[Pixels]:
    """Where a batch's thumbnails lie: for each size uint8 (BATCH, size, size, 3), writable."""
    position = part * BATCH * recipe.picture_bytes
    places = []
    for size in recipe.sizes:
        shape = (BATCH, size, size, 3)
        places.append(np.ndarray(shape, np.uint8, space, position))
        position += places[-1].nbytes
    return places


# What runs in the worker processes.


def serve(descriptor: int, shared: int) -> None:
    """Answer requests until the other end of the line is closed; the process then ends.

    Args:
        descriptor: Of the line.
        shared: Of the memory that pixels are put into.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    line: Connection[Any, Any] = Connection(descriptor)
    _limit_this_process()
    space = mmap.mmap(shared, 0)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, requests), daemon=True).start()
    line.send(None)
    # From here on everything is said in answers; decoders also write to stderr.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            line.send(_answer(space, *requests.get()))
        except BrokenPipeError:
            return


def _listen(line: Connection[Any, Any], requests: queue.SimpleQueue[Any]) -> None:
    """Take requests off the line at once, so that neither side waits to send while the other does.

    The line's end is seen here, also in the middle of a long decoding.
    """
    try:
        while True:
            requests.put(line.recv())
    except (EOFError, OSError):
        os._exit(0)


def _limit_this_process() -> None:
    """One thread for OpenCV, and a bound on memory where the system has one.

    The bound is on private memory: an LMDB's mapped file is no part of it.
    """
    import cv2

    cv2.setNumThreads(1)
    with suppress(ImportError):  # Windows has no such module
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bounds = [WORKER_DATA_BYTES] + ([hard] if hard != resource.RLIM_INFINITY else [])
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))


def _answer(
    space: mmap.mmap, locations: Sequence[Location], recipe: Recipe, part: int
) -> list[Reading] | UserError | str:
    """Read a batch; the pixels of those kept go into the shared memory, one after the other."""
    places = _places(space, recipe, part)
    readings = []
    kept = 0
    try:
        for location in locations:
            reading, made = _read(location, recipe)
            for place, pixels in zip(places, made, strict=False):
                place[kept] = pixels
            kept += reading.reason is None
            readings.append(reading)
    except UserError as error:
        return error
    except Exception:
        return traceback.format_exc()
    return readings


def _read(location: Location, recipe: Recipe) -> tuple[Reading, list[Pixels]]:
    try:
        return _make(location.read(), recipe)
    except UnreadableError as error:
        return Reading(str(error)), []
    except MemoryError:
        bound = WORKER_DATA_BYTES / 2**30
        return Reading(f"too much memory: more than {bound:g} GiB needed"), []


def _make(data: bytes, recipe: Recipe) -> tuple[Reading, list[Pixels]]:
    """Thumbnails and checksums of a picture; no thumbnails when it is refused."""
    digest = hashlib.sha256(data).hexdigest()
    found = decode(data, recipe.min_side)
    if isinstance(found, Refused):
        return Reading(found.reason, digest, None, found.width, found.height), []
    made = thumbnails(found.pixels, recipe.sizes)
    pixels = hashlib.sha256(np.ascontiguousarray(max(made, key=len)).data).hexdigest()
    return Reading(None, digest, pixels, found.width, found.height, found.converted), made
