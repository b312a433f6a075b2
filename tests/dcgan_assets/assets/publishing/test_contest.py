"""What measuring hands to publishing: nothing is lost on the way, and the gate gets it right."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from dcgan_assets.assets.publishing.contest import (
    BEST,
    BEST_FOLDER,
    CANDIDATE,
    CHAMPION,
    Contest,
    folders_to_compare,
)
from dcgan_models.metrics.gate import Contender, Rule

RULE = Rule("frechet_distance", margin=0.05, floor=2.0, copied=0.1, sets=2)
UNMEASURED = Contest(None, {}, "version", "12 held-out pictures, 20 are needed")


def contest(candidate: float, champion: float, best: float, copied: float = 0.0) -> Contest:
    contenders = {
        CANDIDATE: Contender(CANDIDATE, (candidate, candidate), copied=copied),
        CHAMPION: Contender(CHAMPION, (champion, champion)),
        BEST: Contender(BEST, (best, best)),
    }
    return Contest(RULE, contenders, "version")


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    for one in (contest(10, 11, 12, copied=0.3), UNMEASURED, Contest(None, {}, None)):
        one.write(tmp_path)
        assert Contest.read(tmp_path) == one
    contest(math.nan, 11, 12).write(tmp_path)
    found = Contest.read(tmp_path)
    assert math.isnan(found.contenders[CANDIDATE].scores[0])
    assert "NaN" not in (tmp_path / "contest.json").read_text()
    assert found.best() == CHAMPION


def test_the_best_on_record_counts_only_while_something_is_published() -> None:
    one = contest(11, 11, 10)
    assert one.best() == BEST
    assert not one.decide((), champion=True).publish
    assert one.decide((), champion=False).publish
    assert not one.decide(("finite_losses",), champion=False).publish
    assert not contest(1, 11, 10, copied=0.2).decide((), champion=True).publish


# --- Nothing measured -------------------------------------------------------------------------


def test_where_nothing_was_measured_the_champion_stays() -> None:
    assert UNMEASURED.best() is None
    kept = UNMEASURED.decide((), champion=True)
    assert not kept.publish
    assert kept.reason == (
        "not measured: 12 held-out pictures, 20 are needed; with `publish_unmeasured: true` in "
        "params.yaml health decides"
    )
    first = UNMEASURED.decide((), champion=False)
    assert first.publish
    assert "no champion; not measured: 12 held-out pictures" in first.reason


def test_params_may_say_that_health_decides() -> None:
    daring = replace(UNMEASURED, publish_unmeasured=True)
    assert daring.decide((), champion=True).publish
    assert "publish_unmeasured is true" in daring.decide((), champion=True).reason
    for champion in (True, False):
        refused = daring.decide(("sample_diversity",), champion=champion)
        assert not refused.publish
        assert refused.reason == "the candidate is unhealthy: sample_diversity"


def test_where_copies_cannot_be_told_a_better_score_is_no_reason() -> None:
    blind = replace(contest(1, 11, 10), unmeasured="copies of training pictures cannot be told")
    assert not blind.decide((), champion=True).publish
    assert blind.decide((), champion=False).publish


# --- The same network -------------------------------------------------------------------------


def folder(root: Path, name: str, weights: bytes) -> Path:
    place = root / name
    place.mkdir(parents=True)
    (place / "weights.safetensors").write_bytes(weights)
    return place


def test_networks_do_not_beat_themselves(tmp_path: Path) -> None:
    candidate = folder(tmp_path, "candidate", b"new")
    assert folders_to_compare(candidate, None) == {CANDIDATE: candidate}
    champion = folder(tmp_path, "champion", b"new")
    assert folders_to_compare(candidate, champion) == {CANDIDATE: candidate}
    best = folder(champion, BEST_FOLDER, b"old")
    assert folders_to_compare(candidate, champion) == {CANDIDATE: candidate, BEST: best}
    other = folder(tmp_path, "other", b"old")
    assert list(folders_to_compare(other, champion)) == [CANDIDATE, CHAMPION]


def test_the_same_network_is_told_as_such() -> None:
    one = contest(11, 11, 10)
    decision = one.decide((), champion=True, same=True)
    assert decision.publish
    assert decision.reason == "the candidate and the champion are the same network"
    assert not one.decide(("losses",), champion=True, same=True).publish


@pytest.mark.parametrize(
    ("candidate", "champion", "best", "same", "kept"),
    [
        (10, 11, 12, False, None),
        (11, 10, 12, False, b"champion"),
        (11, 12, 10, False, b"best"),
        # The champion of that contest was another one than what stands there now.
        (11, 10, 12, True, b"best"),
    ],
)
def test_the_best_one_stays_beside_what_is_published(
    tmp_path: Path, candidate: int, champion: int, best: int, same: bool, kept: bytes | None
) -> None:
    standing, out = folder(tmp_path, "standing", b"champion"), tmp_path / "out"
    folder(standing, BEST_FOLDER, b"best")
    out.mkdir()
    contest(candidate, champion, best).keep_best(standing, out, same=same)
    found = out / BEST_FOLDER / "weights.safetensors"
    assert (found.read_bytes() if found.exists() else None) == kept


@pytest.mark.parametrize(
    "scores", [None, (1, 11, 10), (11, 1, 10)], ids=["none", "lower", "higher"]
)
@pytest.mark.parametrize("recorded", [True, False])
def test_what_was_not_measured_takes_no_record(
    tmp_path: Path, scores: tuple[int, int, int] | None, recorded: bool
) -> None:
    """Be it that nothing was, or that a better score may be a copier's."""
    standing, out = folder(tmp_path, "standing", b"champion"), tmp_path / "out"
    if recorded:
        folder(standing, BEST_FOLDER, b"best")
    out.mkdir()
    blind = UNMEASURED if scores is None else replace(contest(*scores), unmeasured="copies")
    replace(blind, publish_unmeasured=True).keep_best(standing, out, same=False)
    found = (out / BEST_FOLDER / "weights.safetensors").read_bytes()
    assert found == (b"best" if recorded else b"champion")
