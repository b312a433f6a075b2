"""Sections on features and classifiers: as the paper measures, and every mistake is one line."""

from __future__ import annotations

import pytest
from edited_params import Edit, edited, params, profile, refusal

from dcgan_assets.params.classification import SupervisedCnn
from dcgan_assets.params.file import PROFILES
from dcgan_models.classification.features import feature_count
from dcgan_models.presets import preset


def test_the_paper_profile_measures_as_the_paper_does() -> None:
    paper = params(profile("paper"))
    assert paper.cifar10.svm_scores.per_class == 400
    assert paper.svhn.svm_scores.per_class == 100
    assert paper.svhn.svm_scores.validation == 10_000
    assert paper.svhn.svm_scores.choosing_draws == 10
    assert paper.svhn.svm_scores.draws == 100
    assert paper.svhn.svm_scores.costs == (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
    assert paper.svhn.supervised_cnn.trials == 64
    assert paper.svhn.supervised_cnn.resolved() == preset("svhn32")
    for group in (paper.imagenet, paper.svhn):
        assert (
            group.candidate.resolved().discriminator == preset(group.candidate.preset).discriminator
        )
    assert feature_count(paper.imagenet.candidate.resolved()) == 28_672
    assert (paper.imagenet.samples.rows, paper.imagenet.samples.columns) == (20, 20)


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "gallery"])
def test_every_profile_has_an_own_test_set(name: str) -> None:
    found = params(profile(name))
    stand_in = name == "sample"
    for group in (found.cifar10, found.svhn):
        assert (group.images.test is not None) == stand_in
        assert group.images.source != "folder"


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "gallery"])
def test_every_profile_knows_how_much_random_networks_differ(name: str) -> None:
    """By one alone the check `beats_random_weights` could never pass."""
    found = params(profile(name))
    for group in (found.cifar10, found.svhn):
        assert group.svm_scores.random_networks > 1


def test_the_search_counts_with_the_whole_preset() -> None:
    section = SupervisedCnn(
        preset="svhn32", width=0.5, epochs=1, trials=1, per_class=1, validation=1
    )
    assert section.identity()["preset"] == preset("svhn32").with_overrides(width=0.5).to_dict()


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param(
            lambda c: c["imagenet"]["samples"].update(order="best"),
            ["imagenet.samples.order", "'drawn' or 'score'"],
            id="unknown order",
        ),
        pytest.param(
            lambda c: c["svhn"]["features"].update(discriminator="cifar10"),
            ["svhn.features.discriminator", "'cifar10'"],
            id="nobody's discriminator",
        ),
        pytest.param(
            lambda c: c["svhn"]["svm_scores"].update(costs=[0.1, 0]),
            ["svhn.svm_scores.costs.1", "greater than 0"],
            id="C of zero",
        ),
        pytest.param(
            lambda c: c["svhn"]["svm_scores"].update(costs=[]),
            ["svhn.svm_scores.costs"],
            id="no C",
        ),
        pytest.param(
            lambda c: c["svhn"]["supervised_cnn"].update(preset="svhn33"),
            ["svhn.supervised_cnn", "unknown preset 'svhn33'"],
            id="unknown preset of the control",
        ),
        pytest.param(
            lambda c: c["svhn"]["features"].update(validation=0),
            ["svhn", "features.validation is 0", "in no statistics"],
            id="statistics of what C is chosen on",
        ),
        pytest.param(
            lambda c: c["mnist"]["ablations"].update(seeds=1),
            ["mnist.ablations.seeds", "greater than or equal to 2"],
            id="no verdict from one seed",
        ),
    ],
)
def test_mistakes(edit: Edit, words: list[str]) -> None:
    line = refusal(edited(edit))
    for word in words:
        assert word in line
