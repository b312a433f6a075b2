"""Figures 2 to 5 counted: what samples, walks and the pictures that fire filters have in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.internals.looking import (
    NOISE,
    Counted,
    Looking,
    Nearness,
    distance_row,
    mean_row,
)
from dcgan_assets.assets.shares import share_row
from dcgan_assets.assets.training.judge import lacking, read_factors
from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Verdict
from dcgan_models.grids import above, tile, write_png
from dcgan_models.metrics.intervals import FISHER, correlation_interval, mean_interval
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.internals.judged_filters import Named
    from dcgan_models.internals.judged_walk import JudgedWalks

Values = dict[str, npt.NDArray[Any]]

_TOLD_PAIRS = 3
_STEPS, _SHOWN_WALKS = 10, 3
# Of a filter so many pictures that fire it; half of them choose its name.
_FIRING, _SCANNED = 100, 2000


# --- Figures 2 and 3 --------------------------------------------------------------------------


def count_samples(looking: Looking) -> Counted:
    """How often each flag is set in samples, early and late, beside the truth and noise."""
    drawn = _drawn(looking)
    read = {name: looking.reporting.read(pictures) for name, pictures in drawn.items()}
    known = looking.known
    rows: list[Row] = []
    for flag in looking.flags:
        truth = known.truth[flag]
        found = int(truth.sum())
        rows.append(
            share_row(f"{flag}: of held-out pictures, truly", found, len(truth), measure="share")
        )
        for name, pictures in drawn.items():
            whose = f"{name}'s" if name == NOISE else name
            found = int((read[name][flag] > 0.5).sum())
            rows += looking.shares(f"{flag}: of {whose}", {flag: True}, found, len(pictures))
    distances = {
        name: looking.realism.distances(pictures)
        for name, pictures in {"held-out pictures": known.pictures, **drawn}.items()
    }
    rows += [distance_row(name, values) for name, values in distances.items()]
    rows += _together(looking, {"samples": read["samples"], NOISE: read[NOISE]})
    near = Nearness.of(distances["samples"], looking.farthest)
    missed = _missed(looking)
    return Counted(
        rows,
        (
            Verdict("better_than_untrained", near.enough, near.facts),
            Verdict("judge_reads", not missed, {"lacking": ", ".join(missed) or "nothing"}),
        ),
    )


def _drawn(looking: Looking) -> dict[str, Pixels]:
    """Samples of the same z, by name: after early epochs, at the end, and before learning."""
    from dcgan_models import load_generator

    section = looking.section
    folder = looking.work.input(looking.work.sibling("generator"))
    early = {
        f"samples after epoch {epoch}": load_generator(
            folder, weights=f"snapshots/epoch_{epoch:04d}.safetensors", device=looking.device
        )
        for epoch in section.epochs
    }
    every = {**early, "samples": looking.generator, NOISE: looking.untrained}
    return {
        name: generator.sample(section.samples, seed=section.seed)
        for name, generator in every.items()
    }


def _together(looking: Looking, read: dict[str, Values]) -> list[Row]:
    """How factors go together, which single shares do not show: a mode that is lost shows here."""
    from dcgan_models.metrics.correlation import correlations

    names = [factor.name for factor in looking.reporting.factors if factor.kind != "box"]
    truth = correlations({name: looking.known.truth[name] for name in names})
    found = {
        who: correlations({name: _decided(values[name], name, looking.flags) for name in names})
        for who, values in {"held-out pictures": looking.known.read, **read}.items()
    }
    pairs = list(combinations(names, 2))
    rows = [
        Row(
            name=f"{who}: correlations of factors, root mean square difference from the truth",
            measure="distance",
            value=round(float(np.sqrt(np.mean((own - truth) ** 2))), 4),
            n=len(pairs),
        )
        for who, own in found.items()
    ]
    for place in np.argsort(-np.abs(truth), kind="stable")[:_TOLD_PAIRS]:
        one, other = pairs[place]
        n = len(looking.known.pictures)
        rows.append(_correlation_row(f"{one} with {other}: truly", float(truth[place]), n))
        rows += [
            _correlation_row(f"{one} with {other}: {who}", float(own[place]), len(read[who][one]))
            for who, own in found.items()
            if who in read
        ]
    return rows


def _decided(values: npt.NDArray[Any], name: str, flags: Iterable[str]) -> npt.NDArray[Any]:
    return values > 0.5 if name in flags else values


def _correlation_row(name: str, value: float, n: int) -> Row:
    """A correlation, with Fisher's interval."""
    low, high = correlation_interval(value, n)
    return Row(
        name=f"{name}, correlation",
        measure="correlation",
        value=round(value, 4),
        n=n,
        low=round(low, 4),
        high=round(high, 4),
        interval=FISHER,
    )


def _missed(looking: Looking) -> list[str]:
    """What the reporting judge reads less well than `judge` asks."""
    from dcgan_models.metrics.judge import agree

    return lacking(agree(looking.reporting, looking.known.pictures, looking.known.truth))


# --- Figure 4 ---------------------------------------------------------------------------------


def count_walks(looking: Looking) -> Counted:
    """How flags change along walks, and along fades between the same pictures."""
    from dcgan_models.internals.judged_walk import judge_walks

    section = looking.section
    of = (looking.reporting, int(section.walks or 0), _STEPS)
    walk, fade = judge_walks(looking.generator, *of, seed=section.seed)
    noise, _ = judge_walks(looking.untrained, *of, seed=section.seed)
    every = {"walk": walk, "fade between the same pictures": fade, f"walk of {NOISE}": noise}
    # As near as all but a twentieth of the samples: what the generator draws anyway.
    usual = looking.realism.distances(
        looking.generator.sample(section.samples, seed=section.seed + 1)
    )
    bound = float(np.quantile(usual, 0.95))
    rows = [row for name, seen in every.items() for row in _walk_rows(looking, name, seen, bound)]
    sheets = [tile(seen.pictures[: _SHOWN_WALKS * _STEPS], _STEPS) for seen in (walk, fade)]
    sheet = above(sheets, 4)
    write_png(looking.work.out() / "walk.png", sheet)
    near = looking.nearness(walk.pictures)
    return Counted(
        rows,
        (judge_walking(walk, fade, len(looking.flags), near),),
        {"walk.png": "walks, and below them fades between the same pictures"},
    )


def judge_walking(walk: JudgedWalks, fade: JudgedWalks, flags: int, near: Nearness) -> Verdict:
    """Judge `walk_is_gradual` by the largest steps, and by the fades between the same pictures.

    Walks and fades are paired, and the interval of the difference decides: of two means over walks
    that differ by nothing one is the lower, too.

    Args:
        walk, fade: Between the same pictures.
        flags: That are judged.
        near: The pictures of the walks.
    """
    undecided, faded = float(walk.undecided.mean()), float(fade.undecided.mean())
    fewer, at_most = (100 * bound for bound in mean_interval(fade.undecided - walk.undecided))
    facts = {
        "a step as large as a walk": walk.sharp,
        "most flags that change in a step": int(walk.changes.max()),
        "flags": flags,
        "undecided, %": round(100 * undecided, 2),
        "undecided on a fade, %": round(100 * faded, 2),
        "fewer by, %": f"{fewer:.2f} to {at_most:.2f}",
        **near.facts,
    }
    small = not walk.sharp and float(walk.changes.max()) < flags
    return Verdict("walk_is_gradual", near.enough and small and fewer > 0, facts)


def _walk_rows(looking: Looking, name: str, seen: JudgedWalks, bound: float) -> list[Row]:
    """Of walks or fades; the pictures of one are alike, so that intervals are over walks."""
    distances = looking.realism.distances(seen.pictures).reshape(-1, _STEPS)
    near = (distances <= bound).mean(axis=1)
    changes = seen.changes.mean(axis=1)
    return [
        mean_row(
            f"{name}: frames as near to real pictures as 95 % of samples", "share", near, "walks"
        ),
        distance_row(name, distances.mean(axis=1), "walks"),
        mean_row(f"{name}: readings that are undecided", "share", seen.undecided, "walks"),
        mean_row(f"{name}: flags that change in a step", "change", changes, "walks"),
        Row(
            name=f"{name}: most that change in a step",
            measure="change",
            value=float(seen.changes.max()),
            n=seen.changes.size,
        ),
    ]


# --- Figure 5 ---------------------------------------------------------------------------------


def name_them(looking: Looking) -> Counted:
    """What fires filters of D, and of one that never learned, by what is known of pictures."""
    from dcgan_models import load_discriminator
    from dcgan_models.internals.attribution import top_activations
    from dcgan_models.internals.judged_filters import name_filters
    from dcgan_models.networks import fix_statistics, untrained_discriminator

    work, section = looking.work, looking.section
    store = open_training_set(work)
    names = [factor.name for factor in looking.reporting.factors if factor.kind != "box"]
    factors = read_factors(work, names)
    some = factors.rows(store.keys)
    some = some[np.linspace(0, len(some) - 1, min(len(some), _SCANNED)).astype(np.int64)]
    pictures, values = store.gather(some), factors.values([store.keys[row] for row in some])
    trained = load_discriminator(work.input(work.sibling("discriminator")), device=looking.device)
    fix_statistics(trained, pictures)
    random = untrained_discriminator(trained.preset, pictures, section.seed)
    k = min(_FIRING, len(pictures) // 4)
    found = {
        name: name_filters(top_activations(network, pictures, section.filters, k=k), values)
        for name, network in (("trained D", trained), ("random D", random))
    }
    rows = [row for name, named in found.items() for row in _filter_rows(name, named)]
    trained_lifts, random_lifts = ([lift_of(one) for one in named] for named in found.values())
    return Counted(rows, (judge_lifts(trained_lifts, random_lifts),))


def judge_lifts(trained: Sequence[float], random: Sequence[float]) -> Verdict:
    """Judge `filters_mean_more` by the intervals of the mean over filters.

    Args:
        trained, random: For each filter, how many times as often as in all pictures what names it
            is in those that fire it.
    """
    facts = {
        "trained D": round(float(np.mean(trained)), 2),
        "random D": round(float(np.mean(random)), 2),
    }
    if len(trained) < 2:
        return Verdict("filters_mean_more", False, {**facts, "not measured": "one filter"})
    return Verdict("filters_mean_more", mean_interval(trained)[0] > mean_interval(random)[1], facts)


def _filter_rows(name: str, named: list[Named]) -> list[Row]:
    rows = [
        share_row(
            f"{name}, filter {one.filter}: pictures that fire it are {one.word}",
            one.found,
            one.n,
            measure="share",
            source=f"of all pictures {100 * one.share:.1f} %",
        )
        for one in named
    ]
    lifts = [lift_of(one) for one in named]
    mean = Row(
        name=f"{name}: as many times as in all pictures, mean of the filters",
        measure="ratio",
        value=round(float(np.mean(lifts)), 3),
        n=len(lifts),
        low=round(min(lifts), 3),
        high=round(max(lifts), 3),
        interval="lowest and highest filter",
    )
    return [*rows, mean]


def lift_of(one: Named) -> float:
    """How many times as often as in all pictures what names a filter is in those that fire it."""
    return one.found / one.n / one.share
