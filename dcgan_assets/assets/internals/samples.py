"""Figures of any picture group: samples and latent walks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.pictures.shards import shard_facts
from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import Row
from dcgan_assets.engine.step import Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.training import LatentWalk, Samples, SortedSamples
from dcgan_models.errors import UserError
from dcgan_models.grids import tile, write_png

WALK_CHECKS = (
    Check("no_jump", "No step of the walk changes as much as a whole row: a sign of memorising."),
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
        generator = load_generator(work.input(work.sibling("generator")))
        discriminator = load_discriminator(work.input(work.sibling("discriminator")))
        scores = score_samples(discriminator, generator.draw(_fixed(generator, count)))
        outcome = _draw_grids(work, np.argsort(-scores, kind="stable"))
    words = {"drawn": "in the order drawn", "score": "by D's score, the most real to D first"}
    return Outcome(metadata={**outcome.metadata, "order": words[section.order]})


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


def score_samples(discriminator: Any, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """D's logit of each picture, (n,), by the statistics of these pictures together.

    The authors score minibatches with batch norm's own statistics; here it is one minibatch.
    """
    import torch

    from dcgan_models.networks import picture_batches

    discriminator.train()
    with torch.inference_mode():
        (batch,) = picture_batches(discriminator, pictures, len(pictures))
        scores: npt.NDArray[np.float32] = discriminator(batch).flatten().numpy()
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
    facts = {}
    for name, weights in {**files, "figure": "weights.safetensors"}.items():
        generator = load_generator(folder, weights=weights)
        grid = tile(generator.draw(_fixed(generator, len(order))[order]), section.columns)
        write_png(work.out() / f"{name}.png", grid)
        facts["at_the_end" if name == "figure" else name] = shown.picture(grid, f"samples, {name}")
    return Outcome(metadata=facts)


def draw_walk(work: Work) -> Outcome:
    """Ten rows from point to point of the latent space, and photographs faded likewise (Fig. 4)."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.internals.latent import latent_walk, pixel_walk, smoothness
    from dcgan_models.networks import draw_latents

    require_current(work)
    section: LatentWalk = work.section
    generator = load_generator(work.input(work.sibling("generator")))
    rng = torch.Generator().manual_seed(section.seed)
    points = draw_latents(generator.preset, section.segments + 1, rng)
    walk = generator.draw(latent_walk(points, section.steps))
    store = PixelStore.open(work.input(work.sibling("training_set")), TRAIN)
    if section.pixel_rows >= len(store):
        raise UserError(
            f"{work.step.key}: {section.pixel_rows} rows of faded photographs need one more than "
            f"that, {len(store)} are trained on; lower `latent_walk.pixel_rows`"
        )
    rows = np.random.default_rng(section.seed).choice(len(store), section.pixel_rows + 1, False)
    fade = pixel_walk(store.gather(rows), section.steps)
    line = np.zeros((4, section.steps * walk.shape[2], walk.shape[3]), np.uint8)
    figure = np.concatenate([tile(walk, section.steps), line, tile(fade, section.steps)])
    write_png(work.out() / "figure.png", figure)
    found = {"walk": smoothness(walk, section.steps), "fade": smoothness(fade, section.steps)}
    work.result(
        paper_ref="Figure 4 and section 6.1",
        stand_in=shard_facts(work)["stand_in"],
        rows=[
            row
            for name, s in found.items()
            for row in (
                Row(name=f"{name}: largest step over median step", value=round(s.ratio, 3)),
                Row(name=f"{name}: median step", value=round(s.median, 5), unit="of the range"),
            )
        ],
        notes=(
            "Section 6.1: sharp transitions on the walk are a sign of memorisation. The fade "
            "between training photographs is the baseline: smooth, but through no pictures."
        ),
    ).write(work.out())
    walked = found["walk"]
    return Outcome(
        metadata={
            "figure": shown.picture(figure, "a walk through the latent space; faded photographs"),
            "largest_over_median_step": walked.ratio,
            "largest_step_at": f"row {walked.row + 1}, column {walked.column + 1}",
        },
        verdicts=(
            Verdict(
                "no_jump",
                not walked.sharp,
                {"largest over median": round(walked.ratio, 2), "bound": section.steps},
            ),
        ),
    )


def latent_walk_step(step: StepMaker) -> Step:
    """Figure 4 of a group."""
    return step(
        "latent_walk",
        inputs=("images", "training_set", "generator"),
        kind="results",
        compute=draw_walk,
        checks=WALK_CHECKS,
        kinds=frozenset({"matplotlib"}),
        shows=("result.json", "figure.png"),
        shows_pictures=True,
        description=(
            "Figure 4: a walk through the latent space, with photographs faded into one "
            "another as the baseline, and how evenly both change (section 6.1)."
        ),
    )
