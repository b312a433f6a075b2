"""The z nearest a picture: gradient descent on z through a fixed generator.

The paper does without; it is what one needs to use section 6.3.2 on a photograph of one's own.
Descent ends in local minima, so many starts run at once and the error of each is told. A picture
that G cannot draw has no z: its error says so. Nor need a z be the only one: with the authors'
SVHN generator, starts that end within a few grey levels of its own pictures are as far from the z
that drew them as any other z is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.adam import Adam
from dcgan_models.errors import UserError
from dcgan_models.networks import Generator, draw_latents, from_pixels
from dcgan_models.pixels import Pixels

# Adam's first step moves each number of z by this much; the range of uniform z is 2.
_LEARNING_RATE = 0.05


@dataclass(frozen=True)
class Inversion:
    """The latents that descent ended in, the best first.

    Attributes:
        z: float32 (restarts, z_dim), on CPU.
        pictures: uint8 (restarts, height, width, channels), what G draws of them.
        errors: float64 (restarts,), ascending: root mean square difference to the picture, in
            grey levels.
    """

    z: Tensor
    pictures: Pixels
    errors: npt.NDArray[np.float64]


def invert(
    generator: Generator,
    picture: Pixels,
    *,
    restarts: int = 8,
    steps: int = 300,
    seed: int = 0,
    label: int | None = None,
) -> Inversion:
    """Find latents whose pictures are nearest a given one in pixels.

    Adam from random starts, its rate falling to zero along a half cosine, on the mean squared
    error. Every start has its own error and its own moments: they share a batch and nothing else.
    Uniform z is cut back to [-1, 1] after each step, so that what is found is a latent that G was
    trained on and arithmetic can go on from there; Gaussian z has no bounds.

    Args:
        generator: With sampling statistics; it is not changed.
        picture: uint8 (height, width, channels), of the size that G draws.
        restarts: Starts, drawn from the distribution of z; all are computed at once.
        steps: Of descent.
        seed: Of the starts.
        label: As what a conditional generator draws.

    Raises:
        UserError: A picture of another size or dtype, no starts or steps, no label where one is
            needed, or a generator without sampling statistics.
    """
    preset = generator.preset
    _check(generator, picture, restarts, steps, label)
    generator.eval()
    device = next(generator.parameters()).device
    labels = None if label is None else torch.full((restarts,), label, device=device)
    target = from_pixels(torch.tensor(picture)[None].to(device), preset)
    starts = draw_latents(preset, restarts, torch.Generator().manual_seed(seed))
    z = starts.to(device).requires_grad_()
    optimiser = Adam([z], _LEARNING_RATE)
    for step in range(steps):
        optimiser.learning_rate = _LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2
        loss = (generator(z, labels) - target).square().mean(dim=(1, 2, 3)).sum()
        # Of z alone: the weights gather no gradient.
        (z.grad,) = torch.autograd.grad(loss, z)
        optimiser.step()
        if preset.z_distribution == "uniform":
            z.data.clamp_(-1, 1)
    return _ranked(generator, picture, z.detach().cpu(), None if labels is None else labels.cpu())


def _ranked(generator: Generator, picture: Pixels, z: Tensor, labels: Tensor | None) -> Inversion:
    """Measure on the pictures that one would see, and put the best first."""
    pictures = generator.draw(z, labels)
    difference = pictures.astype(np.float64) - picture
    errors = np.sqrt(np.square(difference).mean(axis=(1, 2, 3)))
    order = errors.argsort(kind="stable")
    return Inversion(z[torch.from_numpy(order)], pictures[order], errors[order])


def _check(
    generator: Generator, picture: Pixels, restarts: int, steps: int, label: int | None
) -> None:
    preset = generator.preset
    channels, height, width = preset.image
    if picture.dtype != np.uint8 or picture.shape != (height, width, channels):
        raise UserError(
            f"the picture is {picture.dtype} {picture.shape}; preset {preset.name} needs uint8 "
            f"({height}, {width}, {channels})"
        )
    if restarts < 1 or steps < 1:
        raise UserError(f"{restarts} restarts of {steps} steps: at least 1 of each is needed")
    classes = preset.classes
    if (label is None) == bool(classes) or (label is not None and not 0 <= label < classes):
        allowed = f"0 to {classes - 1}" if classes else "none"
        raise UserError(f"label {label}: preset {preset.name} has labels {allowed}")
    if not generator.has_statistics:
        raise UserError("this generator has no sampling statistics: it cannot draw single z")
