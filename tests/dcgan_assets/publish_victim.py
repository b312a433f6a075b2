"""A process killed while it publishes: at every line of store.py and files.py that changes a disk.

    python publish_victim.py ROOT EXCHANGE

Every attempt is a fork that publishes `new` over `old` and kills itself, with SIGKILL, before its
n-th line; n grows until an attempt comes through. What a reader finds then, and what lies on disk
after `old` was published again, goes to stdout as a line of JSON. With EXCHANGE 0, names are
swapped as on a file system that cannot exchange them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from dcgan_assets.engine import store as store_module
from dcgan_assets.engine.store import Artefact, Meta, Store
from dcgan_models import files as files_module

ARTEFACT = Artefact("toy/images", "data")
FILES = ("value.txt", "deep/value.txt")
_TRACED = (store_module.__file__, files_module.__file__)
# What only looks at the disk: killed at any line of it, a process leaves the same.
_LOOKS = {
    *("tree_files", "_sizes", "_files", "recorded", "listed_files", "_ours", "first_foreign"),
    *("is_folder", "is_building", "_leftovers", "is_litter", "read", "parse", "sha256_file"),
    *("content_version", "_exchange_call", "<lambda>", "<genexpr>", "<listcomp>", "<setcomp>"),
    *("<dictcomp>", "label", "path", "folder", "flush_tree", "fsync_folder", "__init__"),
}


def meta_of(key: str = "toy/images", **changes: Any) -> Meta:
    """A record with nothing of interest in it."""
    facts: dict[str, Any] = {
        "key": key,
        "shard": None,
        "data_version": "d",
        "code_version": "c",
        "fingerprint": "f",
        "inputs": {},
        "seed": None,
        "params_seed": 42,
        "created": "2026-11-22T00:00:00+00:00",
        "duration_s": 1.0,
        "hardware": "a machine",
    }
    return Meta(**{**facts, **changes})


def publish(store: Store, content: str, artefact: Artefact = ARTEFACT) -> None:
    """Publish a folder of two files with the same content."""
    with store.writing(artefact) as staging:
        for name in FILES:
            path = staging / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content, encoding="utf-8")
        store.publish(staging, artefact, meta_of(data_version=store.content_version(staging)))


def die_at_line(number: int) -> None:
    """Kill this process just before the given line of the two modules is run."""
    left = number

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in _TRACED or frame.f_code.co_name in _LOOKS:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def read(store: Store) -> str | None:
    """What a reader finds: the content, `broken`, or None where nothing is published."""
    if store.meta(ARTEFACT) is None:
        return None
    if store.verify(ARTEFACT) is not None:
        return "broken"
    contents = {(store.folder(ARTEFACT) / name).read_text(encoding="utf-8") for name in FILES}
    return contents.pop() if len(contents) == 1 else "broken"


def main() -> None:
    root, exchange = Path(sys.argv[1]), sys.argv[2] == "1"
    if not exchange:
        files_module._exchange_call = lambda: None
    store = Store(root)
    publish(store, "old")
    number, code = 0, 1
    while code != 0:
        child = os.fork()
        if child == 0:
            die_at_line(number)
            publish(store, "new")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        found = read(store)
        publish(store, "old")
        left = sorted(path.name for path in store.folder(ARTEFACT).parent.iterdir())
        row = {"line": number, "code": code, "found": found, "next": read(store), "left": left}
        print(json.dumps(row), flush=True)
        number += 1


if __name__ == "__main__":
    main()
