"""Checks of what judges counted: what learned nothing fails them, and what was planted passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from dcgan_assets.assets.internals.concept_claims import judge_forgotten, judge_sums, judge_turning
from dcgan_assets.assets.internals.looking import Nearness
from dcgan_assets.assets.internals.sample_claims import judge_lifts, judge_walking
from dcgan_models.internals.judged_walk import JudgedWalks

TIMES = 400
NO_PICTURES = np.zeros((0, 8, 8, 3), np.uint8)
NEAR, FAR = Nearness(10, 15), Nearness(15, 15)


def test_what_changes_anyhow_does_not_turn() -> None:
    rng = np.random.default_rng(0)
    places = np.arange(11)
    anyhow, along = (
        np.array([spearmanr(places, row).statistic for row in rows])
        for rows in (rng.normal(size=(100, 11)), places + rng.normal(0, 0.5, (100, 11)))
    )
    assert not judge_turning(anyhow, NEAR).passed
    assert not judge_turning(-along, NEAR).passed
    assert not judge_turning(along, FAR).passed
    assert judge_turning(along, NEAR).passed


def test_one_more_draw_of_random_maps_forgets_nothing() -> None:
    rng = np.random.default_rng(0)
    left = rng.binomial(500, rng.normal(0.5, 0.06, (TIMES, 11)))
    passed = [judge_forgotten(350, one[0], one[1:].tolist(), NEAR).passed for one in left]
    assert np.mean(passed) < 0.05
    control = left[0, 1:].tolist()
    assert judge_forgotten(350, 60, control, NEAR).passed
    assert not judge_forgotten(350, 60, control, FAR).passed
    assert not judge_forgotten(50, 60, control, NEAR).passed


def test_results_that_are_right_by_chance_do_not_add_up() -> None:
    """Any samples are the same ones for each expression, so that their shares go together."""
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(TIMES):
        chance = int(rng.binomial(200, 0.4))
        right = {name: (int(rng.binomial(200, 0.4)), chance) for name in "abcd"}
        passed.append(judge_sums(right, 200, NEAR).passed)
    assert np.mean(passed) < 0.05
    right = {"a": (180, 20), "b": (90, 80)}
    planted = judge_sums(right, 200, NEAR)
    assert planted.passed
    assert not judge_sums(right, 200, FAR).passed
    assert planted.facts["b"] == "90 of 200, by chance 80"


def test_filters_that_never_learned_mean_no_more() -> None:
    rng = np.random.default_rng(0)
    passed = [judge_lifts(*rng.normal(1.3, 0.3, (2, 6))).passed for _ in range(TIMES)]
    assert np.mean(passed) < 0.05
    assert judge_lifts([2.0, 2.5, 1.9, 2.2], [1.1, 1.3, 1.0, 1.2]).passed
    assert not judge_lifts([2.0], [1.0]).passed


def test_a_walk_that_jumps_or_goes_through_halves_is_not_gradual() -> None:
    calm, half = np.full(4, 0.02), np.full(4, 0.3)
    steps = np.zeros((4, 9))
    jump = steps.copy()
    jump[2, 5] = 3
    fade = JudgedWalks(NO_PICTURES, steps, half, sharp=False)
    walk = JudgedWalks(NO_PICTURES, steps, calm, sharp=False)
    assert judge_walking(walk, fade, 3, NEAR).passed
    assert not judge_walking(walk, fade, 3, FAR).passed
    assert not judge_walking(replace(walk, changes=jump), fade, 3, NEAR).passed
    assert not judge_walking(replace(walk, sharp=True), fade, 3, NEAR).passed
    assert not judge_walking(fade, fade, 3, NEAR).passed


def test_a_walk_that_is_as_undecided_as_a_fade_seldom_passes() -> None:
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(TIMES):
        walk, fade = (
            JudgedWalks(NO_PICTURES, np.zeros((20, 9)), undecided, sharp=False)
            for undecided in rng.normal(0.1, 0.08, (2, 20))
        )
        passed.append(judge_walking(walk, fade, 3, NEAR).passed)
    assert np.mean(passed) < 0.05
