"""Whoever serves a workspace is told when params.yaml has become another valid one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcgan_assets.engine import params_watch
from dcgan_assets.engine.params_watch import Follower, params_digest, watch_params
from dcgan_assets.params.file import profile_text

WAIT = 60.0


class Told(queue.Queue[str]):
    """What the watcher has done, in order."""

    def next(self) -> str:
        return self.get(timeout=WAIT)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    told = Told()
    monkeypatch.setattr(params_watch, "say", told.put)
    (tmp_path / "params.yaml").write_text(profile_text("sample"))
    watch_params(tmp_path, params_digest(tmp_path), lambda: told.put("reloaded"))
    return told


def changed(text: str, seed: int) -> str:
    found = text.replace("\nseed: 42\n", f"\nseed: {seed}\n")
    assert found != text
    return found


def test_each_other_content_is_loaded_once(tmp_path: Path, told: Told) -> None:
    params, text = tmp_path / "params.yaml", profile_text("sample")
    params.write_text(changed(text, 1))
    assert [told.next(), told.next()] == [LOADING, "reloaded"]
    # Other files are no change: the next that is told is the next one.
    (tmp_path / "notes.txt").write_text("mine")
    # As editors do: another file takes its place.
    (tmp_path / "params.yaml.new").write_text(changed(text, 2))
    (tmp_path / "params.yaml.new").replace(params)
    assert [told.next(), told.next()] == [LOADING, "reloaded"]
    assert told.empty()


def test_the_same_content_once_more_is_no_change(tmp_path: Path) -> None:
    reloads: list[int] = []
    (tmp_path / "params.yaml").write_text(profile_text("sample"))
    follower = Follower(tmp_path, "", lambda: reloads.append(1), threading.Event())
    follower.look()
    follower.look()
    assert reloads == [1]


def test_what_is_not_valid_is_a_line_and_what_was_loaded_stays(tmp_path: Path, told: Told) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("seed: [1")
    assert told.next().endswith("the web UI goes on with what was there before")
    params.write_text(changed(profile_text("sample"), 3))
    assert [told.next(), told.next()] == [LOADING, "reloaded"]


def test_what_changed_before_it_was_watched_counts(tmp_path: Path, told: Told) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "params.yaml").write_text(profile_text("sample"))
    watch_params(elsewhere, "of what was loaded", lambda: told.put("reloaded"))
    assert [told.next(), told.next()] == [LOADING, "reloaded"]


LOADING = "params.yaml has changed: loading the graph anew"
