"""Vector arithmetic on z: section 6.3.2 and Figure 7 of the paper.

A concept is a name for samples that somebody picked; its latents are averaged, and expressions
such as `smiling_woman - neutral_woman + neutral_man` are worked out on the averages. Figure 7
shows Y, the result, in the middle of eight neighbours at uniform noise of 0.25; below, the same
arithmetic on pixels.

Nothing is clamped to the range of z, which the paper does not mention either: it would bend the
straight lines that the experiment is about. With three exemplars and three concepts it hardly
matters, which may be why three were enough. Means of three have a third of z's variance, and a sum
of three of them has all of it again: Y is of the size that G was trained on. From single exemplars
it is the root of three times as large, further out than G has ever seen. `latent_scale` tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.grids import above, beside, tile
from dcgan_models.internals.exemplars import (
    Picks,
    check_latents,
    exemplar_rows,
    latent_scale,
    mean_latents,
)
from dcgan_models.internals.expressions import concepts_of, evaluate, parse_expression
from dcgan_models.networks import Generator
from dcgan_models.pixels import Pixels

# "Averaging the Z vector for three examplars showed consistent and stable generations."
EXEMPLARS = 3
# Figure 7's result and its neighbours, three rows of three.
_GRID = 9


# --- Figure 7 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class VectorArithmetic:
    """One example of Figure 7, drawn.

    Attributes:
        concepts: In the order of the expression.
        exemplars: For each concept uint8 (k, height, width, channels), its picks.
        means: For each concept (height, width, channels), G of their mean z.
        result: (9, height, width, channels), G(Y) in the middle (number 4) of its neighbours.
        pixel_means: For each concept (height, width, channels), the mean of its exemplars.
        pixel_result: (height, width, channels), the expression on those, cut off at 0 and 255.
        latent: Y, (z_dim,).
        scale: Its `latent_scale`.
    """

    concepts: list[str]
    exemplars: dict[str, Pixels]
    means: dict[str, Pixels]
    result: Pixels
    pixel_means: dict[str, Pixels]
    pixel_result: Pixels
    latent: Tensor
    scale: float

    def sheet(self, gap: int = 4) -> Pixels:
        """The figure without its signs: a column a concept, the result beside, pixels below.

        A column has the exemplars, G of their mean, and their mean in pixels.
        """
        columns = [
            above([tile(self.exemplars[name], 1), self.means[name]], gap) for name in self.concepts
        ]
        upper = beside([*columns, tile(self.result, 3)], gap)
        pixels = beside([*(self.pixel_means[name] for name in self.concepts)], gap)
        return above([upper, beside([pixels, self.pixel_result], gap)], gap)


def vector_arithmetic(
    generator: Generator,
    z: Tensor,
    picks: Picks,
    expression: str,
    *,
    seed: int = 0,
    reach: float = 0.25,
    labels: Tensor | None = None,
    label: int | None = None,
) -> VectorArithmetic:
    """Draw an expression of concepts, its neighbours, and the same on pixels.

    Args:
        generator: With sampling statistics.
        z: (n, z_dim), the latents that picks are numbers of.
        picks: Three samples or more for each concept of the expression.
        expression: As `parse_expression` reads it.
        seed: Of the neighbours' noise.
        reach: The noise is uniform from -reach to reach, whatever the distribution of z.
        labels: (n,) int64, those of the samples of a conditional generator.
        label: As what its means and results are drawn.

    Raises:
        UserError: The expression cannot be read; a concept is unknown or has too few picks; z is
            of another length; or the generator cannot draw.
    """
    check_latents(z, generator.preset)
    terms = parse_expression(expression)
    concepts = concepts_of(terms)
    rows = exemplar_rows(picks, concepts, len(z), least=EXEMPLARS)
    # The samples that were picked: three or more a concept, for one alone proved unstable.
    exemplars = {
        name: generator.draw(z[chosen], None if labels is None else labels[chosen])
        for name, chosen in rows.items()
    }
    # The expression of the mean z of each concept, and what lies about it (section 6.3.2).
    latents = mean_latents(z, picks, concepts)
    latent = evaluate(terms, latents)
    around = neighbours(latent, reach, torch.Generator().manual_seed(seed))
    drawn = _draw_as(generator, torch.cat([torch.stack(list(latents.values())), around]), label)
    # The same arithmetic on pixels: misaligned pictures overlap, as at the foot of Figure 7.
    pixel_means = {name: shown.mean(axis=0) for name, shown in exemplars.items()}
    return VectorArithmetic(
        concepts=concepts,
        exemplars=exemplars,
        means=dict(zip(concepts, drawn, strict=False)),
        result=drawn[len(concepts) :],
        pixel_means={name: _to_levels(mean) for name, mean in pixel_means.items()},
        pixel_result=_to_levels(evaluate(terms, pixel_means)),
        latent=latent,
        scale=latent_scale(latent, generator.preset),
    )


def neighbours(latent: Tensor, reach: float, rng: torch.Generator) -> Tensor:
    """Nine latents for Figure 7's three by three: one, and itself with uniform noise added.

    Returns:
        (9, z_dim), the latent itself at number 4.
    """
    noise = (torch.rand(_GRID, len(latent), generator=rng) * 2 - 1) * reach
    noise[_GRID // 2] = 0
    return latent + noise.to(latent)


def _to_levels(values: npt.NDArray[np.float64]) -> Pixels:
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _draw_as(generator: Generator, z: Tensor, label: int | None) -> Pixels:
    """Draw latents, all as one label where the generator is conditional."""
    classes = generator.preset.classes
    if not classes:
        return generator.draw(z)
    if label is None or not 0 <= label < classes:
        raise UserError(
            f"preset {generator.preset.name} is conditional: label {label}; allowed are 0 to "
            f"{classes - 1}"
        )
    return generator.draw(z, torch.full((len(z),), label))


# --- One exemplar against three -----------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """How much an expression's picture hangs on which exemplars were picked.

    Attributes:
        exemplars: How many were averaged for each concept.
        pictures: uint8 (draws, height, width, channels), results of drawn exemplars.
        levels: Root mean square of the pictures about their mean, in grey levels.
        scale: `latent_scale` of the results.
    """

    exemplars: int
    pictures: Pixels
    levels: float
    scale: float


def exemplar_spread(
    generator: Generator,
    z: Tensor,
    picks: Picks,
    expression: str,
    exemplars: int,
    *,
    draws: int = 32,
    seed: int = 0,
    label: int | None = None,
) -> Spread:
    """Work an expression out again and again with exemplars drawn from the picks.

    The paper found single exemplars unstable and three stable. They are drawn with replacement,
    a bootstrap: three of three picks would otherwise be the same every time.

    Args:
        generator, z, picks, expression, label: As for `vector_arithmetic`.
        exemplars: Drawn for each concept, each time; at least one.
        draws: How many times.
        seed: Of the draws.

    Raises:
        UserError: As `vector_arithmetic`.
    """
    check_latents(z, generator.preset)
    terms = parse_expression(expression)
    rows = exemplar_rows(picks, concepts_of(terms), len(z), least=EXEMPLARS)
    rng = np.random.default_rng(seed)
    drawn = {
        name: z[rng.choice(chosen, (draws, exemplars))].mean(dim=1) for name, chosen in rows.items()
    }
    latents = evaluate(terms, drawn)
    pictures = _draw_as(generator, latents, label)
    levels = float(np.sqrt(pictures.astype(np.float64).var(axis=0).mean()))
    return Spread(exemplars, pictures, levels, latent_scale(latents, generator.preset))
