"""Exemplars: samples that were picked for a named concept, and their latents (section 6.3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.presets import Preset

# For each concept the numbers of the samples that were picked.
Picks = Mapping[str, Sequence[int]]


def exemplar_rows(
    picks: Picks, names: Sequence[str], count: int, *, least: int = 1
) -> dict[str, list[int]]:
    """The numbers of the samples that were picked for some concepts, checked.

    Args:
        picks: For each concept the numbers of the samples that were picked.
        names: Concepts that are needed.
        count: How many samples there are.
        least: How many picks a concept must have.

    Raises:
        UserError: An unknown concept, one with fewer picks, or a pick of no sample.
    """
    known = ", ".join(sorted(picks)) or "none"
    for name in names:
        if name not in picks:
            raise UserError(f"unknown concept {name!r}; there are: {known}")
        chosen = picks[name]
        if len(chosen) < least:
            raise UserError(
                f"concept {name!r} has {len(chosen)} picks, at least {least} are needed; "
                f"concepts are: {known}"
            )
        wrong = [row for row in chosen if not 0 <= row < count]
        if wrong:
            raise UserError(f"concept {name!r}: pick {wrong[0]}; samples are 0 to {count - 1}")
    return {name: list(picks[name]) for name in names}


def mean_latents(
    z: Tensor, picks: Picks, names: Sequence[str], *, least: int = 1
) -> dict[str, Tensor]:
    """The mean z of each concept's exemplars: (z_dim,) each.

    Args:
        z: (n, z_dim), what drew the samples.
        picks, names, least: As for `exemplar_rows`.
    """
    rows = exemplar_rows(picks, names, len(z), least=least)
    return {name: z[chosen].mean(dim=0) for name, chosen in rows.items()}


def check_latents(z: Tensor, preset: Preset) -> None:
    """Refuse latents that are not (n, z_dim) of a preset."""
    if z.ndim != 2 or z.shape[1] != preset.z_dim:
        raise UserError(
            f"z is {tuple(z.shape)}; generators of preset {preset.name} take (n, {preset.z_dim})"
        )


def latent_scale(z: Tensor, preset: Preset) -> float:
    """The size of latents (..., z_dim) against those that G was trained on, which have about 1.

    Their root mean square over the prior's standard deviation, 0.577 for uniform z. Sums of
    single exemplars lie far outside: two have 1.4, three 1.7.
    """
    deviation = 1.0 if preset.z_distribution == "normal" else 3**-0.5
    return z.square().mean().sqrt().item() / deviation
