"""Outlines remembered between processes, in the user's cache folder.

Parsing and hashing our modules takes over a second, and every command and every process that
Dagster starts would pay for it. An outline counts only for the very bytes that it was made from,
by their SHA-256, and only with outlines.py as it is: there is no state in which a stale one is
believed, and the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from dcgan_assets.engine.versions import outlines
from dcgan_assets.engine.versions.outlines import Definition, Outline, Taken, make_outline
from dcgan_models.files import read_json, write_json

_fresh: dict[str, Any] = {}


@cache
def outline_of(path: Path) -> Outline:
    """The outline of a module, remembered if its file has not changed since."""
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    found = _remembered().get(str(path))
    if found is not None and found["source"] == digest:
        return _from_json(found["outline"])
    made = make_outline(source)
    _fresh[str(path)] = {"source": digest, "outline": made}
    return made


def remember() -> None:
    """Keep for later processes what this one had to parse."""
    if not _fresh:
        return
    files = _remembered() | _fresh
    # A folder that cannot be written costs the next process its second again, and nothing else.
    with contextlib.suppress(OSError):
        _memory().parent.mkdir(parents=True, exist_ok=True)
        write_json(_memory(), {"make": _make(), "files": files})
    _fresh.clear()


@cache
def _remembered() -> dict[str, Any]:
    """What earlier processes kept, by path; nothing where it is damaged or of another make."""
    try:
        content = read_json(_memory())
        return dict(content["files"]) if content["make"] == _make() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _memory() -> Path:
    """The file of this installation and this Python: others may lie beside it."""
    place = hashlib.sha256(__file__.encode()).hexdigest()[:12]
    name = f"outlines-{place}-{sys.implementation.cache_tag}.json"
    return user_cache_path("dcgan-assets") / name


@cache
def _make() -> str:
    """Which outlines.py makes the outlines."""
    return hashlib.sha256(Path(outlines.__file__).read_bytes()).hexdigest()


def _from_json(values: list[Any]) -> Outline:
    digest, taken, bindings, definitions = values
    return Outline(
        digest,
        [Taken(*each) for each in taken],
        [Taken(*each) for each in bindings],
        {
            name: Definition(digest, uses, [Taken(*each) for each in taken])
            for name, (digest, uses, taken) in definitions.items()
        },
    )
