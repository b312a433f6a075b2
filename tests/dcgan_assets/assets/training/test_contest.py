"""What quality hands to publishing: nothing is lost on the way, and the gate gets it right."""

from __future__ import annotations

import math
from pathlib import Path

from dcgan_assets.assets.training.contest import BEST, CANDIDATE, CHAMPION, Contest
from dcgan_models.metrics.gate import Contender, Rule

RULE = Rule("frechet_distance", margin=0.05, floor=2.0, copied=0.1)


def contest(candidate: float, champion: float, best: float, copied: float = 0.0) -> Contest:
    contenders = {
        CANDIDATE: Contender(CANDIDATE, (candidate,), copied=copied),
        CHAMPION: Contender(CHAMPION, (champion,)),
        BEST: Contender(BEST, (best,)),
    }
    return Contest(RULE, contenders, "version")


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    one = contest(10, 11, 12, copied=0.3)
    one.write(tmp_path)
    assert Contest.read(tmp_path) == one
    contest(math.nan, 11, 12).write(tmp_path)
    found = Contest.read(tmp_path)
    assert math.isnan(found.contenders[CANDIDATE].scores[0])
    assert "NaN" not in (tmp_path / "contest.json").read_text()
    assert found.best() == CHAMPION
    Contest(None, {}, None).write(tmp_path)
    assert Contest.read(tmp_path) == Contest(None, {}, None)


def test_the_best_on_record_counts_only_while_something_is_published() -> None:
    one = contest(11, 11, 10)
    assert one.best() == BEST
    assert not one.decide((), champion=True).publish
    assert one.decide((), champion=False).publish
    assert not one.decide(("finite_losses",), champion=False).publish
    assert not contest(1, 11, 10, copied=0.2).decide((), champion=True).publish


def test_where_nothing_was_measured_health_decides() -> None:
    none = Contest(None, {}, "version")
    assert none.best() is None
    assert none.decide((), champion=True).publish
    refused = none.decide(("sample_diversity",), champion=True)
    assert not refused.publish
    assert refused.reason == "the candidate is unhealthy: sample_diversity"
