"""The journal of a long run: what was written is there, what was torn is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcgan_assets.sources.web.search.journal import Journal

WORK = {"query": "SELECT", "limit": 10}


def test_pieces_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "work.jsonl"
    journal = Journal(path, WORK)
    journal.write("a", [1, "ü\ud800\n"])
    journal.write("b", None)
    again = Journal(path, WORK)
    assert (len(again), "a" in again, "c" in again) == (2, True, False)
    assert again.read("a") == [1, "ü\ud800\n"]
    again.write("c", {})
    assert list(Journal(path, WORK).pieces()) == [("a", [1, "ü\ud800\n"]), ("b", None), ("c", {})]


@pytest.mark.parametrize(
    "tail", [b'{"content": 1, "k', b'{"content": 1, "key": "c"}', b"\0\0\n", b"[]\n"]
)
def test_torn_tail_is_dropped(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "work.jsonl"
    Journal(path, WORK).write("a", 1)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    journal = Journal(path, WORK)
    assert path.read_bytes() == whole
    journal.write("b", 2)
    assert [key for key, _ in Journal(path, WORK).pieces()] == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"\n", b"no journal\n", b'{"work": {"query": "ASK"}}\n'])
def test_other_work_is_started_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "work.jsonl"
    path.write_bytes(content)
    assert len(Journal(path, WORK)) == 0
    Journal(path, WORK).write("a", 1)
    assert len(Journal(path, {**WORK, "limit": 11})) == 0
