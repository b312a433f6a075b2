"""Calling DVC: one call at a time, to its end, with one line where it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dcgan_assets.dvc.dvc_settings import dvc_top, read_settings
from dcgan_models.errors import UserError

_TRUE = {"true", "yes", "on", "1"}
# What another call of ours may take: a push of large files over a slow line.
_PATIENCE_SECONDS = 600.0
_LAST_WORDS_SECONDS = 30.0


def has_dvc(root: Path) -> bool:
    """Whether a folder is under DVC, which refuses to work without git unless it was told to.

    As in a checkout that was downloaded as an archive.
    """
    top = dvc_top(root)
    if not (top / ".dvc").is_dir():
        return False
    if any((folder / ".git").exists() for folder in (top, *top.parents)):
        return True
    without_git = read_settings(root).get("core", {}).get("no_scm", "")
    return str(without_git).lower() in _TRUE


def under_repro() -> bool:
    """Whether DVC itself started this process: it holds its lock and keeps the books."""
    return "DVC_STAGE" in os.environ


@contextmanager
def at_the_books(root: Path) -> Iterator[None]:
    """Hold the lock on DVC's files, within which alone `run_dvc` may be called.

    Raises:
        UserError: Another call of ours goes on for too long, or the root cannot be written.
    """
    locks = dvc_top(root) / "runs" / "locks"
    # One lock a process, so that a call within the block does not wait for the block.
    lock = FileLock(locks / "dvc.lock", timeout=_PATIENCE_SECONDS, is_singleton=True)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError("dvc: another call is still at work") from None
    except OSError as error:
        raise UserError(f"{locks}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def run_dvc(root: Path, *arguments: str) -> str:
    """Run `dvc ...` in a workspace; what it wrote to its standard output.

    Interrupted, it lets DVC take its lock back and end.

    Raises:
        UserError: DVC failed, or another call of ours goes on for too long.
    """
    with at_the_books(root):
        code, said, complaint = _call(root, ("dvc", *arguments))
    if code:
        raise UserError(f"`dvc {arguments[0]}` failed: {_one_line(complaint or said)}")
    return said


def read_status(root: Path) -> tuple[dict[str, Any], list[str]]:
    """What `dvc status` says of each stage that changed, and the outputs that the remote lacks.

    Raises:
        UserError: As `run_dvc`.
    """
    with at_the_books(root):
        code, said, complaint = _call(root, ("dcgan_assets.dvc.questions",))
    if code:
        raise UserError(f"`dvc status` failed: {_one_line(complaint or said)}")
    changed, data = (json.loads(line) for line in said.splitlines())
    return dict(changed or {}), list(data.get("not_in_remote", ()))


def _call(root: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=root,
        env={**os.environ, "DVC_NO_ANALYTICS": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches it through us
    )
    try:
        said, complaint = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    return process.returncode, said, complaint


def _one_line(text: str) -> str:
    """DVC's own error line, without its word on where to find help."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    # Of a file that it cannot read, it names the file first and then shows what is in it.
    return errors[-1] if errors else (lines or ["it said nothing"])[0]
