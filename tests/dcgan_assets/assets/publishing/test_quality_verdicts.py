"""What the checks of `quality` say of a network with the fault that each is for.

They are of faults and of what measures them, not of learning: that an untrained candidate is worse
than a champion is the gate's to say.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dcgan_assets.assets.publishing.contest import CANDIDATE, CHAMPION, Contest
from dcgan_assets.assets.publishing.quality import (
    _floor_below_candidate,
    _Ground,
    _margin_resolved,
)
from dcgan_models.metrics.extractor import random_extractor
from dcgan_models.metrics.frechet import frechet_distance, moments
from dcgan_models.metrics.gate import Contender, Rule
from dcgan_models.metrics.memorisation import CopyBounds
from dcgan_models.metrics.planted_copies import COPY_EDITS, views
from dcgan_models.pixels import Pixels

RNG = np.random.default_rng(0)
COPIED = 0.02
SPACE = random_extractor()


def pictures(n: int, seed: int) -> Pixels:
    """Smooth pictures, no two alike: 4x4 colours enlarged to 32x32, uint8 (n, 32, 32, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


TRAIN, HELD, HONEST = pictures(400, 1), pictures(200, 2), pictures(200, 3)
BOUNDS = CopyBounds.of(SPACE.features(TRAIN), *views(SPACE, HELD))
DRAWN = {
    "new pictures": HONEST,
    "untrained": RNG.integers(0, 256, HONEST.shape, np.uint8),
    "one picture": HONEST[:1].repeat(200, axis=0),
    "remembers": TRAIN[RNG.integers(400, size=200)],
    "remembers, mirrored": TRAIN[RNG.integers(400, size=200), :, ::-1],
    "remembers, noisy": COPY_EDITS["noise"](TRAIN[:200], RNG),
    "one remembered picture": TRAIN[:1].repeat(200, axis=0),
}


def ground(space: Any, copied: float = 0.0) -> Any:
    """What the verdicts on copies look at, in a space."""
    return SimpleNamespace(
        bounds=CopyBounds.of(space.features(TRAIN), *views(space, HELD)),
        extractor=space,
        train=TRAIN,
        drawn={CANDIDATE: HONEST},
        copied={CANDIDATE: copied},
        section=SimpleNamespace(copied=COPIED, seed=0),
    )


@pytest.mark.parametrize("who", DRAWN)
def test_those_that_remember_are_not_passed_by_not_memorised(who: str) -> None:
    found = BOUNDS.judge(*views(SPACE, np.ascontiguousarray(DRAWN[who])))
    verdict = _Ground.not_memorised(ground(SPACE, found.low), CANDIDATE)
    assert verdict.check == "not_memorised"
    assert verdict.passed == ("remember" not in who), verdict.facts


class Blind:
    """A space in which all pictures lie anywhere."""

    name, resizer = "blind", "none"

    def features(self, shown: Pixels) -> np.ndarray:
        rng = np.random.default_rng(int(shown.astype(np.int64).sum()))
        return rng.normal(size=(len(shown), 32)).astype(np.float32)


@pytest.mark.parametrize("blind", [False, True])
def test_copies_found_fails_where_the_space_shows_none(blind: bool) -> None:
    space = Blind() if blind else SPACE
    verdict = _Ground.copies_found(ground(space), CANDIDATE)
    assert verdict.check == "copies_found"
    assert verdict.passed != blind, verdict.facts


@pytest.mark.parametrize(
    ("drawn", "passed"),
    [("untrained", True), ("one picture", True), ("the held-out pictures themselves", False)],
)
def test_floor_below_candidate_fails_where_real_pictures_come_out_worse(
    drawn: str, passed: bool
) -> None:
    real = moments(SPACE.features(HELD))
    floor, score = (
        frechet_distance(real, moments(SPACE.features(shown)))
        for shown in (TRAIN[:200], DRAWN.get(drawn, HELD))
    )
    candidate = Contender(CANDIDATE, (score, score))
    verdict = _floor_below_candidate(floor, candidate, "frechet_distance")
    assert verdict.check == "floor_below_candidate"
    assert verdict.passed == passed, verdict.facts


def test_a_candidate_without_a_score_fails_floor_below_candidate() -> None:
    candidate = Contender(CANDIDATE, (math.nan,))
    assert not _floor_below_candidate(1.0, candidate, "frechet_distance").passed


@pytest.mark.parametrize(("noise", "resolved"), [(0.1, True), (20.0, False), (math.nan, True)])
def test_margin_resolved_is_whether_the_noise_leaves_room(noise: float, resolved: bool) -> None:
    """Margins of 5 of 100, ten sets. A candidate without a score is not compared: nothing."""
    scatter = np.random.default_rng(1).normal(size=(2, 10))
    candidate, champion = (
        Contender(name, tuple(100 + noise * row))
        for name, row in zip((CANDIDATE, CHAMPION), scatter, strict=True)
    )
    champion = champion if math.isfinite(noise) else Contender(CHAMPION, (100.0,) * 10)
    contest = Contest(Rule("kid", 0.05), {CANDIDATE: candidate, CHAMPION: champion}, None)
    verdict = _margin_resolved(contest)
    assert verdict.check == "margin_resolved"
    assert verdict.passed == resolved, verdict.facts
