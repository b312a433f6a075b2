"""Outlines between processes: parsed once, never believed for other bytes, never in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_READER = """
import json, sys
from pathlib import Path
parsed = []
# `ast.parse` compiles, too, and names no file.
sys.addaudithook(lambda event, about: event == "compile" and parsed.append(about[1]))
from dcgan_assets.engine.versions import memory
outlines = [memory.outline_of(Path(name)) for name in sys.argv[1:]]
memory.remember()
print(json.dumps({"parsed": parsed.count("<unknown>"), "outlines": outlines}))
"""


class Reader:
    """Processes that look at modules and share a cache folder."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.modules = [folder / name for name in ("one.py", "two.py")]
        self.modules[0].write_text("from a import b\n\ndef f():\n    return b(1)\n")
        self.modules[1].write_text("import c.d as e\nLIMIT = e.x\n")

    def read(self) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", _READER, *map(str, self.modules)],
            env={**os.environ, "XDG_CACHE_HOME": str(self.cache), "HOME": str(self.cache)},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def memory(self) -> Path:
        (path,) = self.cache.rglob("outlines-*.json")
        return path


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_what_one_process_parsed_the_next_one_need_not(reader: Reader) -> None:
    first, second = reader.read(), reader.read()
    assert (first["parsed"], second["parsed"]) == (2, 0)
    assert second["outlines"] == first["outlines"]


def test_other_bytes_count_whatever_the_clock_says(reader: Reader) -> None:
    before = reader.read()
    path, was = reader.modules[0], reader.modules[0].stat()
    path.write_text(path.read_text().replace("b(1)", "b(2)"))
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert path.stat().st_size == was.st_size
    after = reader.read()
    assert after["parsed"] == 1
    assert after["outlines"][0] != before["outlines"][0]
    assert after["outlines"][1] == before["outlines"][1]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"make": "another", "files": {}}'])
def test_a_damaged_memory_is_none(reader: Reader, damage: str) -> None:
    before = reader.read()
    reader.memory.write_text(damage)
    assert reader.read() == before
    assert reader.read()["parsed"] == 0


def test_a_place_that_cannot_be_written_is_no_failure(reader: Reader) -> None:
    reader.cache.write_text("a file where the folder would be")
    assert reader.read()["parsed"] == reader.read()["parsed"] == 2
