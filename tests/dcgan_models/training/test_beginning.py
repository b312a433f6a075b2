"""Where a training begins: what a run of another budget hands over, and why others do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import log_of, quick_run, state_of, without_saves

from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig, train
from dcgan_models.training.beginning import Beginning, EarlierRun, begin_run
from dcgan_models.training.checkpoint import run_lock, saved_states

pytestmark = pytest.mark.usefixtures("few_statistics")

PER_EPOCH = 3


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory, write_pictures: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (26, 28, 28, 1), dtype=np.uint8)
    folder: Path = write_pictures(tmp_path_factory.mktemp("digits"), pixels)
    return folder


def run_of(digits: Path, epochs: int, decay: int = 0, **settings: Any) -> TrainConfig:
    """Three minibatches an epoch and a tick after every four: few runs end at a tick."""
    config = quick_run(digits, {"epochs": epochs, "decay_epochs": decay}, **settings)
    return without_saves(replace(config, tick_steps=4))


def after(steps: int) -> Callable[[], bool]:
    """A `should_stop` that lets so many minibatches pass."""
    calls = itertools.count()
    return lambda: next(calls) >= steps


def earlier(run_dir: Path, config: TrainConfig, *, stopped: int | None = None) -> EarlierRun:
    """A run that was trained, to its end or so far."""
    finished = train(config, run_dir, should_stop=after(10**9 if stopped is None else stopped))
    assert finished == (stopped is None)
    return EarlierRun(run_dir, config, same_code=True)


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def what_it_left(run_dir: Path) -> tuple[Any, ...]:
    """Log, published networks, snapshots, grids, the newest state, and the epochs of those kept.

    Of the state without the statistics of the last snapshot, which training does not read.
    """
    tensors, facts = state_of(run_dir)
    learned = {n: t for n, t in tensors.items() if not n.endswith(("norm.mean", "norm.var"))}
    kept = [saved.epoch for saved in saved_states(run_dir) if saved.epoch is not None]
    made = files(run_dir / "result"), files(run_dir / "grids")
    assert made[0]
    return log_of(run_dir), *made, learned, facts, kept


def assert_as_from_the_start(config: TrainConfig, run_dir: Path) -> None:
    whole = run_dir.with_name("whole")
    assert train(config, whole)
    for found, expected in zip(what_it_left(run_dir), what_it_left(whole), strict=True):
        assert found == expected


# --- Going on -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "long", "at"),
    [
        ({"epochs": 3}, {"epochs": 5}, 3),
        pytest.param({"epochs": 4}, {"epochs": 5}, 4, marks=pytest.mark.slow),  # it ends at a tick
        ({"epochs": 3, "snapshots": (1, 3)}, {"epochs": 5, "snapshots": (1, 3, 5)}, 3),
        pytest.param(
            {"epochs": 3, "snapshots": (1, 2)},
            {"epochs": 5, "snapshots": (1,)},
            3,
            marks=pytest.mark.slow,
        ),
        pytest.param({"epochs": 3}, {"epochs": 4, "snapshots": (4,)}, 3, marks=pytest.mark.slow),
        ({"epochs": 3}, {"epochs": 3, "decay": 2}, 3),  # which falls after its fourth epoch
        ({"epochs": 2, "decay": 2, "snapshots": (2,)}, {"epochs": 5, "snapshots": (2,)}, 2),
        pytest.param(
            {"epochs": 5, "snapshots": (2,)},
            {"epochs": 3, "snapshots": (2,)},
            2,
            marks=pytest.mark.slow,
        ),
        ({"epochs": 5, "snapshots": (3,)}, {"epochs": 3, "snapshots": (3,)}, 3),
        # Epoch 2 has no snapshot there: so from before it, of what there is.
        ({"epochs": 4, "snapshots": (1, 3)}, {"epochs": 4, "snapshots": (1, 2, 3)}, 1),
    ],
)
def test_another_budget_goes_on_to_the_bits_of_a_run_from_the_start(
    digits: Path, tmp_path: Path, short: dict[str, Any], long: dict[str, Any], at: int
) -> None:
    other = earlier(tmp_path / "other", run_of(digits, **short))
    before = files(other.run_dir)
    config = run_of(digits, **long)
    assert begin_run(config, tmp_path / "run", [other]) == Beginning(at, other.run_dir)
    assert state_of(tmp_path / "run")[1]["step"] == at * PER_EPOCH
    steps = []
    assert train(config, tmp_path / "run", lambda tick: steps.append(tick.step))
    assert all(step > at * PER_EPOCH for step in steps[:-1])  # the last line may be all of it
    assert steps[-1] == config.epochs * PER_EPOCH
    assert_as_from_the_start(config, tmp_path / "run")
    assert files(other.run_dir) == before


def test_a_run_that_was_stopped_hands_over_what_it_did(digits: Path, tmp_path: Path) -> None:
    """In the middle of an epoch, with the sums and looks of a tick that is not full."""
    other = earlier(tmp_path / "other", run_of(digits, 3, snapshots=(1,)), stopped=7)
    config = run_of(digits, 5, snapshots=(1,))
    found = begin_run(config, tmp_path / "run", [other])
    assert (found.run_dir, found.epoch) == (other.run_dir, pytest.approx(7 / 3))
    assert train(config, tmp_path / "run")
    assert_as_from_the_start(config, tmp_path / "run")


def test_of_several_runs_the_furthest_state_is_taken(digits: Path, tmp_path: Path) -> None:
    near = earlier(tmp_path / "near", run_of(digits, 2))
    far = earlier(tmp_path / "far", run_of(digits, 4), stopped=8)
    config = run_of(digits, 5)
    own = earlier(tmp_path / "run", config, stopped=7)
    assert begin_run(config, own.run_dir, [near]) == Beginning(7 / 3, own.run_dir)
    assert begin_run(config, own.run_dir, [near, far]) == Beginning(8 / 3, far.run_dir)
    assert train(config, own.run_dir)
    assert_as_from_the_start(config, own.run_dir)
    assert begin_run(config, own.run_dir, [near, far]) == Beginning(5, own.run_dir)


def test_a_kill_while_it_is_handed_over_costs_nothing(digits: Path, tmp_path: Path) -> None:
    """The state comes last: what had come by then comes again."""
    other = earlier(tmp_path / "other", run_of(digits, 3, snapshots=(1,)))
    config = run_of(digits, 4, snapshots=(1,))
    begin_run(config, tmp_path / "run", [other])
    newest = saved_states(tmp_path / "run")[-1].path
    newest.unlink()
    (tmp_path / "run" / "grids" / "epoch_0001.png").write_bytes(b"half")
    assert begin_run(config, tmp_path / "run", [other]).epoch == 3
    assert train(config, tmp_path / "run")
    assert_as_from_the_start(config, tmp_path / "run")


def test_a_damaged_state_gives_way_to_the_one_before_it(digits: Path, tmp_path: Path) -> None:
    config = replace(run_of(digits, 3), save_seconds=0.0)
    other = earlier(tmp_path / "other", config)
    newest = saved_states(other.run_dir)[-1].path
    newest.write_bytes(newest.read_bytes()[:-1])
    longer = run_of(digits, 4)
    assert begin_run(longer, tmp_path / "run", [other]) == Beginning(8 / 3, other.run_dir)
    assert train(longer, tmp_path / "run")
    assert_as_from_the_start(longer, tmp_path / "run")


# --- Beginning anew -------------------------------------------------------------------------


def test_what_differs_otherwise_is_named(digits: Path, tmp_path: Path) -> None:
    config = run_of(digits, 3, data_version="one")
    other = earlier(tmp_path / "other", config, stopped=1)
    chosen = config.preset
    wider = preset("mnist28").with_overrides(width=0.03, batch=8, epochs=4, decay_epochs=0)
    narrow, apart = (
        preset("mnist28").with_overrides(
            width=width, discriminator_width=0.01, batch=8, epochs=4, decay_epochs=0
        )
        for width in (0.02, 0.03)
    )
    *hidden, output = chosen.generator
    layers = (*hidden, replace(output, norm=True))
    for changed, words in (
        (replace(config, seed=6), "has another seed: 5, now 6"),
        (replace(config, data_version="two"), "has other pictures"),
        (replace(config, preset=wider), "has another width: 0.02, now 0.03"),
        (replace(config, preset=narrow), "has another discriminator width: 0.02, now 0.01"),
        (
            replace(config, preset=apart),
            "has another width: 0.02, now 0.03 and has another discriminator width: 0.02, now 0.01",
        ),
        (
            replace(config, preset=replace(chosen, schedule="both")),
            "has another schedule: alternate, now both",
        ),
        (replace(config, preset=replace(chosen, batch=4)), "has another batch: 8, now 4"),
        (
            replace(config, preset=replace(chosen, learning_rate=1e-3)),
            "has another learning rate: 0.0002, now 0.001",
        ),
        (replace(config, preset=replace(chosen, generator=layers)), "has other layers"),
        (
            replace(config, seed=7, precision="bf16"),
            "has another precision: fp32, now bf16 and has another seed: 5, now 7",
        ),
    ):
        found = begin_run(changed, tmp_path / "run", [other])
        assert found == Beginning(0, other.run_dir, words)
    found = begin_run(config, tmp_path / "run", [replace(other, same_code=False)])
    assert found == Beginning(0, other.run_dir, "was trained by other code")
    networks = preset("mnist28_fc").with_overrides(batch=8)
    assert begin_run(replace(config, preset=networks), tmp_path / "run", [other]).run_dir is None
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("short", "long", "words"),
    [
        (
            {"epochs": 1, "decay": 2},
            {"epochs": 4},
            "has another learning rate from epoch 3 on and no state from before",
        ),
        ({"epochs": 4}, {"epochs": 2}, "is of 4 epochs and has no state of the first 2"),
        (
            {"epochs": 2},
            {"epochs": 4, "snapshots": (1,)},
            "kept no snapshot of epoch 1 and has no state from before",
        ),
    ],
)
def test_a_budget_that_has_no_state_in_common_is_told_why(
    digits: Path, tmp_path: Path, short: dict[str, Any], long: dict[str, Any], words: str
) -> None:
    other = earlier(tmp_path / "other", run_of(digits, **short))
    found = begin_run(run_of(digits, **long), tmp_path / "run", [other])
    assert found == Beginning(0, other.run_dir, words)
    assert not (tmp_path / "run").exists()


def test_the_run_that_comes_nearest_is_named(digits: Path, tmp_path: Path) -> None:
    config = run_of(digits, 3)
    runs = [
        EarlierRun(tmp_path / name, changed, same_code=True)
        for name, changed in (
            ("both", replace(config, seed=6, data_version="two")),
            ("late", replace(config, seed=7)),
            ("early", replace(config, seed=8)),
        )
    ]
    assert begin_run(config, tmp_path / "run", runs).run_dir == tmp_path / "late"
    assert begin_run(config, tmp_path / "run", []) == Beginning(0, None)


def test_a_run_at_work_and_one_without_a_whole_state_are_left_alone(
    digits: Path, tmp_path: Path
) -> None:
    other = earlier(tmp_path / "other", run_of(digits, 2))
    config = run_of(digits, 3)
    with run_lock(other.run_dir):
        found = begin_run(config, tmp_path / "run", [other])
    assert "another process is training in this folder" in found.reason
    for saved in saved_states(other.run_dir):
        saved.path.write_bytes(b"damaged")
    found = begin_run(config, tmp_path / "run", [other])
    assert found.run_dir == other.run_dir
    assert "no state before it is whole" in found.reason
    assert not saved_states(tmp_path / "run")


def test_a_much_longer_run_has_fewer_lines_from_there_on(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of 20 minibatches, then of 40: those that are there stay, and no mean is lost."""
    monkeypatch.setattr("dcgan_models.training.config._TICK", 10)
    monkeypatch.setattr("dcgan_models.training.config._MOST_TICKS", 40)
    short, long = (replace(run_of(digits, n), tick_steps=None) for n in (134, 334))
    other = earlier(tmp_path / "other", short, stopped=130)
    begin_run(long, tmp_path / "run", [other])
    assert train(long, tmp_path / "run", should_stop=after(80)) is False
    steps = [line["step"] for line in log_of(tmp_path / "run")]
    assert steps == [20, 40, 60, 80, 100, 120, 160, 200]
