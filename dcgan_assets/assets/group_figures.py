"""Figures of any picture group: samples and latent walks."""

from __future__ import annotations

import numpy as np

from dcgan_assets import metadata as shown
from dcgan_assets.assets.group_images import shard_facts
from dcgan_assets.assets.training_set import TRAIN, require_current
from dcgan_assets.group_params import LatentWalk, Samples
from dcgan_assets.results import Row
from dcgan_assets.steps import Check, Outcome, Verdict, Work
from dcgan_models.errors import UserError
from dcgan_models.grids import tile, write_png

WALK_CHECKS = (
    Check("no_jump", "No step of the walk changes as much as a whole row: a sign of memorising."),
)


def draw_samples(work: Work) -> Outcome:
    """The same fixed latents after each snapshot and at the end (Figures 2 and 3)."""
    from dcgan_models import load_generator

    section: Samples = work.section
    folder = work.input(work.sibling("generator"))
    n = section.rows * section.columns
    names = [f"epoch_{epoch:04d}" for epoch in section.epochs]
    files = {name: f"snapshots/{name}.safetensors" for name in names}
    facts = {}
    for name, weights in {**files, "figure": "weights.safetensors"}.items():
        generator = load_generator(folder, weights=weights)
        assert generator.fixed_z is not None  # noqa: S101  (published generators have them)
        grid = tile(generator.draw(generator.fixed_z[:n]), section.columns)
        write_png(work.out() / f"{name}.png", grid)
        facts["at_the_end" if name == "figure" else name] = shown.picture(grid, f"samples, {name}")
    return Outcome(metadata=facts)


def draw_walk(work: Work) -> Outcome:
    """Ten rows from point to point of the latent space, and photographs faded likewise (Fig. 4)."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.latent import latent_walk, pixel_walk, smoothness
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
