"""Checks of the paper's claims can fail: networks that learned nothing, or one picture, do.

`CLAIMS`, `FAULTS` and `OTHERS` name every check of every asset. A new one has to be put into one of
them. One of a claim is given bad networks, here or in the test that is named, and an untrained one
does not pass; one of a fault is given that fault, and is of no other.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_generator import small_generator

from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.assets.classification.svm_measures import RANDOM, TRAINED
from dcgan_assets.assets.classification.svm_scores import _judge
from dcgan_assets.assets.digits.mnist import _errors, judge_errors
from dcgan_assets.assets.internals.guided_backprop import judge_filters
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_models.internals.attribution import visualise_filters
from dcgan_models.neighbours.generated import labelled_blocks
from dcgan_models.neighbours.nearest import flat_pixels
from dcgan_models.networks import untrained_discriminator
from dcgan_models.presets import preset

HERE = Path(__file__).name
# What is claimed of networks, and where bad ones are put through it.
CLAIMS = {
    "beats_random_weights": HERE,
    "fired_by_like_things": HERE,
    "error_bound": HERE,
    "better_than_gan": HERE,
    **dict.fromkeys(
        (
            *("better_than_untrained", "object_is_forgotten", "arithmetic_adds_up"),
            *("samples_turn", "walk_is_gradual", "filters_mean_more", "smooth_and_real"),
        ),
        "internals/test_bad_networks.py",
    ),
}
# What one fault of a network, or of what it is measured by, is told by.
FAULTS = {
    "not_memorised": "publishing/test_quality_verdicts.py",
    "copies_found": "publishing/test_quality_verdicts.py",
    "floor_below_candidate": "publishing/test_quality_verdicts.py",
    "margin_resolved": "publishing/test_quality_verdicts.py",
}
# Of data and of the pipeline; of the health of a training, which test_health.py holds to planted
# faults; of instruments, and of the report.
OTHERS = {
    *("counts_add_up", "some_kept", "few_rejected", "not_blank", "something_found"),
    *("every_search_ended", "nobody_cut_off", "no_empty_class", "pixel_range"),
    *("one_kept_a_group", "finite_losses", "d_loss_above_zero", "g_loss_above_zero"),
    *("losses_within_reach", "losses_move", "diversity_kept", "filters_settled"),
    *("sample_diversity", "label_agreement", "few_dead_channels", "depends_on_z_alone"),
    *("complete", "small", "detectors_agree", "faces_found", "people_apart"),
    *("every_picture_once", "terms_known", "codes_trusted", "reads_factors", "sees_damage"),
    *("judge_reads", "faithful"),
}


def test_every_check_is_of_a_claim_or_not(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(profile_text("sample"), encoding="utf-8")
    steps = open_catalogue(Workspace(tmp_path)).steps
    named = {check.name for step in steps for check in step.checks}
    told = [*CLAIMS, *FAULTS, *OTHERS]
    assert sorted(named) == sorted(told)
    for check, place in {**CLAIMS, **FAULTS}.items():
        assert check in (Path(__file__).parent / place).read_text("utf-8"), place


def scores(errors: Any) -> list[SimpleNamespace]:
    """`Scores` of networks, by their errors: (networks, draws)."""
    return [SimpleNamespace(errors=np.asarray(one)) for one in errors]


def test_one_more_network_with_random_weights_does_not_beat_the_others() -> None:
    """Networks scatter by 2 points, draws of labels by 1; three networks are the control."""
    rng = np.random.default_rng(0)
    passed = []
    for _ in range(2000):
        networks = 0.6 + rng.normal(0, 0.02, (4, 1)) + rng.normal(0, 0.01, (4, 10))
        (verdict,) = _judge({TRAINED: scores(networks[:1]), RANDOM: scores(networks[1:])})
        passed.append(verdict.passed)
    assert np.mean(passed) < 0.035
    trained = scores([np.full(10, 0.4)])
    assert _judge({TRAINED: trained, RANDOM: scores(networks[1:])})[0].passed
    assert not _judge({TRAINED: trained, RANDOM: scores(networks[1:2])})[0].passed


def test_filters_that_never_learned_are_not_fired_by_likes() -> None:
    small = preset("lsun64").with_overrides(width=0.03)
    pictures = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    found = [
        visualise_filters(untrained_discriminator(small, pictures, seed), pictures, range(6), k=4)
        for seed in range(5)
    ]
    verdicts = [judge_filters(one, other) for one in found for other in found if one is not other]
    assert [verdict.facts for verdict in verdicts if verdict.passed] == []


def test_filters_that_each_fire_at_one_thing_are() -> None:
    rng = np.random.default_rng(0)
    things = rng.integers(0, 256, (6, 1, 20, 20, 3)).repeat(4, axis=1).astype(np.uint8)
    noise = rng.integers(0, 256, (6, 4, 20, 20, 3)).astype(np.uint8)
    grey = np.full(6, 128, np.uint8)
    trained, random = (SimpleNamespace(crops=crops, neutral=grey) for crops in (things, noise))
    assert judge_filters(trained, random).passed
    assert not judge_filters(random, trained).passed
    assert not judge_filters(trained, trained).passed


SHAPES = np.random.default_rng(0).integers(0, 190, (10, 28, 28, 1)).astype(np.uint8)
TRUTH = np.arange(500) % 10


def digits(labels: Any, seed: int, noise: int = 60) -> Any:
    """Made-up digits: each class a shape of its own under noise, uint8 (n, 28, 28, 1)."""
    rng = np.random.default_rng(seed)
    drawn = SHAPES[labels] + rng.integers(0, noise, (len(labels), 28, 28, 1))
    return drawn.clip(0, 255).astype(np.uint8)


class DrawsDigits:
    """A conditional generator made by hand."""

    preset = preset("mnist28")

    def __init__(self, how: str) -> None:
        self.how = how

    def draw(self, z: torch.Tensor, labels: torch.Tensor) -> Any:
        known = labels.numpy()
        match self.how:
            case "remembers":
                return digits(np.arange(10), 3)[known]
            case "one picture":
                return digits(known[:1] * 0, 3).repeat(len(known), axis=0)
            case "one label for another":
                return digits((known + 1) % 10, 3)
            case _:
                return digits(known, 3)


def error(generator: Any) -> float:
    """As the asset has it, of 300 references."""
    queries = flat_pixels(digits(TRUTH, 1)), torch.from_numpy(TRUTH)
    return _errors(queries, labelled_blocks(generator, 300, 0), (300,))[300]


def checks_of(dcgan: Any, gan: Any) -> dict[str, bool]:
    best = {"DCGAN": error(dcgan), "GAN": error(gan)}
    return {one.check: bool(one.passed) for one in judge_errors(best, 0.15, len(TRUTH))}


def test_digits_of_a_generator_that_learned_are_training_data() -> None:
    found = checks_of(DrawsDigits("learned"), small_generator("mnist28"))
    assert found == {"error_bound": True, "better_than_gan": True}


@pytest.mark.parametrize("how", ["untrained", "one picture", "one label for another"])
@pytest.mark.parametrize("gan", ["learned", "untrained"])
def test_digits_of_bad_generators_are_none(how: str, gan: str) -> None:
    """Be the GAN as good as can be or as bad as they are."""
    dcgan = small_generator("mnist28", seed=1) if how == "untrained" else DrawsDigits(how)
    other = small_generator("mnist28", seed=2) if gan == "untrained" else DrawsDigits(gan)
    assert checks_of(dcgan, other) == {"error_bound": False, "better_than_gan": False}


def test_remembered_digits_are_no_better_than_a_gan_that_learned() -> None:
    """That real digits have a small error is right; copies are refused when publishing."""
    assert not checks_of(DrawsDigits("remembers"), DrawsDigits("learned"))["better_than_gan"]


@pytest.mark.parametrize("rate", [0.1, 0.9])
def test_of_equal_networks_one_is_better_once_in_twenty(rate: float) -> None:
    rng = np.random.default_rng(0)
    wrong = rng.binomial(500, rate, (2000, 2)) / 500
    passed = [judge_errors({"DCGAN": a, "GAN": b}, 1, 500)[1].passed for a, b in wrong]
    assert np.mean(passed) < 0.055
