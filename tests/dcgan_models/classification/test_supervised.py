"""The supervised control: planted rules, chance, and searches that are stopped and killed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
import torch
from checkout import CHECKOUT
from fixture_types import Refused

from dcgan_models.classification import supervised, trials
from dcgan_models.classification.supervised import (
    Classifier,
    SearchResult,
    error_of_trial,
    search,
)
from dcgan_models.classification.trials import SEARCH_FILE, SPACE, Trial
from dcgan_models.networks import Discriminator, initialise
from dcgan_models.presets import Preset, preset

CLASSES = 4

Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def tiny() -> Preset:
    return preset("svhn32").with_overrides(width=0.06)


def planted(n: int, seed: int) -> Arrays:
    """Noise with a brighter quarter, whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    images = rng.integers(0, 200, (n, 32, 32, 3))
    for image, label in zip(images, labels, strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[top : top + 16, left : left + 16] += 30
    return images.astype(np.uint8), labels


def run(folder: Path, **changes: Any) -> SearchResult:
    """A search of seconds on planted pictures."""
    images, labels = planted(80, seed=0)
    judged, truth = planted(200, seed=1)
    given = {
        "images": images,
        "labels": labels,
        "validation_images": judged,
        "validation_labels": truth,
        "preset": tiny(),
        "folder": folder,
        "trials": 3,
        "epochs": 4,
        "seed": 7,
        "device": "cpu",
        **changes,
    }
    return search(**given)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return run(tmp_path_factory.mktemp("uninterrupted"))


# --- The network --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["svhn32", "imagenet32", "torch64"])
def test_is_the_discriminator_but_for_its_last_layer(name: str) -> None:
    ours, theirs = Classifier(preset(name), 10), Discriminator(preset(name))
    assert [block.layer for block in ours.blocks[:-1]] == list(preset(name).discriminator[:-1])
    shapes = {key: tuple(value.shape) for key, value in theirs.state_dict().items()}
    (last,) = [key for key in shapes if key.startswith(f"blocks.{len(theirs.blocks) - 1}.")]
    shapes[last] = (10, *shapes[last][1:])
    assert {key: tuple(value.shape) for key, value in ours.state_dict().items()} == shapes


def test_maps_are_those_of_the_released_discriminator() -> None:
    network = Classifier(preset("svhn32"), 10)
    initialise(network, torch.Generator().manual_seed(0))
    x, seen = torch.zeros(2, 3, 32, 32), []
    for block in network.blocks:
        x = block(x, None)
        seen.append(tuple(x.shape[1:]))
    # The shapes of the authors' SVHN weights, with ten units in the place of one.
    assert seen == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (10,)]


def test_dropout_drops_its_share_of_what_the_output_reads() -> None:
    network = Classifier(tiny(), CLASSES).train()
    initialise(network, torch.Generator().manual_seed(0))
    images = torch.randn(64, 3, 32, 32)
    read: list[torch.Tensor] = []
    network.blocks[-1].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    rng = torch.Generator().manual_seed(1)
    plain, same = network(images), network.logits_with_dropout(images, 0.0, rng)
    assert torch.equal(plain, same)
    network.logits_with_dropout(images, 0.25, rng)
    kept = read[-1] != 0
    assert abs(kept.float().mean().item() - 0.75) < 0.02
    torch.testing.assert_close(read[-1][kept], read[0][kept] / 0.75)


# --- What it learns -----------------------------------------------------------------------------


def test_learns_a_planted_rule(tmp_path: Path) -> None:
    result = run(tmp_path, trials=3, epochs=8)
    assert result.finished
    assert result.best.validation_error < 0.1  # chance is 0.75
    assert result.best.validation_error == min(t.validation_error for t in result.trials)


def test_labels_without_a_rule_leave_it_at_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    result = run(
        tmp_path,
        labels=rng.permutation(np.arange(80) % CLASSES),
        validation_labels=rng.integers(CLASSES, size=200),
        trials=2,
    )
    # Binomial(200, 3/4): a standard deviation is 0.031, and the lowest of eight looks is taken.
    assert 0.75 - 4 * 0.031 < result.best.validation_error < 0.75 + 2 * 0.031


def test_a_validation_error_is_that_of_the_network_in_use() -> None:
    images, labels = planted(80, 0)
    network = Classifier(tiny(), CLASSES)
    initialise(network, torch.Generator().manual_seed(0))
    judged, truth = planted(501, 1)  # one more than is computed at once
    data = supervised._Data.check(images, labels, judged, truth, tiny())
    error = supervised._error(network, data)
    assert not network.training
    scaled = torch.from_numpy(judged).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        answers = network(scaled).argmax(dim=1).numpy()
    assert error == pytest.approx((answers != truth).mean(), abs=1.01 / 501)


def test_a_loss_that_is_not_finite_ends_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = optuna.distributions.FloatDistribution(1e30, 1e31, log=True)
    # Several minibatches an epoch: the loss of the first comes before any harm.
    small = optuna.distributions.CategoricalDistribution((16,))
    monkeypatch.setattr(trials, "SPACE", {**SPACE, "learning_rate": wild, "batch": small})
    (trial,) = run(tmp_path, trials=1).trials
    assert trial.validation_error == 1
    assert trial.epochs < 4
    assert math.isnan(trial.training_loss)
    (again,) = run(tmp_path, trials=1).trials
    assert math.isnan(again.training_loss)
    assert again.parameters == trial.parameters


def test_a_trial_ends_after_four_looks_in_vain_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors by look, of ten in 20 epochs: three in vain, a better one, then four in vain."""
    errors = iter([0.5, 0.6, 0.5, 0.7, 0.4, 0.4, 0.4, 0.4, 0.4])
    monkeypatch.setattr(supervised, "_error", lambda network, data: next(errors))
    (trial,) = run(tmp_path, trials=1, epochs=20).trials
    assert (trial.validation_error, trial.best_epoch, trial.epochs) == (0.4, 10, 18)


def test_the_best_trial_is_tested_as_the_network_that_it_was(uninterrupted: SearchResult) -> None:
    images, labels = planted(80, seed=0)
    tested = partial(error_of_trial, uninterrupted.best, images, labels, preset=tiny(), threads=1)
    again = tested(*planted(200, seed=1), seed=7, device="cpu")
    assert again == uninterrupted.best.validation_error
    fresh = tested(*planted(200, seed=2), seed=7, device="cpu")
    assert fresh is not None
    assert abs(fresh - again) < 0.2
    # Answers to labels that mean nothing are no better than chance.
    pictures, truth = planted(400, seed=3)
    shuffled = np.random.default_rng(0).permutation(truth)
    chance = tested(pictures, shuffled, seed=7, device="cpu")
    assert chance == pytest.approx(0.75, abs=0.1)
    assert tested(pictures, truth, seed=7, device="cpu", should_stop=lambda: True) is None


# --- The search ---------------------------------------------------------------------------------


def test_trials_are_drawn_from_the_space(uninterrupted: SearchResult) -> None:
    assert [trial.number for trial in uninterrupted.trials] == [0, 1, 2]
    for trial in uninterrupted.trials:
        assert list(trial.parameters) == list(SPACE)
        for name, value in trial.parameters.items():
            assert SPACE[name]._contains(SPACE[name].to_internal_repr(value))
        assert 1 <= trial.best_epoch <= trial.epochs <= 4
        assert 0 < trial.training_loss < 5
    rates = {trial.parameters["learning_rate"] for trial in uninterrupted.trials}
    assert len(rates) == 3


def test_another_seed_gives_other_trials(uninterrupted: SearchResult, tmp_path: Path) -> None:
    (other,) = run(tmp_path, seed=8, trials=1).trials
    assert other.parameters != uninterrupted.trials[0].parameters


def test_stopped_in_a_trial_it_goes_on_to_the_same_table(
    uninterrupted: SearchResult, tmp_path: Path
) -> None:
    told: list[Trial] = []
    first = run(tmp_path, trials=1, progress=told.append)
    assert first.trials == uninterrupted.trials[:1]
    for minibatches in (0, 1, 3):
        calls = iter(range(minibatches))
        half = run(tmp_path, should_stop=lambda calls=calls: next(calls, None) is None)
        assert half == SearchResult(uninterrupted.trials[:1], finished=False, threads=1)
    assert run(tmp_path, progress=told.append) == uninterrupted
    assert tuple(told) == uninterrupted.trials
    # All are there: nothing is trained.
    assert run(tmp_path, progress=lambda trial: pytest.fail("trained again")) == uninterrupted
    assert run(tmp_path, trials=2).trials == uninterrupted.trials[:2]


@pytest.mark.skipif(os.cpu_count() == 1, reason="this machine has one core")
def test_a_search_goes_on_with_the_threads_that_it_began_with(tmp_path: Path) -> None:
    used = []

    def look(trial: Trial) -> None:
        used.append(torch.get_num_threads())

    torch.set_num_threads(2)
    try:
        run(tmp_path, trials=1, epochs=1, progress=look)
    finally:
        torch.set_num_threads(1)
    found = run(tmp_path, trials=2, epochs=1, progress=look)
    assert used == [2, 2]
    assert torch.get_num_threads() == 1
    # And the best is tested with them.
    images, labels = planted(80, seed=0)

    def stop() -> bool:
        used.append(torch.get_num_threads())
        return False

    error_of_trial(
        found.best,
        images,
        labels,
        *planted(200, seed=1),
        preset=tiny(),
        threads=found.threads,
        seed=7,
        device="cpu",
        should_stop=stop,
    )
    assert set(used) == {2}
    assert torch.get_num_threads() == 1


# Kills itself, as the system does when memory is short, at a minibatch given by its number.
_KILLED = """
import os, signal, sys
from pathlib import Path
from test_supervised import run
left = iter(range(int(sys.argv[2])))
def should_stop():
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
run(Path(sys.argv[1]), should_stop=should_stop)
"""


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_the_same_table(
    uninterrupted: SearchResult, tmp_path: Path
) -> None:
    begun = []
    for minibatch in (2, 6, 3, 1):
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED, str(tmp_path), str(minibatch)],
            cwd=Path(__file__).parent,
            env=_environment(),
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        begun.append(len(_study(tmp_path).trials))
    assert begun == [1, 3, 4, 5], "the second one finished a trial"
    result = run(tmp_path)
    assert result == uninterrupted
    states = [trial.state.name for trial in _study(tmp_path).trials]
    assert states.count("COMPLETE") == 3
    assert states.count("FAIL") == len(states) - 3 == 4


def _environment() -> dict[str, str]:
    folders = [CHECKOUT, CHECKOUT / "tests", CHECKOUT / "tests" / "dcgan_models"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


def _study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="supervised", storage=f"sqlite:///{folder / SEARCH_FILE}")


def test_nothing_is_pickled(tmp_path: Path) -> None:
    run(tmp_path, trials=1, epochs=1)
    content = (tmp_path / SEARCH_FILE).read_bytes()
    assert content.startswith(b"SQLite format 3")
    assert b"numpy" not in content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", SEARCH_FILE]


# --- Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["trials", "epochs"])
def test_counts_below_one(setting: str, tmp_path: Path, refused: Refused) -> None:
    with refused(f"{setting} is 0", "from 1"):
        run(tmp_path, **{setting: 0})
    assert not list(tmp_path.iterdir())


def test_labels_that_do_not_fit(tmp_path: Path, refused: Refused) -> None:
    labels = np.arange(80) % CLASSES
    with refused("training labels", "(79,)", "80 whole numbers"):
        run(tmp_path, labels=labels[:-1])
    with refused("training labels", "float64", "whole numbers"):
        run(tmp_path, labels=labels / 2)
    with refused("training labels", "picture 4 has -1"):
        run(tmp_path, labels=np.where(np.arange(80) == 4, -1, labels))
    with refused("validation labels", "4 is out of range", "0 to 3"):
        run(tmp_path, validation_labels=np.full(200, 4))
    with refused("class 2 of 0 to 3", "no example"):
        run(tmp_path, labels=np.where(labels == 2, 0, labels))
    with refused("one class only"):
        run(tmp_path, labels=np.zeros(80, int))
    with refused("validation labels", "(200,)", "199 whole numbers"):
        run(tmp_path, validation_images=planted(199, 1)[0])


def test_pictures_that_do_not_fit(tmp_path: Path, refused: Refused) -> None:
    with refused("uint8 (80, 28, 28, 3)", "svhn32", "(n, 32, 32, 3)"):
        run(tmp_path, images=planted(80, 0)[0][:, 2:-2, 2:-2])
    with refused("svhn32", "n at least 1"):
        run(tmp_path, validation_images=planted(0, 0)[0])
    with refused("mnist28", "conditional"):
        run(tmp_path, preset=preset("mnist28"))


def test_storage_of_another_search(tmp_path: Path, refused: Refused) -> None:
    run(tmp_path, trials=1)
    with refused(SEARCH_FILE, "another search", "seed 7 (saved) / 8 (asked)"):
        run(tmp_path, seed=8)
    with refused("another search", "epochs 4 (saved) / 5 (asked)"):
        run(tmp_path, epochs=5)
    with refused("another search", "data"):
        run(tmp_path, labels=np.arange(80)[::-1] % CLASSES)
    with refused("another search", "preset.discriminator.0.out"):
        run(tmp_path, preset=preset("svhn32").with_overrides(width=0.1))


def test_storage_that_is_none(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / SEARCH_FILE).write_text("no database")
    with refused(SEARCH_FILE, "not the storage of a search", "delete it"):
        run(tmp_path)


def test_two_searches_at_once(tmp_path: Path, refused: Refused) -> None:
    def meanwhile(trial: Trial) -> None:
        with refused(str(tmp_path), "another process"):
            run(tmp_path)

    run(tmp_path, trials=1, progress=meanwhile)
