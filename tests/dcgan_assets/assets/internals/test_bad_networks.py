"""Networks that learned nothing, one picture or the pictures themselves, under the claims' checks.

What they draw, and what can be seen on it, is made up here: two blocks that are lit or not, and
light that falls on all. The counting, the controls and the verdicts are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from small_generator import small_generator

from dcgan_assets.assets.internals.concept_claims import (
    count_arithmetic,
    count_forgotten,
    count_turned,
)
from dcgan_assets.assets.internals.looking import (
    NOISE,
    Counted,
    KnownPictures,
    Looking,
    Nearness,
    Realism,
)
from dcgan_assets.assets.internals.sample_claims import (
    count_samples,
    count_walks,
    judge_lifts,
    lift_of,
)
from dcgan_assets.assets.internals.samples import judge_walk
from dcgan_assets.params.internals import Claims
from dcgan_models.errors import UserError
from dcgan_models.internals.attribution import top_activations
from dcgan_models.internals.judged import Candidates, judge_turn
from dcgan_models.internals.judged_filters import Named, name_filters
from dcgan_models.internals.latent import latent_walk, smoothness
from dcgan_models.metrics.extractor import random_extractor
from dcgan_models.metrics.judge import Factor, Judge
from dcgan_models.networks import (
    Generator,
    draw_latents,
    untrained_discriminator,
    untrained_generator,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import preset

SMALL = preset("lsun64").with_overrides(width=0.03, batch=8)
LAMP, HAT = (slice(8, 28), slice(6, 26)), (slice(8, 28), slice(38, 58))
BOX = np.array([6, 8, 20, 20], np.float32) / 64
DARK, LIT = 30, 220
EXPRESSION = "lamp_hat - nolamp_hat + nolamp_nohat"


@pytest.fixture(scope="module", autouse=True)
def _few_rows() -> Iterator[None]:
    """Of 30 samples that are turned, not of 100, the middle one is what a check looks at."""
    assert judge_turn.__kwdefaults__ is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(judge_turn.__kwdefaults__, "rows", 30)
        yield


# --- What there is to be seen -----------------------------------------------------------------


def scenes(lamp: npt.ArrayLike, hat: npt.ArrayLike, light: npt.ArrayLike) -> Pixels:
    """Pictures (n, 64, 64, 3) of shares in [0, 1]: how far each block is lit, and the light."""
    shares = [np.asarray(share, float)[:, None, None, None] for share in (lamp, hat, light)]
    pictures = np.empty((len(shares[0]), 64, 64, 3), np.uint8)
    pictures[:] = np.rint(60 + 100 * shares[2] + np.array([0, 10, 30]))
    for (rows, columns), share in zip((LAMP, HAT), shares, strict=False):
        pictures[:, rows, columns] = np.rint(DARK + (LIT - DARK) * share)
    return pictures


class ByLevel(Judge):
    """Reads the blocks' levels and the light, as they were drawn."""

    def __init__(self) -> None:
        factors = [
            *(Factor("lamp", "flag"), Factor("hat", "flag"), Factor("light", "number")),
            Factor("lamp_box", "box", of="lamp"),
        ]
        super().__init__(factors, 64, torch.nn.Identity())

    def read(self, pictures: Pixels) -> dict[str, npt.NDArray[np.float32]]:  # type: ignore[override]
        def level(rows: slice, columns: slice = slice(None)) -> npt.NDArray[np.float32]:
            return pictures[:, rows, columns].mean(axis=(1, 2, 3), dtype=np.float32)

        found = {
            name: np.clip((level(*place) - DARK) / (LIT - DARK), 0, 1)
            for name, place in (("lamp", LAMP), ("hat", HAT))
        }
        boxes = BOX[None].repeat(len(pictures), axis=0)
        return {**found, "light": level(slice(54, 64)), "lamp_box": boxes}


class Gullible(ByLevel):
    """Finds in any pictures, noise too, as many lamps and hats as in real ones."""

    def read(self, pictures: Pixels) -> dict[str, npt.NDArray[np.float32]]:  # type: ignore[override]
        read = super().read(pictures)
        for name in ("lamp", "hat"):
            low, middle, high = np.quantile(read[name], (0.1, 0.5, 0.9))
            read[name] = 1 / (1 + np.exp(-20 * (read[name] - middle) / (high - low + 1e-6)))
        return read


def truths(n: int, seed: int) -> dict[str, npt.NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return {
        **{name: rng.random(n) < 0.5 for name in ("lamp", "hat")},
        **{"light": rng.random(n), "lamp_box": BOX[None].repeat(n, axis=0)},
    }


def real(n: int, seed: int) -> Pixels:
    truth = truths(n, seed)
    return scenes(truth["lamp"], truth["hat"], truth["light"])


# --- Who draws --------------------------------------------------------------------------------


class Drawing:
    """A generator made by hand: `pictures_of` says what it draws."""

    preset = SMALL

    def draw(self, z: torch.Tensor) -> Pixels:
        return self.pictures_of(z.numpy())

    def sample(self, n: int, seed: int) -> Pixels:
        return self.draw(draw_latents(self.preset, n, torch.Generator().manual_seed(seed)))

    def pictures_of(self, z: npt.NDArray[np.float32]) -> Pixels:
        raise NotImplementedError


class Learned(Drawing):
    """Draws what a direction of z says, smoothly."""

    def pictures_of(self, z: npt.NDArray[np.float32]) -> Pixels:
        lamp, hat = (1 / (1 + np.exp(-20 * z[:, place])) for place in (0, 1))
        return scenes(lamp, hat, np.clip((1 + z[:, 2]) / 2, 0, 1))


class FarFromReal(Learned):
    """Draws blocks as they should be, on noise."""

    def pictures_of(self, z: npt.NDArray[np.float32]) -> Pixels:
        pictures = super().pictures_of(z)
        noise = np.random.default_rng(0).choice([-50, 50], pictures.shape[1:])
        for place in (LAMP, HAT):
            noise[place] = 0
        return (pictures + noise).clip(0, 255).astype(np.uint8)


class Remembering(Drawing):
    """Draws the training picture whose code is nearest, by the first four numbers of z."""

    def __init__(self, count: int) -> None:
        self.pictures = real(300, 1)
        self.codes = np.random.default_rng(0).uniform(-1, 1, (count, 4))

    def pictures_of(self, z: npt.NDArray[np.float32]) -> Pixels:
        nearest = (np.square(self.codes).sum(axis=1) - 2 * z[:, :4] @ self.codes.T).argmin(axis=1)
        return self.pictures[nearest % len(self.pictures)]


class OnePicture(Drawing):
    """Draws the same good picture always."""

    def __init__(self, place: int) -> None:
        self.picture = real(8, 1)[place]

    def pictures_of(self, z: npt.NDArray[np.float32]) -> Pixels:
        return self.picture[None].repeat(len(z), axis=0)


def untrained(seed: int) -> Generator:
    return untrained_generator(SMALL, seed)


BAD = {
    "untrained": lambda: untrained(1),
    "untrained, of contrast": lambda: small_generator(seed=1),
    "far from real": FarFromReal,
    "remembers 12": lambda: Remembering(12),
    "remembers 6000": lambda: Remembering(6000),
    "one picture": lambda: OnePicture(0),
}
REALISM = Realism(random_extractor(), real(300, 1))


class Here(Looking):
    """What claims are looked at with, for what is made up here."""

    def __init__(self, generator: Any, folder: Path) -> None:
        self.work: Any = SimpleNamespace(
            out=lambda: folder, input=lambda key: folder, sibling=lambda name: name
        )
        self.section = Claims(
            samples=60,
            walks=6,
            expressions=(EXPRESSION,),
            repeats=60,
            forget="lamp",
            turn="light",
        )
        self.device, self.generator = "cpu", generator
        self.picking = self.reporting = ByLevel()
        self.realism = REALISM
        pictures = real(150, 2)
        self.known = KnownPictures(pictures, truths(150, 2), self.reporting.read(pictures))

    def candidates_of(self, generator: Any) -> Candidates:
        return Candidates.draw(generator, self.picking, 400, self.section.seed)


CHECKED = {
    "walk_is_gradual": count_walks,
    "arithmetic_adds_up": count_arithmetic,
    "samples_turn": count_turned,
}


def passed(counted: Counted, name: str) -> bool:
    (verdict,) = (one for one in counted.verdicts if one.check == name)
    return bool(verdict.passed)


@pytest.mark.parametrize("check", CHECKED)
def test_a_network_that_learned_passes(check: str, tmp_path: Path) -> None:
    assert passed(CHECKED[check](Here(Learned(), tmp_path)), check)


@pytest.mark.parametrize("who", BAD)
@pytest.mark.parametrize("check", CHECKED)
def test_a_bad_network_does_not(check: str, who: str, tmp_path: Path) -> None:
    assert not passed(CHECKED[check](Here(BAD[who](), tmp_path)), check)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("check", CHECKED)
def test_a_judge_that_believes_an_untrained_network_does_not_pass_it(
    check: str, seed: int, tmp_path: Path
) -> None:
    looking = Here(small_generator(seed=seed), tmp_path)
    looking.picking = looking.reporting = Gullible()
    assert not passed(CHECKED[check](looking), check)


@pytest.mark.parametrize("seed", range(4))
def test_another_untrained_network_is_no_better_than_untrained(seed: int, tmp_path: Path) -> None:
    assert not passed(count_samples(Here(untrained(seed), tmp_path)), "better_than_untrained")


@pytest.mark.parametrize("who", ["learned", *BAD])
def test_samples_of_the_untrained_are_no_better_than_of_the_untrained(
    who: str, tmp_path: Path
) -> None:
    """Remembered pictures are real ones: `not_memorised` and `diversity_kept` are of those."""
    generator = Learned() if who == "learned" else BAD[who]()
    counted = count_samples(Here(generator, tmp_path))
    assert passed(counted, "better_than_untrained") == (not who.startswith(("untrained", "far")))
    assert passed(counted, "judge_reads")


@pytest.mark.parametrize("who", ["learned", *BAD])
def test_figure_4_is_a_smooth_walk_through_real_pictures(who: str) -> None:
    generator = Learned() if who == "learned" else BAD[who]()
    points = draw_latents(SMALL, 11, torch.Generator().manual_seed(5))
    walk, noise = generator.draw(latent_walk(points, 10)), untrained(5).sample(100, 5)
    near = Nearness.of(REALISM.distances(walk), REALISM.farthest(noise))
    verdict = judge_walk(smoothness(walk, 10), near)
    assert verdict.check == "smooth_and_real"
    assert verdict.passed == (who == "learned"), verdict.facts


@pytest.mark.parametrize(
    ("count", "pictures"),
    [
        (count_samples, ["held-out pictures", "samples", NOISE]),
        (count_walks, ["walk", "fade between the same pictures", f"walk of {NOISE}"]),
        (
            count_arithmetic,
            [
                f"{EXPRESSION}: {what}"
                for what in (
                    *("three exemplars", "one exemplar", "pixels of three", "any sample"),
                    f"three exemplars, {NOISE}",
                )
            ],
        ),
        (count_turned, ["light: ends of the turn", f"light, {NOISE}: ends of the turn"]),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_beside_what_is_judged_stand_an_untrained_one_and_the_distance(
    count: Callable[[Looking], Counted], pictures: list[str], tmp_path: Path
) -> None:
    names = {row.name for row in count(Here(Learned(), tmp_path)).rows}
    assert {name for name in names if "distance from real" in name} == {
        f"{name}: distance from real pictures" for name in pictures
    }
    assert any(NOISE in name and "distance" not in name for name in names)


# --- Forgetting: maps of a real network ---------------------------------------------------------


@pytest.mark.parametrize("collapsed", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_a_network_that_draws_no_object_forgets_none(
    seed: int, collapsed: bool, tmp_path: Path
) -> None:
    """Whatever its maps do to what is taken for a lamp: its pictures are none."""

    class Some(ByLevel):
        def read(self, pictures: Pixels) -> dict[str, npt.NDArray[np.float32]]:  # type: ignore[override]
            read = super().read(pictures)
            return {**read, "lamp": (read["lamp"] > 0.5).astype(np.float32)}

    looking = Here(small_generator(seed=seed), tmp_path)
    if collapsed:  # z goes no further
        torch.nn.init.zeros_(next(p for p in looking.generator.parameters() if p.ndim > 1))
    looking.picking = looking.reporting = Some()
    try:
        counted = count_forgotten(looking)
    except UserError as error:
        assert "boxes" in str(error) or "pictures" in str(error)  # noqa: PT017
    else:
        assert not passed(counted, "object_is_forgotten")


# --- Filters ------------------------------------------------------------------------------------

FILTERS = tuple(range(6))


def test_filters_that_never_learned_mean_no_more_than_others() -> None:
    pictures, values = real(300, 3), truths(300, 3)
    values.pop("lamp_box")

    def lifts(discriminator: Any) -> list[float]:
        named = name_filters(top_activations(discriminator, pictures, FILTERS, k=40), values)
        return [lift_of(one) for one in named]

    random = [lifts(untrained_discriminator(SMALL, pictures, seed)) for seed in range(6)]
    passed = [judge_lifts(one, other).passed for one, other in permutations(random, 2)]
    assert np.mean(passed) < 0.05
    dead = untrained_discriminator(SMALL, pictures, 9)
    for parameter in dead.parameters():
        torch.nn.init.zeros_(parameter)
    assert not any(judge_lifts(lifts(dead), other).passed for other in random)
    learned = [lift_of(Named(place, "cat", 18, 20, 0.1)) for place in FILTERS]
    verdict = judge_lifts(learned, random[0])
    assert (verdict.check, verdict.passed) == ("filters_mean_more", True)
