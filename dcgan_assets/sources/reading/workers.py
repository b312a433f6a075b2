"""Worker processes that read pictures: bytes in, what a `Job` makes of them out, in order.

Decoders are where bad input does its worst, so they run in processes of their own, with bounded
memory and time. A picture that kills its process costs one row, not the run, and so does each of
many: whether it was the machine is found out with a picture that is good. The processes are
started once and serve every shard that this process works on; they are fresh interpreters, not
forks, and import nothing but what decoding needs.
"""

from __future__ import annotations

import atexit
import mmap
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO, Generic, NamedTuple, Protocol, TypeVar

from dcgan_assets.sources.reading.decode import MAX_PIXELS
from dcgan_assets.sources.reading.items import Location, UnreadableError
from dcgan_models.errors import UserError

# The decoders' own libraries and mapped files come on top, some 0.2 GiB.
WORKER_DATA_BYTES = 5 << 28
# A picture of 50 million pixels takes seconds.
BATCH_SECONDS = 120.0
# So many batches may be read ahead of the one that is waited for.
WINDOW = 32
QUEUED = 3
# So many, and a good picture is read to see whether it is the machine.
MAX_DEATHS_IN_A_ROW = 8
_POLL_SECONDS = 0.5
_KEPT_BYTES = 1 << 27


T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[R_co]):
    """What is to be made of every location; pickled to the worker processes with each batch."""

    @property
    def batch(self) -> int:
        """Locations that a process is handed at once."""
        ...

    @property
    def space_bytes(self) -> int:
        """Shared memory, at most, into which a process puts what it made of a batch."""
        ...

    def work(self, locations: Sequence[Location], space: memoryview) -> Any:
        """In a worker process: the answer to a batch, which is pickled; see `attempt`."""
        ...

    def finish(self, answer: Any, space: memoryview) -> R_co:
        """In this process: the result of a batch. Nothing in it may point into the space."""
        ...

    def lost(self, reason: str) -> R_co:
        """The result of a batch of one location, which killed its process."""
        ...


class StoppedError(Exception):
    """Reading ended early, as it was asked to."""


def run_workers(
    job: Job[T],
    locations: Sequence[Location],
    workers: int,
    should_stop: Callable[[], bool] = lambda: False,
    batch_seconds: float = BATCH_SECONDS,
) -> Generator[T, None, None]:
    """Do a job with worker processes.

    The memory held is bounded: at most `WINDOW` batches are read ahead of those yielded.

    Args:
        job: What to make of each picture.
        locations: Where the pictures lie; slices of it are taken.
        workers: Processes.
        should_stop: Asked twice a second at least.
        batch_seconds: After this long a process that does not answer is killed.

    Yields:
        Results of batches in the order of the locations, which together are all of them.

    The processes are its own until it ends or is closed: other threads wait for that.

    Raises:
        StoppedError: `should_stop` said so.
        UserError: A source as a whole cannot be read, or processes die again and again.
        RuntimeError: Another one that this thread began has neither ended nor been closed.
    """
    with _turn:
        run = _Run(job, locations, batch_seconds)
        try:
            while run.expected < len(locations):
                if should_stop():
                    raise StoppedError
                run.hire(workers)
                run.hand_out()
                run.collect()
                while run.expected in run.done:
                    run.expected, result = run.done.pop(run.expected)
                    yield result
        finally:
            # Whoever is still at work was abandoned; its answers would confuse the next run.
            for worker in [worker for worker in _pool if worker.tasks]:
                worker.dismiss()


def close_workers() -> None:
    """End the worker processes. They end by themselves when this process does."""
    for worker in list(_pool):
        worker.dismiss()


@dataclass(frozen=True)
class Each(Generic[T]):
    """The job of making one thing of every picture, which is pickled on its way back.

    Attributes:
        make: What becomes of a picture's bytes; a function of a module, or a `partial` of one.
        failed: What there is instead, given the reason why the bytes cannot be had.
        batch: As `Job.batch`.
    """

    make: Callable[[bytes], T]
    failed: Callable[[str], T]
    batch: int

    @property
    def space_bytes(self) -> int:
        """As `Job.space_bytes`: nothing."""
        return 0

    def work(self, locations: Sequence[Location], space: memoryview) -> list[T]:
        """As `Job.work`."""
        found = [attempt(location, self.make) for location in locations]
        return [self.failed(one) if isinstance(one, str) else one for one in found]

    def finish(self, answer: list[T], space: memoryview) -> list[T]:
        """As `Job.finish`."""
        return answer

    def lost(self, reason: str) -> list[T]:
        """As `Job.lost`."""
        return [self.failed(reason)]


def attempt(location: Location, make: Callable[[bytes], T]) -> T | str:
    """In a worker process: what is made of a location's bytes, or why nothing can be."""
    try:
        return make(location.read())
    except UnreadableError as error:
        return str(error)
    except MemoryError:
        bound = WORKER_DATA_BYTES / 2**30
        return f"too much memory: more than {bound:g} GiB needed"


class _Made(NamedTuple):
    """A process's answer to a batch."""

    answer: Any


class _Task(NamedTuple):
    """The locations from `start` to `stop`."""

    start: int
    stop: int


class _GoodPicture(NamedTuple):
    """The location of a picture of ours, a grey PNG of 64 pixels a side."""

    def read(self) -> bytes:
        """Its bytes."""
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(64 * (b"\0" + bytes(range(64, 128))))),
            (b"IEND", b""),
        ]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
            for name, content in chunks
        )


# To read a good picture, between others: it has no place among the locations, and no result.
_CHECK = _Task(-1, -1)


@dataclass(eq=False)
class _Worker:
    """A process, our end of the line to it, and the tasks it has, the first being at work.

    Pixels come back through memory that both sides have mapped, one part for each task that may
    be under way: through the line they would be copied four times.
    """

    process: subprocess.Popen[bytes]
    line: Connection[Any, Any]
    space: mmap.mmap
    part_bytes: int
    free: list[int]
    tasks: deque[tuple[_Task, int]] = field(default_factory=deque)
    ready: bool = False
    since: float = field(default_factory=time.monotonic)

    @classmethod
    def hire(cls, part_bytes: int) -> _Worker:
        ours, theirs = socket.socketpair()
        # Nothing cannot be mapped.
        shared = _shared_memory(max(1, QUEUED * part_bytes))
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
        script = f"from {__name__} import serve; serve(*{descriptors})"
        with theirs, shared:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", script],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
            space = mmap.mmap(shared.fileno(), 0)
        worker = cls(process, Connection(ours.detach()), space, part_bytes, list(range(QUEUED)))
        _pool.append(worker)
        return worker

    def give(self, task: _Task, locations: Sequence[Location], job: Job[Any]) -> None:
        if not self.tasks:
            self.since = time.monotonic()
        part = self.free.pop()
        self.tasks.append((task, part))
        # A process that has just died is noticed when its answer is waited for.
        with suppress(OSError):
            self.line.send((job, locations, part))

    def finish(self, answer: Any, job: Job[T]) -> tuple[_Task, T]:
        """The task that was at work, and its result, taken out of the shared memory."""
        task, part = self.tasks.popleft()
        result = job.finish(answer, _part(self.space, job, part))
        self.free.append(part)
        return task, result

    def dismiss(self) -> int:
        """End the process at once; returns its exit status, as `Popen.returncode`."""
        _pool.remove(self)
        self.line.close()
        self.process.kill()
        return self.process.wait()


class _Turn:
    """One run at a time. Whoever would wait for a run of its own thread would wait for ever."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    def __enter__(self) -> None:
        if self._thread == threading.get_ident():
            raise RuntimeError(
                "this thread began another run of workers, which must end or be closed first"
            )
        self._lock.acquire()
        self._thread = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        self._thread = None
        self._lock.release()


_pool: list[_Worker] = []
_turn = _Turn()
atexit.register(close_workers)
if hasattr(os, "register_at_fork"):
    # A forked child must neither use nor end its parent's workers.
    os.register_at_fork(after_in_child=_pool.clear)


class _Run(Generic[T]):
    """One call of `run_workers`: what is to do, what is done, what is waited for."""

    def __init__(self, job: Job[T], locations: Sequence[Location], batch_seconds: float) -> None:
        self.job = job
        self.locations = locations
        self.batch_seconds = batch_seconds
        starts = range(0, len(locations), job.batch)
        self.to_do = deque(_Task(start, min(start + job.batch, len(locations))) for start in starts)
        # By a batch's first location: the one after its last, and its result.
        self.done: dict[int, tuple[int, T]] = {}
        self.expected = 0
        self.deaths_in_a_row = 0

    def hire(self, workers: int) -> None:
        """Bring the pool to the number asked for."""
        fitting = [one for one in _pool if one.part_bytes == self.job.space_bytes]
        for worker in list(_pool):
            if worker not in fitting[:workers]:
                worker.dismiss()
        while len(_pool) < workers:
            _Worker.hire(self.job.space_bytes)

    def hand_out(self) -> None:
        """Give every process a task, then a second one that waits for the first."""
        for depth in range(QUEUED):
            for worker in _pool:
                if len(worker.tasks) > depth:
                    continue
                ahead = self.expected + WINDOW * self.job.batch
                if not self.to_do or self.to_do[0].start >= ahead:
                    return
                task = self.to_do.popleft()
                locations = self.locations[task.start : task.stop]
                worker.give(task, [_GoodPicture()] if task is _CHECK else locations, self.job)

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
            case _Made(made):
                task, result = worker.finish(made, self.job)
                if task is not _CHECK:
                    self.done[task.start] = (task.stop, result)
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
        tasks = [task for task, _ in worker.tasks]
        guilty, waiting = (tasks[0], tasks[1:]) if tasks else (None, [])
        if guilty is _CHECK:
            raise UserError(
                "the processes that read pictures die again and again, of a good one as well "
                f"({_cause(status)}); is there too little memory?"
            )
        # Rows are waited for in order, so what was taken goes back to the front.
        self.to_do.extendleft(reversed(waiting))
        if guilty is not None:
            self._suspect(guilty, overdue or f"its reading process died: {_cause(status)}")
        self.deaths_in_a_row += 1
        if self.deaths_in_a_row == MAX_DEATHS_IN_A_ROW:
            self.deaths_in_a_row = 0
            self.to_do.appendleft(_CHECK)

    def _suspect(self, guilty: _Task, reason: str) -> None:
        """Of one picture it was that one; many are read again, each alone."""
        if guilty.stop - guilty.start == 1:
            self.done[guilty.start] = (guilty.stop, self.job.lost(reason))
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


def _part(space: mmap.mmap, job: Job[Any], part: int) -> memoryview:
    """What belongs to one batch of the shared memory."""
    return memoryview(space)[part * job.space_bytes : (part + 1) * job.space_bytes]


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
    """One thread for OpenCV and for AVIF, and a bound on memory where the system has one.

    The bound is on private memory: an LMDB's mapped file is no part of it.
    """
    import cv2
    from PIL import AvifImagePlugin

    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with suppress(ImportError):  # Windows has no such module
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bounds = [WORKER_DATA_BYTES] + ([hard] if hard != resource.RLIM_INFINITY else [])
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))


def _answer(
    space: mmap.mmap, job: Job[Any], locations: Sequence[Location], part: int
) -> _Made | UserError | str:
    """The answer to a batch, or what went wrong: with its source, or with our own code."""
    try:
        return _Made(job.work(locations, _part(space, job, part)))
    except UserError as error:
        return error
    except Exception:
        return traceback.format_exc()
