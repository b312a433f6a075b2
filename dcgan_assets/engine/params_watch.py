"""Whoever serves a workspace is told when params.yaml has become another one.

The system tells of changes in the workspace's folder, so that nothing is looked at until something
has happened there. What counts is the file's content: a save without a change is none.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    EVENT_TYPE_CLOSED,
    EVENT_TYPE_CREATED,
    EVENT_TYPE_MODIFIED,
    EVENT_TYPE_MOVED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from dcgan_assets.engine.terminal import say
from dcgan_assets.params.file import PARAMS_FILE, load_params
from dcgan_models.errors import UserError

# Not those of reading: we read the file ourselves.
_WRITES = {EVENT_TYPE_CREATED, EVENT_TYPE_MODIFIED, EVENT_TYPE_MOVED, EVENT_TYPE_CLOSED}
# An editor writes in several steps; the last one counts.
_STILL_SECONDS = 0.3


def params_digest(root: Path) -> str:
    """The hash of a workspace's params.yaml; empty where there is none to read."""
    try:
        return hashlib.sha256((root / PARAMS_FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def watch_params(root: Path, known: str, reload: Callable[[], None]) -> None:
    """Call `reload` whenever params.yaml has become another valid one, for as long as we live.

    One that is not valid is said in a line, and what was loaded stays.

    Args:
        root: The workspace.
        known: `params_digest` of what is loaded now.
        reload: Called in a thread of its own.
    """
    changed = threading.Event()
    changed.set()  # it may have changed since then
    observer = Observer()
    observer.daemon = True
    try:
        observer.schedule(_Handler(changed), str(root))
        observer.start()
    except OSError as error:  # the system's limit on folders that are watched
        say(
            f"{PARAMS_FILE} is not watched ({error.strerror}): after a change to it, choose "
            "Deployment, Reload"
        )
        return
    follower = Follower(root, known, reload, changed)
    threading.Thread(target=follower.follow, name="params-watch", daemon=True).start()


class _Handler(FileSystemEventHandler):
    def __init__(self, changed: threading.Event) -> None:
        self.changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        names = {Path(str(path)).name for path in (event.src_path, event.dest_path) if path}
        if event.event_type in _WRITES and PARAMS_FILE in names:
            self.changed.set()


class Follower:
    """Waits for changes, and compares contents."""

    def __init__(
        self, root: Path, known: str, reload: Callable[[], None], changed: threading.Event
    ) -> None:
        self.root, self.known, self.reload, self.changed = root, known, reload, changed

    def follow(self) -> None:
        """Look whenever something has happened and it stands still; without end."""
        while True:
            self.changed.wait()
            while self.changed.is_set():  # until it stands still
                self.changed.clear()
                self.changed.wait(_STILL_SECONDS)
            self.look()

    def look(self) -> None:
        """Reload where the content is another one than when it was last looked at."""
        digest = params_digest(self.root)
        if digest in {"", self.known}:
            return
        self.known = digest
        try:
            load_params(self.root / PARAMS_FILE)
        except UserError as error:
            say(f"{error}; the web UI goes on with what was there before")
            return
        say(f"{PARAMS_FILE} has changed: loading the graph anew")
        self.reload()
