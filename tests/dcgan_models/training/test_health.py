"""The rules of health: on made logs at their bounds, on planted filters, and on real trainings."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkout import CHECKOUT
from torch import Tensor

from dcgan_models.networks import BatchNorm, Generator, draw_latents, initialise
from dcgan_models.presets import preset
from dcgan_models.training import TrainConfig, train
from dcgan_models.training.health import FilterWatch, judge_health
from dcgan_models.training.loop import _Run
from dcgan_models.training.team import Team

Log = list[dict[str, Any]]


def log_of(
    d_loss: Sequence[float | None] = (),
    spread: Sequence[float] = (),
    oscillating: Sequence[float] = (),
    g_loss: Sequence[float | None] = (),
) -> Log:
    """A log of healthy lines, but for what is given of each figure."""
    n = max(len(d_loss), len(spread), len(oscillating), len(g_loss))
    log: Log = [
        {
            "d_loss": 1.3 - 0.01 * (tick % 3),
            "g_loss": 0.8 + 0.01 * (tick % 4),
            "fixed_z_spread": 0.4,
            "oscillating_filters": 0.0,
        }
        for tick in range(n)
    ]
    for name, values in (
        ("d_loss", d_loss),
        ("g_loss", g_loss),
        ("fixed_z_spread", spread),
        ("oscillating_filters", oscillating),
    ):
        for line, value in zip(log, values, strict=False):
            line[name] = value
    return log


RULES = [
    "d_loss_above_zero",
    "g_loss_above_zero",
    "losses_within_reach",
    "losses_move",
    "diversity_kept",
    "filters_settled",
]


def ailing(log: Log) -> set[str]:
    """The rules that do not hold."""
    findings = judge_health(log)
    assert [finding.rule for finding in findings] == RULES
    return {finding.rule for finding in findings if finding.healthy is False}


def unmeasured(log: Log) -> set[str]:
    """The rules of which the log does not tell."""
    return {finding.rule for finding in judge_health(log) if finding.healthy is None}


# --- Made logs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "holds"),
    [
        ([0.019, 0.018, 0.019, 0.018, 0.017], False),
        ([0.02, 0.01, 0.0, 0.0, 0.01], True),
        ([0.0, 1e-6, 0.0, 0.0, 0.0], False),
        ([0.0] * 4, None),  # too few
        ([], None),
        ([0.0, 0.0, 0.02, 0.0, 0.0], True),
        ([0.02, 0.0, 1e-6, 0.0, 0.0, 0.0], False),  # five ticks ago is long ago
        ([0.0] * 5 + [1.3], True),
        ([0.0, None, 0.0, None, 0.019], False),
        ([None] * 5, None),
    ],
)
@pytest.mark.parametrize("network", ["d_loss", "g_loss"])
def test_a_loss_is_above_zero(network: str, losses: list[float | None], holds: bool | None) -> None:
    log = log_of(**{network: losses})  # type: ignore[arg-type]
    rule = f"{network}_above_zero"
    assert ailing(log) == ({rule} if holds is False else set())
    assert (rule in unmeasured(log)) == (holds is None)


@pytest.mark.parametrize("network", ["d_loss", "g_loss"])
def test_no_network_is_beaten(network: str) -> None:
    above = [12.0, 11.0, 10.5, 13.0, 10.1]
    for losses, holds in (
        (above, False),
        ([0.7, *above], False),
        ([12.0, 11.0, 9.9, 13.0, 10.1], True),
        ([*above, 4.0], True),
    ):
        log = log_of(**{network: losses})  # type: ignore[arg-type]
        assert ailing(log) == (set() if holds else {"losses_within_reach"})


@pytest.mark.parametrize("network", ["d_loss", "g_loss"])
def test_losses_that_do_not_move(network: str) -> None:
    for losses, holds in (
        ([0.6931] * 5, False),
        ([1.3, 1.2, *[1.3863] * 5], False),
        ([0.69310, 0.69311, 0.69312, 0.69310, 0.69311], False),
        ([0.6931, 0.6933, 0.6931, 0.6931, 0.6931], True),
        ([*[0.6931] * 5, 0.7], True),
        ([0.7, None, None, None, None], True),  # one says nothing, and the other moves
    ):
        log = log_of(**{network: losses})  # type: ignore[arg-type]
        assert ailing(log) == (set() if holds else {"losses_move"})


def course(start: float, end: float, ticks: int, seed: int) -> list[float]:
    """A loss that falls or rises by a constant factor, with a tenth of noise."""
    noise = np.random.default_rng(seed).normal(1, 0.1, ticks)
    return (np.geomspace(start, end, ticks) * noise).tolist()


@pytest.mark.parametrize("ticks", [5, 20, 200])
def test_a_network_that_wins_outright_is_found_from_either_side(ticks: int) -> None:
    fall, rise = course(0.7, 1e-5, ticks, 0), course(0.7, 16.0, ticks, 1)
    # The last ticks are of the end, however few there are.
    fall[-5:], rise[-5:] = course(1e-4, 1e-5, 5, 2), course(13, 16, 5, 3)
    d_wins, g_wins = log_of(d_loss=fall, g_loss=rise), log_of(d_loss=rise, g_loss=fall)
    assert ailing(d_wins) == {"d_loss_above_zero", "losses_within_reach"}
    assert ailing(g_wins) == {"g_loss_above_zero", "losses_within_reach"}
    # Each is enough of a sign by itself.
    assert ailing(log_of(d_loss=fall)) == {"d_loss_above_zero"}
    assert ailing(log_of(g_loss=rise)) == {"losses_within_reach"}


@pytest.mark.parametrize("ticks", range(6))
def test_a_short_log_is_told_from_a_good_one(ticks: int) -> None:
    bad = log_of(
        d_loss=[0.0] * ticks, g_loss=[0.0] * ticks, spread=[0.0] * ticks, oscillating=[1.0] * ticks
    )
    fine = log_of(oscillating=[0.0] * ticks)
    if ticks < 5:
        assert unmeasured(bad) == unmeasured(fine) == set(RULES)
        assert all("not measured" in finding.words for finding in judge_health(bad))
    else:
        # Of what they once varied by nothing is known in the first five.
        assert unmeasured(fine) == ({"diversity_kept"} if ticks == 5 else set())
        assert ailing(fine) == set()
        assert ailing(bad) == set(RULES) - unmeasured(bad) - {"losses_within_reach"}
    if ticks:  # what was logged is what is shown
        assert judge_health(bad)[0].value == 0
        assert judge_health(fine)[0].value == pytest.approx(1.3)


def released() -> list[Log]:
    """The losses of the networks that the project has released, as DVC's remote holds them."""
    logs = []
    for path in sorted(CHECKOUT.glob("dvc-remote/files/md5/*/*")):
        if path.read_bytes()[:9] == b'"epoch","':
            with path.open(encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            losses = {
                name: [float(row[name]) if row[name] else None for row in rows]
                for name in ("d_loss", "g_loss")
            }
            logs.append(log_of(**losses))  # type: ignore[arg-type]
    return logs


def test_the_released_trainings_are_healthy_at_every_tick() -> None:
    logs = released()
    assert len(logs) >= 7
    for log in logs:
        assert len(log) >= 20
        assert not set().union(*(ailing(log[: tick + 1]) for tick in range(len(log))))
        assert not unmeasured(log)


@pytest.mark.parametrize(
    ("spreads", "holds"),
    [
        ([0.4] + [0.2] * 5, True),
        ([0.4] + [0.199] * 5, False),
        ([0.4] + [0.0] * 5, False),
        ([0.4] + [0.0] * 4, True),  # too few
        ([0.0] * 5, True),
        ([0.0] * 6, False),  # one picture for every z, from the first tick on
        ([], True),
        ([0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.2], True),
        ([0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1], False),
        ([0.4, 0.0, 0.0, 0.0, 0.0, 0.3], True),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], True),
    ],
)
def test_diversity_is_kept(spreads: list[float], holds: bool) -> None:
    assert ailing(log_of(spread=spreads)) == (set() if holds else {"diversity_kept"})


@pytest.mark.parametrize(
    ("shares", "holds"),
    [
        ([0.05] * 5, True),
        ([0.051] * 5, False),
        ([1.0] * 4, True),  # too few
        ([], True),
        ([1.0, 0.0, 1.0, 0.0, 0.0], True),
        ([1.0, 0.0, 1.0, 0.0, 0.2], False),  # most of five
        ([1.0] * 5 + [0.0, 0.0], False),
        ([1.0] * 5 + [0.0, 0.0, 0.0], True),
    ],
)
def test_filters_are_settled(shares: list[float], holds: bool) -> None:
    assert ailing(log_of(oscillating=shares)) == (set() if holds else {"filters_settled"})


def test_a_finding_says_its_figure_and_its_bound() -> None:
    log = log_of(
        d_loss=[0.01, 0.009] * 4,
        g_loss=[0.007] * 8,
        spread=[0.4] * 3 + [0.1] * 5,
        oscillating=[0.3] * 8,
    )
    assert ailing(log) == {*RULES} - {"losses_within_reach"}
    d, g, _, move, diversity, filters = judge_health(log)
    assert (g.value, g.bound) == (0.007, 0.02)
    assert "0.007 nats in 5 ticks: D learns nothing" in g.words
    assert move.value == 0
    assert (d.value, d.bound) == (0.01, 0.02)
    assert "0.01 nats" in d.words
    assert (diversity.value, diversity.bound) == (pytest.approx(0.25), 0.5)
    assert "25%" in diversity.words
    assert (filters.value, filters.bound) == (0.3, 0.05)
    assert "30%" in filters.words
    assert not any("\n" in finding.words for finding in judge_health(log))
    beaten = judge_health(log_of(g_loss=[11.0, 12.0, 13.0, 14.0, 15.0]))[2]
    assert (beaten.value, beaten.bound) == (11.0, 10.0)
    assert "at least 11 nats in 5 ticks" in beaten.words


@pytest.mark.parametrize("ticks", range(8))
def test_figures_are_numbers_however_short_the_log(ticks: int) -> None:
    """They are shown in a web page and stored as JSON, which has no infinity."""
    for log in (log_of(d_loss=[1.3] * ticks), log_of(d_loss=[None] * ticks)):
        values = [finding.value for finding in judge_health(log)]
        assert all(value is None or math.isfinite(value) for value in values)
        assert ticks or values == [None] * len(RULES)


# --- Planted filters ------------------------------------------------------------------------

SIDE = 4  # of the first maps
UNITS = slice(0, SIDE * SIDE)  # the first channel's, each with its own scale and shift


@pytest.fixture
def generator() -> Generator:
    chosen = preset("svhn32").with_overrides(width=0.05)
    generator = Generator(chosen)
    initialise(generator, torch.Generator().manual_seed(0))
    generator.fixed_z = draw_latents(chosen, 100, torch.Generator().manual_seed(1))
    return generator


def channels_of(generator: Generator) -> int:
    first, *others = list(generator.blocks)[:-1]
    assert first.layer.reshape is not None
    return int(first.layer.reshape[0]) + sum(int(block.layer.out) for block in others)


@torch.no_grad()
def paint(generator: Generator, picture: Tensor, varies: float) -> None:
    """Let the first channel show a picture (4, 4), and z by so much beside it."""
    norm = generator.blocks[0].norm
    assert isinstance(norm, BatchNorm)
    assert norm.weight is not None
    assert norm.bias is not None
    norm.weight[UNITS] = varies
    norm.bias[UNITS] = picture.flatten()


def pictures() -> tuple[Tensor, Tensor]:
    """Two positive maps that differ as much as they vary over the plane."""
    rng = torch.Generator().manual_seed(2)
    one, other = torch.rand((2, SIDE, SIDE), generator=rng)
    return one + 2, other + 2


def swinging(look: int) -> Tensor:
    one, other = pictures()
    return 3 * (one if look % 2 else other) - 4


def drifting(look: int) -> Tensor:
    one, other = pictures()
    return one + look * (other - 1.9)


def still(look: int) -> Tensor:
    return pictures()[0]


def looks(
    generator: Generator, shown: Callable[[int], Tensor], varies: float, count: int = 6
) -> list[float]:
    """Shares of oscillating channels, the first channel being painted before each look."""
    watch, found = FilterWatch(generator), []
    for look in range(count):
        paint(generator, shown(look), varies)
        found.append(watch.look()[1])
    return found


def test_a_channel_that_shows_one_swinging_map_is_found(generator: Generator) -> None:
    share = 1 / channels_of(generator)
    assert looks(generator, swinging, 0.0) == [0.0, 0.0, *[pytest.approx(share)] * 4]


@pytest.mark.parametrize(
    ("shown", "varies"),
    [(still, 0.0), (drifting, 0.0), (swinging, 3.0), (still, 1.0)],
    ids=["still", "drifting", "swinging but of z", "healthy"],
)
def test_other_channels_are_left_alone(
    generator: Generator, shown: Callable[[int], Tensor], varies: float
) -> None:
    assert looks(generator, shown, varies) == [0.0] * 6


def test_a_dead_channel_does_not_oscillate(generator: Generator) -> None:
    assert looks(generator, lambda look: torch.full((SIDE, SIDE), -1.0 - look % 2), 0.0) == [0] * 6


def test_spread_is_the_distance_to_the_mean_picture(generator: Generator) -> None:
    """Of the first 64 latents, drawn by the statistics of their own minibatch."""
    spread, _ = FilterWatch(generator).look()
    assert generator.fixed_z is not None
    generator.train()
    drawn = generator(generator.fixed_z[:64]).detach().double().numpy()
    distances = ((drawn - drawn.mean(0)) ** 2).reshape(64, -1).mean(1)
    assert spread == pytest.approx(float(np.sqrt(distances.mean())), rel=1e-5)
    with torch.no_grad():
        generator.blocks[0].norm.weight.zero_()  # now nothing hangs on z
    assert FilterWatch(generator).look()[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("stopped", [0, 1, 2, 4])
def test_a_watch_that_goes_on_sees_what_it_would_have_seen(
    generator: Generator, stopped: int
) -> None:
    expected = looks(generator, swinging, 0.0)
    first, found = FilterWatch(generator), []
    for look in range(6):
        if look == stopped:
            kept = {name: tensor.clone() for name, tensor in first.state().items()}
            first = FilterWatch(generator)
            first.restore(kept)
        paint(generator, swinging(look), 0.0)
        found.append(first.look()[1])
    assert found == expected


def test_a_look_changes_nothing(generator: Generator) -> None:
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    FilterWatch(generator).look()
    assert generator.training
    assert all(p.grad is None for p in generator.parameters())
    for name, tensor in generator.state_dict().items():
        assert torch.equal(tensor.nan_to_num(), before[name].nan_to_num())


# --- Real trainings -------------------------------------------------------------------------


def judged(
    tmp_path: Path, write_pictures: Any, **changes: Any
) -> tuple[list[dict[str, Any]], set[str]]:
    """The log of 80 minibatches on noise, and the rules that failed at any tick of it."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    data = write_pictures(tmp_path / "data", pixels)
    chosen = preset("svhn32").with_overrides(
        width=0.03, batch=4, epochs=5, decay_epochs=0, schedule="both", **changes
    )
    config = TrainConfig(
        preset=chosen,
        data=str(data),
        seed=1,
        tick_steps=1,
        device="cpu",
        precision="fp32",
        save_seconds=1e9,
    )
    log: list[dict[str, Any]] = []
    train(config, tmp_path / "run", lambda tick: log.append(dict(vars(tick))))
    assert len(log) == 80
    return log, set().union(*(ailing(log[: i + 1]) for i in range(len(log))))


@pytest.mark.usefixtures("few_statistics")
def test_a_training_with_the_papers_settings_is_healthy(
    tmp_path: Path, write_pictures: Any
) -> None:
    log, failed = judged(tmp_path, write_pictures)
    assert failed == set()
    assert min(line["fixed_z_spread"] for line in log) > 0.01


@pytest.mark.usefixtures("few_statistics")
def test_a_training_at_a_high_rate_and_momentum_is_not(tmp_path: Path, write_pictures: Any) -> None:
    """What section 4 warns of: a high rate, and beta1 of 0.9, under which training oscillates.

    Of seeds 1 to 4, every one fails this rule; three fail that of D's loss as well.
    """
    log, failed = judged(tmp_path, write_pictures, learning_rate=0.1, beta1=0.9)
    assert "diversity_kept" in failed
    spreads = [line["fixed_z_spread"] for line in log]
    peak = spreads.index(max(spreads))
    assert min(spreads[peak:]) < 0.5 * max(spreads)


def test_a_training_made_to_oscillate_fails_the_rule(tmp_path: Path, write_pictures: Any) -> None:
    """Real minibatches, after each two of which a filter is made to show one swinging map."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
    data = write_pictures(tmp_path / "data", pixels)
    narrow = preset("svhn32").with_overrides(width=0.02, batch=8)
    config = TrainConfig(
        narrow, data=str(data), seed=1, device="cpu", precision="fp32", tick_steps=2
    )
    log: dict[bool, list[dict[str, Any]]] = {}
    for made_to in (False, True):
        (tmp_path / str(made_to)).mkdir()
        run = _Run.open(config, tmp_path / str(made_to), Team(), torch.device("cpu"))
        log[made_to] = []
        for look in range(8):
            run.update()
            run.update()
            if made_to:
                paint(run.generator, swinging(look), 0.0)
            log[made_to].append(dict(vars(run.tick())))
    assert channels_of(run.generator) < 20  # one filter is more than the rule allows
    assert ailing(log[False]) == set()
    assert ailing(log[True]) == {"filters_settled"}
