"""Figures of any picture group: samples and latent walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.internals.looking import NOISE, Nearness, Realism
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.assets.training.training_set import open_training_set
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.internals import LatentWalk, Samples, SortedSamples
from dcgan_models.errors import UserError
from dcgan_models.grids import tile, write_png
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    from dcgan_models.internals.latent import Smoothness

WALK_CHECKS = (
    Check(
        "smooth_and_real",
        "No step of the walk changes as much as a whole row, a sign of memorising, and it leads "
        "through pictures that lie near real ones.",
    ),
)


def draw_samples(work: Work) -> Outcome:
    """The same fixed latents after each snapshot and at the end (Figures 2 and 3)."""
    section: Samples = work.section
    count = section.rows * section.columns
    return _draw_grids(work, np.arange(count))


def draw_ordered_samples(work: Work) -> Outcome:
    """Figure 11: samples in the order drawn, or the most real to D first.

    The authors' script sorts 400 samples by D's score before it lays out the grid.
    """
    from dcgan_models import load_discriminator, load_generator

    section: SortedSamples = work.section
    count = section.rows * section.columns
    if section.order == "drawn":
        outcome = _draw_grids(work, np.arange(count))
    else:
        generator = load_generator(
            work.input(work.sibling("generator")), device=work.params.machine.device
        )
        discriminator = load_discriminator(
            work.input(work.sibling("discriminator")), device=work.params.machine.device
        )
        scores = score_samples(discriminator, generator.draw(_fixed(generator, count)))
        outcome = _draw_grids(work, np.argsort(-scores, kind="stable"))
    words = {"drawn": "in the order drawn", "score": "by D's score, the most real to D first"}
    return replace(outcome, metadata={"order": words[section.order]})


def samples_step(step: StepMaker, about: str, *, ordered: bool = False) -> Step:
    """A grid of fixed latents; `ordered` where D may choose their order."""
    return step(
        "samples",
        inputs=("generator", "discriminator") if ordered else ("generator",),
        kind="results",
        compute=draw_ordered_samples if ordered else draw_samples,
        kinds=frozenset({"matplotlib"}),
        shows=("figure.png",),
        description=about,
    )


def score_samples(discriminator: Any, pictures: Pixels) -> npt.NDArray[np.float32]:
    """D's logit of each picture, (n,), by the statistics of these pictures together.

    The authors score minibatches with batch norm's own statistics; here it is one minibatch.
    """
    import torch

    from dcgan_models.networks import picture_batches

    discriminator.train()
    with torch.inference_mode():
        (batch,) = picture_batches(discriminator, pictures, len(pictures))
        scores: npt.NDArray[np.float32] = discriminator(batch).flatten().cpu().numpy()
    return scores


def _fixed(generator: Any, count: int) -> Any:
    """The first fixed latents.

    Raises:
        UserError: There are fewer.
    """
    if count > len(generator.fixed_z):
        raise UserError(
            f"samples: {count} pictures asked for, the generator keeps {len(generator.fixed_z)} "
            "fixed latents; lower `samples.rows` or `samples.columns`"
        )
    return generator.fixed_z[:count]


def _draw_grids(work: Work, order: npt.NDArray[np.intp]) -> Outcome:
    """Samples of the first fixed latents, in this order, by each snapshot and at the end."""
    from dcgan_models import load_generator

    section: Samples = work.section
    folder = work.input(work.sibling("generator"))
    names = [f"epoch_{epoch:04d}" for epoch in section.epochs]
    files = {name: f"snapshots/{name}.safetensors" for name in names}
    figures = {}
    for name, weights in {**files, "figure": "weights.safetensors"}.items():
        generator = load_generator(folder, weights=weights, device=work.params.machine.device)
        grid = tile(generator.draw(_fixed(generator, len(order))[order]), section.columns)
        write_png(work.out() / f"{name}.png", grid)
        figures[f"{name}.png"] = "at the end" if name == "figure" else f"samples, {name}"
    return Outcome(figures=figures)


def draw_walk(work: Work) -> Outcome:
    """Ten rows from point to point of the latent space, and pictures faded likewise (Figure 4)."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.internals.latent import latent_walk, pixel_walk, smoothness
    from dcgan_models.networks import draw_latents, untrained_generator

    section: LatentWalk = work.section
    generator = load_generator(
        work.input(work.sibling("generator")), device=work.params.machine.device
    )
    rng = torch.Generator().manual_seed(section.seed)
    points = draw_latents(generator.preset, section.segments + 1, rng)
    walk = generator.draw(latent_walk(points, section.steps))
    fade = pixel_walk(_faded(work, section), section.steps)
    line = np.zeros((4, section.steps * walk.shape[2], walk.shape[3]), np.uint8)
    figure = np.concatenate([tile(walk, section.steps), line, tile(fade, section.steps)])
    write_png(work.out() / "figure.png", figure)
    found = {"walk": smoothness(walk, section.steps), "fade": smoothness(fade, section.steps)}
    realism = Realism.of(work)
    untrained = untrained_generator(generator.preset, section.seed, work.params.machine.device)
    noise = untrained.sample(len(walk), section.seed)
    every = {"walk": walk, "fade": fade, NOISE: noise}
    apart = {name: realism.distances(pictures) for name, pictures in every.items()}
    _write_smoothness(work, found, apart, realism.count)
    walked = found["walk"]
    return Outcome(
        metadata={
            "largest_over_median_step": walked.ratio,
            "largest_step_at": f"row {walked.row + 1}, column {walked.column + 1}",
        },
        verdicts=(judge_walk(walked, Nearness.of(apart["walk"], realism.farthest(noise))),),
        figures={"figure.png": "a walk through the latent space; faded pictures"},
    )


def _faded(work: Work, section: LatentWalk) -> Pixels:
    """The training pictures that are faded into one another, one more than rows.

    Raises:
        UserError: There are too few.
    """
    store = open_training_set(work)
    if section.pixel_rows >= len(store):
        raise UserError(
            f"{work.step.key}: {section.pixel_rows} rows of faded pictures need one more than "
            f"that, {len(store)} are trained on; lower `latent_walk.pixel_rows`"
        )
    rng = np.random.default_rng(section.seed)
    return store.gather(rng.choice(len(store), section.pixel_rows + 1, False))


def _write_smoothness(
    work: Work,
    found: Mapping[str, Smoothness],
    apart: Mapping[str, npt.NDArray[np.float64]],
    real: int,
) -> None:
    work.result(
        paper_ref="Figure 4 and section 6.1",
        stand_in=stand_in(work),
        rows=[
            row
            for name, s in found.items()
            for row in (
                _distance_row(name, apart[name]),
                Row(
                    name=f"{name}: largest step over median step",
                    measure="ratio",
                    value=round(s.ratio, 3),
                ),
                Row(
                    name=f"{name}: median step",
                    measure="change",
                    value=round(s.median, 5),
                    unit="of the range",
                ),
            )
        ]
        + [_distance_row(NOISE, apart[NOISE])],
        notes=(
            "Section 6.1: sharp transitions on the walk are a sign of memorisation. The fade "
            "between training pictures is the baseline: smooth, but through no pictures of its "
            "own, and nearest to the very pictures that it fades. Distance: to the nearest of "
            f"{real:,} training pictures in the extractor's features."
        ),
    ).write(work.out())


def _distance_row(name: str, distances: npt.NDArray[np.float64]) -> Row:
    """The mean without an interval: pictures of a walk are alike, and there may be one row."""
    return Row(
        name=f"{name}: distance from real pictures",
        measure="distance",
        value=round(float(distances.mean()), 4),
        n=len(distances),
    )


def judge_walk(walked: Smoothness, near: Nearness) -> Verdict:
    """Judge `WALK_CHECKS`; a walk that never moves does not pass."""
    facts = {
        "largest step": round(walked.largest, 4),
        "as large as a row": walked.sharp,
        **near.facts,
    }
    good = near.enough and walked.largest > 0 and not walked.sharp
    return Verdict("smooth_and_real", good, facts)


def latent_walk_step(step: StepMaker) -> Step:
    """Figure 4 of a group."""
    return step(
        "latent_walk",
        inputs=("images", "training_set", "extractor", "generator"),
        kind="results",
        compute=draw_walk,
        checks=WALK_CHECKS,
        kinds=frozenset({"matplotlib"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Figure 4: a walk through the latent space, with training pictures faded into one "
            "another as the baseline, and how evenly both change (section 6.1)."
        ),
    )
