"""The gate's decision, on planted cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from dcgan_models.metrics.gate import Contender, Rule, decide, seed_noise

RULE = Rule("frechet_distance", margin=0.05)
CHAMPION = Contender("champion", (10.0, 11.0, 12.0))


def candidate(*scores: float, **facts: Any) -> Contender:
    return Contender("candidate", scores, **facts)


def test_a_better_candidate_is_published() -> None:
    decision = decide(candidate(8, 9, 10), CHAMPION, None, RULE)
    assert decision.publish
    assert decision.loss == -2
    assert "frechet_distance 9 against 11" in decision.reason
    assert "not worse than the champion" in decision.reason


def test_the_margin_is_a_share_of_the_reference() -> None:
    """5% of 11 is 0.55; a constant difference over the seeds has no noise."""
    assert decide(candidate(10.5, 11.5, 12.5), CHAMPION, None, RULE).publish
    worse = decide(candidate(10.6, 11.6, 12.6), CHAMPION, None, RULE)
    assert not worse.publish
    assert worse.allowed == pytest.approx(0.55)
    assert worse.loss == pytest.approx(0.6)
    assert "is worse than the champion by more" in worse.reason
    assert "allowed 11.55 (5% and" in worse.reason


def test_noise_is_that_of_the_paired_t_interval() -> None:
    one, other = (10.2, 11.9, 12.5, 9.9), (10.0, 11.0, 12.0, 10.5)
    low, high = ttest_rel(one, other).confidence_interval(0.95)
    assert seed_noise(one, other) == pytest.approx((high - low) / 2)
    assert seed_noise((3.0,), (1.0,)) == 0


def test_a_loss_within_the_noise_is_no_loss() -> None:
    """Mean loss 0.7, above the margin of 0.55, but the seeds scatter."""
    assert decide(candidate(12.6, 10.5, 12.0), CHAMPION, None, RULE).publish
    assert not decide(candidate(10.7, 11.7, 12.7), CHAMPION, None, RULE).publish


def test_an_unhealthy_candidate_is_never_published() -> None:
    perfect = candidate(0, 0, 0, failed=("sample_diversity", "losses"))
    for champion in (CHAMPION, None):
        decision = decide(perfect, champion, None, RULE)
        assert not decision.publish
        assert "unhealthy: sample_diversity, losses" in decision.reason


def test_a_memorised_training_set_is_caught_and_not_praised() -> None:
    decision = decide(candidate(0, 0, 0, copied=0.97), CHAMPION, None, RULE)
    assert not decision.publish
    assert "copies its training set" in decision.reason
    assert "97%" in decision.reason
    assert decide(candidate(0, 0, 0, copied=0.1), CHAMPION, None, RULE).publish
    assert not decide(candidate(0, 0, 0, copied=0.97), None, None, RULE).publish


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_candidate_without_a_number_is_never_published(score: float) -> None:
    for champion in (CHAMPION, None):
        decision = decide(candidate(1, score, 1), champion, None, RULE)
        assert not decision.publish
        assert "not finite" in decision.reason


def test_the_first_healthy_candidate_is_published() -> None:
    decision = decide(candidate(50, 60, 70), None, None, RULE)
    assert decision.publish
    assert decision.loss is None
    assert "no champion" in decision.reason


def test_small_losses_cannot_add_up() -> None:
    """Each generation is 4% worse than the last; all are held against the best one's 11."""
    best = Contender("best recorded champion", CHAMPION.scores)
    champion, published = CHAMPION, []
    for generation in range(1, 6):
        scores = np.array(CHAMPION.scores) * 1.04**generation
        newest = candidate(*scores.tolist())
        # Against the last champion alone every one would pass.
        assert decide(newest, Contender("champion", tuple(scores / 1.04)), None, RULE).publish
        decision = decide(newest, champion, best, RULE)
        published.append(decision.publish)
        if decision.publish:
            champion = Contender("champion", newest.scores)
    assert published == [True, False, False, False, False]
    assert champion.mean == pytest.approx(11 * 1.04)


def test_the_lower_of_champion_and_record_is_the_reference() -> None:
    weak = Contender("best recorded champion", (20.0, 20.0, 20.0))
    decision = decide(candidate(15, 15, 15), CHAMPION, weak, RULE)
    assert not decision.publish
    assert "the champion" in decision.reason
    recorded_only = decide(candidate(15, 15, 15), None, weak, RULE)
    assert recorded_only.publish
    assert "the best recorded champion" in recorded_only.reason


def test_a_reference_at_the_floor_leaves_a_margin() -> None:
    """A kernel distance may be 0 or below: a share of it would forbid everything."""
    zero = Contender("champion", (-0.1, -0.1))
    rule = Rule("kernel_distance", margin=0.5, floor=0.4)
    assert decide(candidate(0.05, 0.05), zero, None, rule).publish
    assert not decide(candidate(0.15, 0.15), zero, None, rule).publish


def test_scores_of_other_seeds_are_refused(refused: Any) -> None:
    with refused("'candidate': 2", "'champion': 3"):
        decide(candidate(1, 2), CHAMPION, None, RULE)
    with refused("'candidate': 0"):
        decide(candidate(), None, None, RULE)
    with refused("champion", "finite"):
        decide(candidate(1), Contender("champion", (math.nan,)), None, RULE)
