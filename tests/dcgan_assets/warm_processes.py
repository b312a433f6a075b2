"""Python processes that need not import first: copies of one that has, each with its own words.

A command imports Dagster, DVC and torch for seconds before it does anything. Where its own start is
not what a test is about, it is forked from a process that has imported them and done nothing else:

    process = popen(["dcgan", "status"], cwd=root, env=environment, stdout=log)

From there on it is a process as any other: its own number, session, signals, files and end. Its
words alone are not in /proc. What is set for the interpreter itself (PYTHON..., OMP_..., LD_...)
otherwise than here, and what is no Python of ours, is started as ever. In `quick_path()` lies a
`dcgan` that does the same where a shell or DVC calls it: it stands in for a copy until that ends.

As a script this is the process that is copied: it listens at the socket that its word names.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any, NoReturn

# Read when a process begins, or by what is imported. Paths are added to a copy's.
_SETTINGS = ("PYTHON", "OMP_", "LD_")
_ANY = {"PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
_PROGRAMS = ("dcgan", "dvc")
# What the commands import sooner or later; not torch's compiler, whose libraries tell at the end
# of a process what was not freed.
_IMPORTED = (
    *("dcgan_assets.__main__", "dcgan_assets.cli", "dcgan_assets.definitions"),
    *("dcgan_assets.engine.running", "dcgan_models.training", "dvc.cli", "dvc.repo"),
    *("alembic.command", "dagster._cli.api", "cv2", "matplotlib.figure"),
    *("aiohttp", "structlog", "tabulate", "upath", "PIL.Image", "safetensors.torch"),
)
_STREAMS = 3
_LONGEST = 1 << 20


class WarmProcess:
    """A copy of the process that has imported all, asked for and ended as `subprocess.Popen` is."""

    def __init__(self, connection: socket.socket, words: Sequence[str]) -> None:
        self.args = words
        self.returncode: int | None = None
        self._connection = connection
        self.pid = int(connection.recv(_LONGEST))

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, or minus the signal that it died of, once it has ended."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                said = self._connection.recv(_LONGEST)
            except TimeoutError:
                raise subprocess.TimeoutExpired(list(self.args), timeout or 0) from None
            assert said, "the process that is copied has ended"
            self.returncode = int(said)
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit code if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired, BlockingIOError):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal if it is still there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """`kill -9`."""
        self.send_signal(signal.SIGKILL)


AnyProcess = subprocess.Popen[bytes] | WarmProcess


def popen(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    output: IO[bytes],
) -> AnyProcess:
    """Begin a command, without input, in a session of its own; a copy where that does."""
    python = _python_words(words)
    if python and _settings(env) == _own_settings:
        return _fork(python, cwd, env, output)
    return subprocess.Popen(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float | None = None
) -> tuple[int, str]:
    """Run a command to its end; its exit code and all that it said."""
    with tempfile.TemporaryFile() as output:
        process = popen(words, cwd=cwd, env=env, output=output)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        output.seek(0)
        return code, output.read().decode(errors="replace")


def _python_words(words: Sequence[str]) -> list[str] | None:
    """What comes after `python` in a command line of a module or a text of ours, else None."""
    first, *others = map(str, words)
    if first in _PROGRAMS:
        return [str(Path(sys.executable).with_name(first)), *others]
    return others if first == sys.executable and others[0] in {"-m", "-c"} else None


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_SETTINGS) and name not in _ANY
    }


_own_settings = _settings(os.environ)
# Where the process that is copied listens, for all that we start.
_VARIABLE = "DCGAN_TEST_WARM"


def warm_socket() -> Path:
    """Where the process listens that is copied; it begins when first asked, and ends with us."""
    if _VARIABLE not in os.environ:
        place = Path(tempfile.mkdtemp(prefix="warm-")) / "socket"
        ready, told = os.pipe()
        subprocess.Popen(
            [sys.executable, __file__, str(place), str(told)],
            stdin=subprocess.PIPE,  # which ends with us
            stdout=subprocess.DEVNULL,
            pass_fds=[told],
            start_new_session=True,
        )
        os.close(told)
        with os.fdopen(ready, "rb") as stream:
            assert stream.read(1), "the process that is copied did not begin"
        os.environ[_VARIABLE] = str(place)
    return Path(os.environ[_VARIABLE])


def quick_path() -> Path:
    """A folder to come first in PATH, with a `dcgan` that is there at once."""
    folder = warm_socket().parent / "bin"
    if not folder.exists():
        folder.mkdir()
        program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        program += f"from warm_processes import stand_in\nstand_in({str(warm_socket())!r})\n"
        (folder / "dcgan").write_text(f"#!{sys.executable} -IS\n{program}", encoding="utf-8")
        (folder / "dcgan").chmod(0o755)
    return folder


def stand_in(place: str) -> NoReturn:
    """Be `dcgan` with the words of this process: hand on its files and signals, end as it does."""
    words = [str(Path(sys.executable).with_name("dcgan")), *sys.argv[1:]]
    process = _ask(Path(place), words, Path.cwd(), os.environ, range(_STREAMS))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda given, _: process.send_signal(given))
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _fork(words: list[str], cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> WarmProcess:
    with Path(os.devnull).open("rb") as nothing:
        streams = [nothing.fileno(), output.fileno(), output.fileno()]
        return _ask(warm_socket(), words, cwd, env, streams)


def _ask(
    place: Path, words: list[str], cwd: Path, env: Mapping[str, str], streams: Sequence[int]
) -> WarmProcess:
    request = json.dumps({"words": words, "cwd": str(cwd), "env": dict(env)}).encode()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
    connection.connect(str(place))
    socket.send_fds(connection, [request], streams)
    return WarmProcess(connection, words)


# --- The process that is copied -------------------------------------------------------------


class _Source:
    """Copies itself for each question, and says how each copy ended."""

    def __init__(self, place: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(place)
        self._listener.listen(64)
        self._copies: dict[int, socket.socket] = {}

    def serve(self) -> dict[str, Any] | None:
        """Answer until our test process ends (None); in a copy, what is asked of it."""
        heard, woken = socket.socketpair()
        for end in (heard, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            for source in (self._listener, heard, sys.stdin):
                selector.register(source, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is sys.stdin:
                        return None
                    if key.fileobj is heard:
                        heard.recv(_LONGEST)
                        self._tell_ends()
                    elif (asked := self._answer()) is not None:
                        signal.set_wakeup_fd(-1)
                        heard.close()
                        woken.close()
                        return asked

    def _answer(self) -> dict[str, Any] | None:
        connection, _ = self._listener.accept()
        request, streams, *_ = socket.recv_fds(connection, _LONGEST, _STREAMS)
        copy = os.fork()
        if copy == 0:
            for one in (self._listener, connection, *self._copies.values()):
                one.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            asked: dict[str, Any] = json.loads(request)
            return asked
        for stream in streams:
            os.close(stream)
        self._copies[copy] = connection
        connection.send(b"%d" % copy)
        return None

    def _tell_ends(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                connection = self._copies.pop(ended[0])
                with contextlib.suppress(OSError):
                    connection.send(b"%d" % os.waitstatus_to_exitcode(ended[1]))
                connection.close()


def _import_all() -> None:
    import gc
    import importlib

    from dcgan_assets.engine.collector import collect_seldom

    collect_seldom()
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # else the first look for garbage in each copy copies all memory


def _begin(asked: dict[str, Any]) -> None:
    """Be the command, in a process that looks as if it had just begun."""
    import runpy

    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for place in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if place and place not in sys.path:
            sys.path.insert(0, place)
    what, *others = asked["words"]
    if what not in {"-m", "-c"}:
        sys.argv = [what, *others]
        runpy.run_path(what, run_name="__main__")
        return
    sys.path.insert(0, asked["cwd"])
    sys.argv = [what, *others[1:]]
    if what == "-m":
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = own = ModuleType("__main__")
        exec(compile(others[0], "<string>", "exec"), vars(own))  # noqa: S102


def main() -> None:
    """Import, listen, copy."""
    place, told = sys.argv[1], int(sys.argv[2])
    del sys.path[0]  # this folder, whose folders would pass for the packages
    source = _Source(place)
    _import_all()
    os.write(told, b"1")
    os.close(told)
    asked = source.serve()
    if asked is not None:
        _begin(asked)


if __name__ == "__main__":
    main()
