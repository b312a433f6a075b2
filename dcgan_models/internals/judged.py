"""Section 6's claims as numbers: what a judge sees in a generator's pictures.

The paper shows figures and asks the reader to look. Where a judge can read the pictures
(`dcgan_models.metrics.judge`), looking can be counted: how many samples have a window before and
after its maps are dropped, how many results of vector arithmetic are what the words add up to, how
far a face turns along the turn vector.

Two judges share the work. One picks: boxes, exemplars. The other, which never saw a picture that
the first learned from, reports. So what is reported is not what was chosen for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.internals.arithmetic import EXEMPLARS
from dcgan_models.internals.boxes import Box
from dcgan_models.internals.expressions import (
    Term,
    asked_of,
    concepts_of,
    evaluate,
    expected_flags,
)
from dcgan_models.internals.forgetting import (
    draw_without_each,
    find_object_maps,
    second_highest_layer,
)
from dcgan_models.metrics.judge import Factor, Judge
from dcgan_models.networks import Generator, draw_latents
from dcgan_models.pixels import Pixels

Mask = npt.NDArray[np.bool_]
Readings = Mapping[str, npt.NDArray[np.float32]]

# What is picked must be plain to the judge that picks.
_PLAIN = 0.9
# Of a concept that fewer samples plainly show, so many likeliest are picked from.
_FEWEST = 12
# Boxes that a regression can be told from: on two pictures.
_FEWEST_BOXES = 2


def names_of(factors: Sequence[Factor], kind: str) -> list[str]:
    """The names of the factors of a kind."""
    return [factor.name for factor in factors if factor.kind == kind]


def likelihoods(
    factors: Sequence[Factor], concept: str, read: Readings, among: Readings
) -> dict[str, npt.NDArray[np.float64]]:
    """How likely pictures are what each word of a concept asks for: (n,) by factor.

    Args:
        factors: Of the judge that read them.
        concept: As `asked_of` reads it.
        read: Of the n pictures.
        among: Of samples: of a number the likelihood is the share of them that are less so.

    Raises:
        UserError: A word that is no flag and no number.
    """
    flags, numbers = (names_of(factors, kind) for kind in ("flag", "number"))
    found = {}
    for name, asked in asked_of(concept, flags, numbers).items():
        value = read[name].astype(np.float64)
        if name in flags:
            found[name] = value if asked else 1 - value
        else:
            sign = 1 if asked else -1
            below = np.searchsorted(np.sort(sign * among[name].astype(np.float64)), sign * value)
            found[name] = below / len(among[name])
    return found


def exemplar_order(
    factors: Sequence[Factor], concept: str, read: Readings
) -> npt.NDArray[np.int64]:
    """The numbers of samples in the order in which they are picked for a concept: (n,).

    First those that plainly have the flags it asks for, as they come, as a person would who looks
    through them; the very likeliest are all of one kind. Of a number the ends come first.
    """
    flags = names_of(factors, "flag")
    shares = [
        np.minimum(share, _PLAIN) if name in flags else share
        for name, share in likelihoods(factors, concept, read, read).items()
    ]
    return np.argsort(-np.min(shares, axis=0), kind="stable")


def having(readings: Readings, flags: Mapping[str, bool], bound: float = 0.5) -> Mask:
    """Which pictures have all of some flags, each with at least this probability: (n,)."""
    likely = [readings[name] if there else 1 - readings[name] for name, there in flags.items()]
    found: Mask = np.logical_and.reduce([share > bound for share in likely])
    return found


# --- Figure 6 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgedForgetting:
    """How many new samples have an object, with and without the maps that draw it.

    Attributes:
        boxes: Found by the picking judge, on so many samples.
        maps, of: Dropped, of all maps of the layer.
        n: New samples.
        before, after: With the object.
        control: With the object, for each draw of as many random maps.
        kept: Of other flags, how many samples have them before, after, and on average without
            random maps.
        lost: Samples that have the object before and not after.
        instead: Of other flags, how many of these have gained them.
        pictures: uint8 (n, ...), before, after, and without random maps.
    """

    boxes: int
    maps: int
    of: int
    n: int
    before: int
    after: int
    control: tuple[int, ...]
    kept: dict[str, tuple[int, int, float]]
    lost: int
    instead: dict[str, int]
    pictures: tuple[Pixels, Pixels, Pixels]


def judge_forgetting(
    generator: Generator,
    judges: tuple[Judge, Judge],
    flag: str,
    others: Sequence[str],
    *,
    looked_at: int = 150,
    most_boxes: int = 52,
    samples: int = 500,
    C: float = 1.0,
    controls: int = 10,
    seed: int = 0,
) -> JudgedForgetting:
    """Forget an object (section 6.3.1) by a judge's boxes, and count it in new samples.

    Args:
        generator: With sampling statistics.
        judges: One that picks, and one that reports.
        flag: The object; its box is the factor with `_box` behind the name.
        others: Flags that should stay.
        looked_at, most_boxes: The paper drew 52 boxes on 150 samples.
        samples: New ones.
        C: As for `forget_object`.
        controls: Draws of as many random maps.
        seed: Of the latents, the negatives and the random maps.

    Raises:
        UserError: As `find_object_maps`; the picking judge reads no box of the object.
    """
    picking, reporting = judges
    rng = torch.Generator().manual_seed(seed)
    z, new = (draw_latents(generator.preset, n, rng) for n in (looked_at, samples))
    boxes = boxes_of(picking, generator.draw(z), flag)[:most_boxes]
    layer = second_highest_layer(generator.preset)
    found = find_object_maps(generator, z, boxes, layer=layer, C=C, seed=seed)

    random = np.random.default_rng(seed)
    every = len(found.weights)
    draws = [random.choice(every, len(found.maps), False) for _ in range(controls)]
    drawn = draw_without_each(generator, new, [[], found.maps, *draws], layer)
    before, after, *without = (reporting.read(pictures) for pictures in drawn)
    flags = [name for name in names_of(reporting.factors, "flag") if name != flag]
    lost, instead = _lost(flag, flags, before, after)
    return JudgedForgetting(
        boxes=len(boxes),
        maps=len(found.maps),
        of=every,
        n=samples,
        before=_count(before, flag),
        after=_count(after, flag),
        control=tuple(_count(readings, flag) for readings in without),
        kept={
            name: (
                _count(before, name),
                _count(after, name),
                float(np.mean([_count(readings, name) for readings in without])),
            )
            for name in others
        },
        lost=lost,
        instead=instead,
        pictures=(drawn[0], drawn[1], drawn[2]),
    )


def _count(readings: Readings, flag: str) -> int:
    return int(having(readings, {flag: True}).sum())


def _lost(
    flag: str, others: Sequence[str], before: Readings, after: Readings
) -> tuple[int, dict[str, int]]:
    """How many samples have lost a flag, and how many of these have gained each other one."""
    lost = having(before, {flag: True}) & ~having(after, {flag: True})
    gained = {
        name: lost & having(before, {name: False}) & having(after, {name: True}) for name in others
    }
    return int(lost.sum()), {name: int(mask.sum()) for name, mask in gained.items()}


def boxes_of(judge: Judge, pictures: Pixels, flag: str) -> list[Box]:
    """A box on each picture that plainly has the object, in pixels.

    Where fewer than two have it, on the two likeliest: a generator that draws no such thing is to
    be told by what is counted of it, as one that draws no smiles is.

    Raises:
        UserError: The judge reads no box of it.
    """
    boxed = [factor.of for factor in judge.factors if factor.kind == "box"]
    if flag not in boxed:
        read_of = ", ".join(boxed) or "nothing"
        raise UserError(f"the judge reads no box of {flag!r:.40}; it reads those of: {read_of}")
    read = judge.read(pictures)
    side = pictures.shape[1]
    plain = np.flatnonzero(read[flag] > _PLAIN)
    if len(plain) < _FEWEST_BOXES:
        plain = np.sort(np.argsort(-read[flag], kind="stable")[:_FEWEST_BOXES])
    found = []
    for number in plain:
        left, top, width, height = (float(share) * side for share in read[f"{flag}_box"][number])
        left, top = min(left, side - 1.0), min(top, side - 1.0)
        width, height = max(1.0, min(width, side - left)), max(1.0, min(height, side - top))
        found.append(Box(int(number), left, top, width, height))
    return found


# --- Figures 7 and 8: samples to pick from ------------------------------------------------------


@dataclass(frozen=True)
class Candidates:
    """Samples that exemplars and ends are picked from, as the picking judge sees them.

    Attributes:
        z: (n, z_dim), their latents.
        pictures: uint8 (n, height, width, channels).
        factors: That the picking judge reads.
        readings: What is seen on each.
        state: Of the random numbers after them, for latents that are none of these.
    """

    z: Tensor
    pictures: Pixels
    factors: Sequence[Factor]
    readings: Readings
    state: Tensor

    @classmethod
    def draw(cls, generator: Generator, picking: Judge, count: int, seed: int) -> Candidates:
        """Draw so many samples, and have them read."""
        rng = torch.Generator().manual_seed(seed)
        z = draw_latents(generator.preset, count, rng)
        pictures = generator.draw(z)
        return cls(z, pictures, picking.factors, picking.read(pictures), rng.get_state())

    def pool(self, concept: str) -> npt.NDArray[np.int64]:
        """What exemplars of a concept of flags are drawn from: those that plainly show it.

        Where these are fewer than a dozen, the dozen likeliest.

        Raises:
            UserError: A word that is no flag.
        """
        asked = asked_of(concept, names_of(self.factors, "flag"))
        plain = int(having(self.readings, asked, _PLAIN).sum())
        return exemplar_order(self.factors, concept, self.readings)[: max(plain, _FEWEST)]

    def others(self, generator: Generator, count: int) -> Tensor:
        """Latents of other samples, the same ones each time: (count, z_dim)."""
        rng = torch.Generator()
        rng.set_state(self.state)
        return draw_latents(generator.preset, count, rng)


# --- Figure 7 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgedArithmetic:
    """How many results of an expression are what its words add up to.

    Attributes:
        expected: What they should be.
        pool: How many samples the exemplars of each concept are drawn from.
        n: Repeats, each with exemplars of its own.
        three, one, pixels: Results that are right: of three exemplars a concept, of one, and of
            the same arithmetic on the pixels of three.
        chance: Of n plain samples.
        pictures: uint8 (n, ...) of `three`, `one`, `pixels` and `samples`, by name.
    """

    expected: dict[str, bool]
    pool: dict[str, int]
    n: int
    three: int
    one: int
    pixels: int
    chance: int
    pictures: dict[str, Pixels]


def judge_arithmetic(
    generator: Generator,
    candidates: Candidates,
    reporting: Judge,
    terms: Sequence[Term],
    *,
    repeats: int = 200,
    seed: int = 0,
) -> JudgedArithmetic:
    """Work out an expression many times, with exemplars that a judge picks (section 6.3.2).

    Args:
        generator: With sampling statistics.
        candidates: Samples that exemplars are picked from.
        reporting: The judge that counts.
        terms: The expression, of concepts as `asked_of` reads them.
        repeats: How often.
        seed: Of the exemplars.

    Raises:
        UserError: As `expected_flags`.
    """
    expected = expected_flags(terms, names_of(reporting.factors, "flag"))
    pool, picks = _picks(candidates, terms, repeats, seed)
    pictures = {
        "three": generator.draw(_results(terms, candidates.z, picks, EXEMPLARS)),
        "one": generator.draw(_results(terms, candidates.z, picks, 1)),
        "pixels": _on_pixels(terms, candidates.pictures, picks),
        "samples": generator.draw(candidates.others(generator, repeats)),
    }
    right = {n: int(having(reporting.read(p), expected).sum()) for n, p in pictures.items()}
    return JudgedArithmetic(
        expected=expected,
        pool={name: len(rows) for name, rows in pool.items()},
        n=repeats,
        three=right["three"],
        one=right["one"],
        pixels=right["pixels"],
        chance=right["samples"],
        pictures=pictures,
    )


def judge_three(
    generator: Generator,
    candidates: Candidates,
    reporting: Judge,
    terms: Sequence[Term],
    *,
    repeats: int = 200,
    seed: int = 0,
) -> tuple[int, Pixels]:
    """Of `judge_arithmetic` the results of three exemplars alone: how many are right, and they."""
    expected = expected_flags(terms, names_of(reporting.factors, "flag"))
    _, picks = _picks(candidates, terms, repeats, seed)
    pictures = generator.draw(_results(terms, candidates.z, picks, EXEMPLARS))
    return int(having(reporting.read(pictures), expected).sum()), pictures


def _picks(
    candidates: Candidates, terms: Sequence[Term], repeats: int, seed: int
) -> tuple[dict[str, npt.NDArray[np.int64]], list[dict[str, npt.NDArray[np.int64]]]]:
    """What exemplars of each concept are drawn from, and those of each repeat."""
    pool = {name: candidates.pool(name) for name in concepts_of(terms)}
    random = np.random.default_rng(seed)
    picks = [
        {name: random.choice(rows, EXEMPLARS, False) for name, rows in pool.items()}
        for _ in range(repeats)
    ]
    return pool, picks


def _results(
    terms: Sequence[Term], z: Tensor, picks: Sequence[Mapping[str, npt.NDArray[np.intp]]], most: int
) -> Tensor:
    """The latent of each repeat, (n, z_dim), from the first exemplars of each concept."""
    return torch.stack(
        [
            evaluate(terms, {name: z[rows[:most]].mean(dim=0) for name, rows in one.items()})
            for one in picks
        ]
    )


def _on_pixels(
    terms: Sequence[Term], samples: Pixels, picks: Sequence[Mapping[str, npt.NDArray[np.intp]]]
) -> Pixels:
    """The same on the mean pixels of the exemplars, cut off at 0 and 255."""
    found = []
    for one in picks:
        means = {name: samples[rows].mean(axis=0) for name, rows in one.items()}
        found.append(np.clip(np.rint(evaluate(terms, means)), 0, 255).astype(np.uint8))
    return np.stack(found)


# --- Figure 8 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class JudgedTurn:
    """How a number that is judged changes along the turn vector.

    Attributes:
        places: Along the vector, from -1 to 1; a sample itself is at 0.
        values: (rows, places), as judged.
        correlation: Of each row, Spearman's rank correlation of value and place: (rows,).
        kept: Of each other flag, the share of places at which it is as in the sample itself.
        pictures: uint8 (rows, places, ...).
    """

    places: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    correlation: npt.NDArray[np.float64]
    kept: dict[str, float]
    pictures: Pixels


def judge_turn(
    generator: Generator,
    candidates: Candidates,
    reporting: Judge,
    number: str,
    *,
    ends: int = 4,
    rows: int = 100,
    steps: int = 5,
) -> JudgedTurn:
    """Turn samples along the vector between those judged lowest and highest (section 6.3.2).

    Args:
        generator: With sampling statistics.
        candidates: Samples that the ends are picked from.
        reporting: The judge that counts.
        number: The factor that turns, such as `yaw`.
        ends: How many of either; the paper averaged four.
        rows: Other samples that are turned.
        steps: To either side.
    """
    from dcgan_models.internals.turn_vector import turn_walk

    z, order = candidates.z, np.argsort(candidates.readings[number], kind="stable")
    vector = z[order[-ends:].copy()].mean(dim=0) - z[order[:ends].copy()].mean(dim=0)
    walk = turn_walk(candidates.others(generator, rows), vector, steps)
    pictures = generator.draw(walk.flatten(0, 1))
    read = reporting.read(pictures)
    shape = (rows, 2 * steps + 1)
    values = read[number].reshape(shape).astype(np.float64)
    places = np.linspace(-1, 1, shape[1])
    flags = names_of(reporting.factors, "flag")
    kept = {}
    for flag in flags:
        there = (read[flag] > 0.5).reshape(shape)
        kept[flag] = float(np.delete(there == there[:, [steps]], steps, axis=1).mean())
    return JudgedTurn(
        places=places,
        values=values,
        correlation=_rank_correlations(values),
        kept=kept,
        pictures=pictures.reshape(*shape, *pictures.shape[1:]),
    )


def _rank_correlations(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Spearman's, of each row's values (rows, places) and their places; 0 where nothing changes."""
    # Equal values share the mean of their ranks. The places lie evenly: they are their own ranks.
    more, same = (f(values[:, :, None], values[:, None]) for f in (np.greater, np.equal))
    ranks = more.sum(axis=2) + same.sum(axis=2) / 2
    ranks -= ranks.mean(axis=1, keepdims=True)
    places = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    spread = np.sqrt((ranks**2).sum(axis=1) * (places**2).sum())
    found: npt.NDArray[np.float64] = (ranks @ places) / np.maximum(spread, 1e-12)
    return found
