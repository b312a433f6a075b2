"""The gate's decision, on planted cases, and how often it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, t, ttest_rel

from dcgan_models.metrics.gate import (
    LEVEL,
    Contender,
    Decision,
    Loss,
    Rule,
    decide,
    loss_against,
    score_sets,
)

RULE = Rule("frechet_distance", margin=0.05, sets=3)
CHAMPION = Contender("champion", (10.0, 11.0, 12.0))


def candidate(*scores: float, **facts: Any) -> Contender:
    return Contender("candidate", scores, **facts)


def test_a_better_candidate_is_published() -> None:
    decision = decide(candidate(8, 9, 10), [CHAMPION], RULE)
    assert decision.publish
    assert decision.loss is not None
    assert decision.loss.mean == -2
    assert "within the margin of the champion: frechet_distance 9 against 11" in decision.reason
    assert "3 sets of samples" in decision.reason


def test_the_margin_is_a_share_of_the_reference() -> None:
    """5% of 11 is 0.55; a constant difference over the sets has no noise."""
    assert decide(candidate(10.5, 11.5, 12.5), [CHAMPION], RULE).publish
    worse = decide(candidate(10.6, 11.6, 12.6), [CHAMPION], RULE)
    assert not worse.publish
    assert worse.loss is not None
    assert worse.loss.allowed == pytest.approx(0.55)
    assert worse.loss.upper == worse.loss.mean == pytest.approx(0.6)
    assert "is worse than the champion by more than the margin" in worse.reason
    assert "a loss of 0.6 at most where 0.55 (5%) is allowed" in worse.reason


def test_the_upper_bound_is_that_of_the_paired_t_test() -> None:
    one, other = (10.2, 11.9, 12.5, 9.9), (10.0, 11.0, 12.0, 10.5)
    loss = loss_against(Contender("champion", other), candidate(*one), Rule("m", 0.05))
    paired = ttest_rel(one, other, alternative="less")
    assert loss.upper == pytest.approx(paired.confidence_interval(0.95).high)


def test_noise_is_no_excuse() -> None:
    """A loss within the margin is not proven by three sets that scatter by more than that."""
    decision = decide(candidate(10.9, 10.2, 12.1), [CHAMPION], RULE)
    assert decision.loss is not None
    assert 0 < decision.loss.mean < decision.loss.allowed
    assert not decision.loss.resolved
    assert not decision.publish
    assert "cannot be told whether the candidate is within the margin" in decision.reason


def test_the_scatter_is_that_of_the_first_sets_and_the_mean_that_of_all() -> None:
    first, later = (1.0, -1.0, 0.0), (0.5,) * 9
    loss = loss_against(
        Contender("champion", (10.0,) * 12),
        candidate(*(10 + step for step in first + later)),
        RULE,
    )
    assert loss.mean == pytest.approx(4.5 / 12)
    assert loss.noise == pytest.approx(t.ppf(0.95, 2) * 1 / math.sqrt(12))


def test_an_unhealthy_candidate_is_never_published() -> None:
    perfect = candidate(0, 0, 0, failed=("sample_diversity", "losses"))
    for references in ([CHAMPION], []):
        decision = decide(perfect, references, RULE)
        assert not decision.publish
        assert "unhealthy: sample_diversity, losses" in decision.reason


def test_a_memorised_training_set_is_caught_and_not_praised() -> None:
    decision = decide(candidate(0, 0, 0, copied=0.97), [CHAMPION], RULE)
    assert not decision.publish
    assert "copies its training set" in decision.reason
    assert "97%" in decision.reason
    assert decide(candidate(0, 1, 2, copied=0.1), [CHAMPION], RULE).publish
    assert not decide(candidate(0, 0, 0, copied=0.97), [], RULE).publish


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_candidate_without_a_number_is_never_published(score: float) -> None:
    for references in ([CHAMPION], []):
        decision = decide(candidate(1, score, 1), references, RULE)
        assert not decision.publish
        assert "not finite" in decision.reason


def test_the_first_healthy_candidate_is_published() -> None:
    decision = decide(candidate(50), [], RULE)
    assert decision.publish
    assert decision.loss is None
    assert "no champion (frechet_distance 50)" in decision.reason


def test_small_losses_cannot_add_up() -> None:
    """Each generation is 4% worse than the last; all are held against the best one's 11."""
    best = Contender("best recorded champion", CHAMPION.scores)
    champion, published = CHAMPION, []
    for generation in range(1, 6):
        scores = np.array(CHAMPION.scores) * 1.04**generation
        newest = candidate(*scores.tolist())
        # Against the last champion alone every one would pass.
        assert decide(newest, [Contender("champion", tuple(scores / 1.04))], RULE).publish
        decision = decide(newest, [champion, best], RULE)
        published.append(decision.publish)
        if decision.publish:
            champion = Contender("champion", newest.scores)
    assert published == [True, False, False, False, False]
    assert champion.mean == pytest.approx(11 * 1.04)


def test_the_candidate_must_be_within_the_margin_of_each_reference() -> None:
    weak = Contender("best recorded champion", (20.0, 20.0, 20.0))
    for references in ([CHAMPION, weak], [weak, CHAMPION]):
        decision = decide(candidate(15, 15, 15), references, RULE)
        assert not decision.publish
        assert "worse than the champion" in decision.reason
    assert decide(candidate(15, 15, 15), [weak], RULE).publish


def test_a_reference_at_the_floor_leaves_a_margin() -> None:
    """A kernel distance may be 0 or below: a share of it would forbid everything."""
    zero = Contender("champion", (-0.1, -0.1))
    rule = Rule("kernel_distance", margin=0.5, floor=0.4)
    assert decide(candidate(0.05, 0.05), [zero], rule).publish
    assert not decide(candidate(0.15, 0.15), [zero], rule).publish


def test_a_loss_of_just_the_margin_is_within_it() -> None:
    """5% of 10 are 0.5; and of a bound that is just the margin it is known that it is within."""
    flat = Contender("champion", (10.0, 10.0, 10.0))
    decision = decide(candidate(10.5, 10.5, 10.5), [flat], RULE)
    assert decision.publish
    assert decision.reason.startswith("the candidate is within the margin")
    assert Loss(flat, mean=0.0, noise=1.0, allowed=2.0).resolved
    assert not Loss(flat, mean=0.0, noise=1.01, allowed=2.0).resolved


def test_a_loss_whose_lower_bound_is_just_the_margin_is_not_told() -> None:
    one, champion = candidate(2.0, 1.5, 1.75), Contender("champion", (1.0, 1.0, 1.0))
    loss = loss_against(champion, one, RULE)
    # Of a mean of 1 the margin is the allowed loss itself.
    rule = Rule("m", margin=loss.mean - loss.noise, sets=3)
    assert "cannot be told" in decide(one, [champion], rule).reason
    stricter = Rule("m", margin=0.99 * rule.margin, sets=3)
    assert "worse than the champion by more" in decide(one, [champion], stricter).reason


def test_a_margin_is_a_share_of_the_reference_where_no_floor_is_given() -> None:
    loss = loss_against(Contender("champion", (0.5, 0.5)), candidate(0.5, 0.5), Rule("m", 0.05))
    assert loss.allowed == pytest.approx(0.025)


def test_the_reference_decides_whose_margin_is_passed_by_most() -> None:
    """0.02 beyond the champion's 0.5; a noisy reference's larger bound is within its 0.55."""
    champion = Contender("champion", (10.0, 10.0, 10.0))
    noisy = Contender("best recorded champion", (11 - 0.593, 11.0, 11 + 0.593))
    one = candidate(10.52, 10.52, 10.52)
    loss = loss_against(noisy, one, RULE)
    assert loss.upper == pytest.approx(-0.48 + t.ppf(0.95, 2) * 0.593 / math.sqrt(3))
    assert loss.upper > 0.5
    assert decide(one, [noisy], RULE).publish
    decision = decide(one, [champion, noisy], RULE)
    assert not decision.publish
    assert decision.loss is not None
    assert decision.loss.reference == champion


def test_two_sets_are_enough_however_many_references_there_are() -> None:
    two = [Contender(name, (10.0, 10.0)) for name in ("champion", "best recorded champion")]
    assert decide(candidate(9.0, 9.0), two, RULE).publish


def test_scores_of_other_sets_are_refused(refused: Any) -> None:
    with refused("'candidate': 2", "'champion': 3"):
        decide(candidate(1, 2), [CHAMPION], RULE)
    with refused("'candidate': 0"):
        decide(candidate(), [], RULE)
    with refused("at least 2"):
        decide(candidate(1), [Contender("champion", (1.0,))], RULE)
    with refused("champion", "finite"):
        decide(candidate(1, 1), [Contender("champion", (1.0, math.nan))], RULE)


# --- How many sets ----------------------------------------------------------------------------


def measured(true: Mapping[str, float], noise: float, seed: int) -> Callable[[str, int], float]:
    """Scores of generators whose true quality is known, with noise that is a share of it."""
    rng = np.random.default_rng(seed)
    return lambda name, number: true[name] * (1 + noise * rng.standard_normal())


def test_without_a_reference_one_set_is_scored() -> None:
    scores = score_sets(["candidate"], measured({"candidate": 9.0}, 0.1, 0), Rule("m", 0.05))
    assert {name: len(found) for name, found in scores.items()} == {"candidate": 1}


def test_a_candidate_that_has_no_score_is_scored_no_further() -> None:
    true = {"candidate": math.nan, "champion": 1.0}
    scores = score_sets(true, measured(true, 0.1, 0), Rule("m", 0.05))
    assert len(scores["champion"]) == 1
    one, champion = (Contender(name, found) for name, found in scores.items())
    assert decide(one, [champion], RULE).reason == "the candidate's frechet_distance is not finite"


@pytest.mark.parametrize(("noise", "least", "most"), [(0.001, 10, 10), (0.05, 11, 150)])
def test_there_are_as_many_sets_as_half_of_the_margin_takes(
    noise: float, least: int, most: int
) -> None:
    true = {"candidate": 11.0, "champion": 10.0, "best recorded champion": 9.9}
    rule = Rule("m", 0.05)
    for seed in range(20):
        scores = score_sets(true, measured(true, noise, seed), rule)
        one, *others = (Contender(name, found) for name, found in scores.items())
        assert least <= len(one.scores) <= most
        assert {len(other.scores) for other in others} == {len(one.scores)}
        assert all(loss_against(other, one, rule).resolved for other in others)


def test_there_are_no_more_sets_than_allowed() -> None:
    true = {"candidate": 10.0, "champion": 10.0}
    for margin in (0.05, 0.0):
        rule = Rule("m", margin, most_sets=30)
        scores = score_sets(true, measured(true, 0.3, 1), rule)
        assert len(scores["candidate"]) == 30
        found = {name: Contender(name, values) for name, values in scores.items()}
        assert not loss_against(found["champion"], found["candidate"], rule).resolved


# --- How often it is wrong --------------------------------------------------------------------


def decided(loss: float, noise: float, seed: int, rule: Rule) -> Decision:
    true = {"candidate": 10 * (1 + loss), "champion": 10.0}
    scores = score_sets(true, measured(true, noise, seed), rule)
    one, champion = (Contender(name, found) for name, found in scores.items())
    return decide(one, [champion], rule)


def published(loss: float, noise: float, times: int = 400, most_sets: int = 200) -> int:
    rule = Rule("m", 0.05, most_sets=most_sets)
    return sum(decided(loss, noise, seed, rule).publish for seed in range(times))


@pytest.mark.parametrize(("noise", "most_sets"), [(0.02, 200), (0.06, 200), (0.15, 40)])
def test_what_is_worse_by_the_margin_is_published_once_in_twenty_at_most(
    noise: float, most_sets: int
) -> None:
    """With budget or without: noise makes the gate strict, and never lenient."""
    found = published(0.05, noise, most_sets=most_sets)
    assert found <= binom.ppf(0.999, 400, LEVEL)
    assert published(0.2, noise, most_sets=most_sets) == 0


@pytest.mark.parametrize("noise", [0.02, 0.06])
def test_what_is_as_good_is_published(noise: float) -> None:
    """The bound is half of the margin away, so that it takes twice the noise to be kept."""
    assert published(0.0, noise) >= 0.93 * 400
    assert published(-0.05, noise, 100) == 100


def test_two_hundred_retrainings_do_not_drift() -> None:
    """Candidates of equal quality, but for luck in training: what is published gets no worse."""
    rng, rule = np.random.default_rng(0), Rule("m", 0.05, most_sets=100)
    champion = best = 100.0
    worst_ratio, best_ever = 0.0, 100.0
    for number in range(60):
        newest = 100 * (1 + 0.06 * rng.standard_normal())
        true = {"candidate": newest, "champion": champion, "best recorded champion": best}
        scores = score_sets(true, measured(true, 0.05, number), rule)
        one, *references = (Contender(name, found) for name, found in scores.items())
        if decide(one, references, rule).publish:
            means = {name: np.mean(found) for name, found in scores.items()}
            best = true[min(means, key=lambda name: means[name])]
            champion = newest
            best_ever = min(best_ever, newest)
        worst_ratio = max(worst_ratio, champion / best_ever)
    assert worst_ratio < 1.1
    assert champion < 100
