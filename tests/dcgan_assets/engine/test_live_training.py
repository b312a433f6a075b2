"""What the page that follows a training is told: the log by its step, and only what is new."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dcgan_assets.engine.live_training import FIELDS, Session, log_since, training_page
from dcgan_assets.engine.liveness import alive, at_work
from dcgan_models.training.loop import write_log

RUN = str(uuid.UUID(int=7))


def line(step: int, **more: Any) -> dict[str, Any]:
    return {**dict.fromkeys(FIELDS, 1.0), "step": step, "steps": 1000, **more}


def append(path: Path, *lines: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as log:
        log.writelines(f"{json.dumps(one)}\n" for one in lines)


def steps(answer: dict[str, Any]) -> list[int]:
    return [values[0] for values in answer["lines"]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def again(log: Path, last: dict[str, Any], run: str = RUN) -> dict[str, Any]:
    return log_since(log, run, last["log"], str(last["next"]))


def test_only_what_is_new_is_told(log: Path) -> None:
    nothing = log_since(log, RUN, "", "")
    assert nothing["lines"] == []
    append(log, line(50), line(100))
    first = again(log, nothing)
    assert (steps(first), first["anew"]) == ([50, 100], True)
    assert again(log, first)["lines"] == []
    append(log, line(150))
    second = again(log, first)
    assert (steps(second), second["anew"]) == ([150], False)


def test_a_line_that_is_being_written_is_told_when_it_is_whole(log: Path) -> None:
    append(log, line(50))
    text = json.dumps(line(100)) + "\n"
    with log.open("a") as stream:
        stream.write(text[:20])
        stream.flush()
        first = log_since(log, RUN, "", "")
        assert steps(first) == [50]
        stream.write(text[20:])
    assert steps(again(log, first)) == [100]


def test_a_training_that_goes_on_tells_its_log_anew(log: Path) -> None:
    """Lines after the last save of a killed run come again, and are other lines."""
    write_log(log.parent, [line(50), line(100)])
    first = log_since(log, RUN, "", "")
    write_log(log.parent, [line(50)])
    append(log, line(100, d_loss=2.0), line(150))
    second = again(log, first)
    assert (steps(second), second["anew"]) == ([50, 100, 150], True)
    # And where another run has put the same file back.
    assert again(log, second, str(uuid.UUID(int=8)))["anew"]


def test_what_is_no_number_is_none(log: Path) -> None:
    append(log, line(50, d_loss=None, g_loss=float("nan"), fixed_z_spread=float("inf")))
    (told,) = log_since(log, RUN, "", "")["lines"]
    named = dict(zip(FIELDS, told, strict=True))
    assert named["d_loss"] is named["g_loss"] is named["fixed_z_spread"] is None
    assert (named["step"], named["images_per_second"]) == (50, 1.0)


def test_a_log_of_10_mb_is_read_once_in_pieces(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(line(10**9)) + "\n"
    log.write_text(text * (10_000_000 // len(text)))
    told, answer = 0, log_since(log, RUN, "", "")
    while answer["more"]:
        told += len(answer["lines"])
        answer = again(log, answer)
    told += len(answer["lines"])
    assert told == 10_000_000 // len(text)
    append(log, line(1))
    # Nothing before the place that was reached is read again.
    read = []
    original = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **kw: read.append(text) or original(text, **kw))
    assert steps(again(log, answer)) == [1]
    assert len(read) == 1


def test_a_session_says_where_it_begins(tmp_path: Path) -> None:
    begun = Session("cats/candidate", RUN, began=0, steps=1200, batch=8)
    assert begun.words == "cats/candidate: begins: 1,200 steps"
    resumed = Session("cats/candidate", RUN, began=1100, steps=1200, batch=8)
    assert resumed.words == "cats/candidate: continues at step 1,100 of 1,200"
    resumed.write(tmp_path)
    assert Session.read(tmp_path) == resumed
    assert training_page("cats/candidate", tmp_path).startswith("/training/cats/candidate/")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"asset": 1}', '{"run": "../x"}', "\x00"], ids=repr
)
def test_a_session_that_is_none(tmp_path: Path, text: str) -> None:
    whole = {"asset": "a/b", "run": RUN, "began": 0, "steps": 1, "batch": 1}
    if text.startswith('{"'):
        text = json.dumps({**whole, **json.loads(text)})
    (tmp_path / "session.json").write_text(text)
    assert Session.read(tmp_path) is None


def test_a_run_is_at_work_while_its_process_holds_its_lock(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert not at_work(tmp_path, RUN)
        with alive(instance, RUN):
            assert at_work(tmp_path, RUN)
        assert not at_work(tmp_path, RUN)
