"""Vector arithmetic against a linear generator, whose pictures add up as their latents do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused
from torch import Tensor

from dcgan_models.internals.arithmetic import exemplar_spread, neighbours, vector_arithmetic
from dcgan_models.internals.exemplars import exemplar_rows, latent_scale, mean_latents
from dcgan_models.networks import Generator, draw_latents, estimate_sampling_statistics, initialise
from dcgan_models.presets import Layer, Preset, preset

SIDE, LENGTH = 4, 16
WORDS = "smiling_woman - neutral_woman + neutral_man"
PICKS = {
    "smiling_woman": [0, 1, 2],
    "neutral_woman": [3, 4, 5, 6],
    "neutral_man": [7, 8, 9],
    "nobody": [],
    "few": [1, 2],
}


def linear_generator(weights: Tensor) -> Generator:
    """Pictures in [0, 1] that are `weights` (pixels, z_dim) times z, and nothing else."""
    network = Generator(
        Preset(
            name="linear",
            source="this test",
            image=(1, SIDE, SIDE),
            z_dim=weights.shape[1],
            epochs=1,
            generator=(Layer("dense", SIDE * SIDE, reshape=(1, SIDE, SIDE)),),
            discriminator=(Layer("dense", 1),),
        )
    )
    block: Any = network.blocks[0]
    block.weight.weight.data.copy_(weights)
    return network


def one_pixel_a_number() -> Generator:
    return linear_generator(torch.eye(LENGTH))


def latents(n: int, low: float, high: float, seed: int = 0) -> Tensor:
    return torch.rand(n, LENGTH, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def levels(z: Tensor) -> npt.NDArray[np.uint8]:
    shown = (z.reshape(-1, SIDE, SIDE, 1) * 255).round().clamp(0, 255)
    return shown.to(torch.uint8).numpy()


# --- Figure 7 -----------------------------------------------------------------------------------


def test_the_figure_of_a_linear_generator_by_hand() -> None:
    z = latents(12, 0.2, 0.5)
    found = vector_arithmetic(one_pixel_a_number(), z, PICKS, WORDS, seed=3)
    women, neutral, men = z[0:3].mean(0), z[3:7].mean(0), z[7:10].mean(0)
    y = women - neutral + men
    torch.testing.assert_close(found.latent, y)
    assert found.concepts == ["smiling_woman", "neutral_woman", "neutral_man"]
    np.testing.assert_array_equal(found.exemplars["neutral_woman"], levels(z[3:7]))
    np.testing.assert_array_equal(found.means["neutral_man"], levels(men)[0])
    np.testing.assert_array_equal(found.result[4], levels(y)[0])
    # Here pixels add up as latents do: both ways agree, but for rounding.
    difference = found.pixel_result.astype(int) - found.result[4]
    assert np.abs(difference).max() <= 1
    assert found.scale == pytest.approx(3**0.5 * y.square().mean().sqrt().item())


def test_neighbours_lie_within_reach_of_the_centre() -> None:
    z = latents(12, 0.4, 0.6)
    found = vector_arithmetic(one_pixel_a_number(), z, PICKS, WORDS)
    away = (found.result.astype(int) - found.result[4]) / 255
    assert not away[4].any()
    assert np.abs(away).max() <= 0.25 + 1 / 255
    others = np.delete(away, 4, axis=0)
    assert (np.abs(others).max(axis=(1, 2, 3)) > 0.15).all()
    assert others.std() == pytest.approx(0.25 / 3**0.5, rel=0.15)


def test_pixel_arithmetic_is_cut_off_at_black_and_white() -> None:
    z = latents(12, 0.0, 1.0)
    z[0:3, 0], z[3:7, 0], z[7:10, 0] = 1.0, 0.0, 1.0
    z[0:3, 1], z[3:7, 1], z[7:10, 1] = 0.0, 1.0, 0.0
    found = vector_arithmetic(one_pixel_a_number(), z, PICKS, WORDS)
    assert found.pixel_result[0, :2, 0].tolist() == [255, 0]


def test_pixels_of_a_generator_that_is_not_linear_do_not_add_up() -> None:
    network = Generator(preset("lsun64").with_overrides(width=0.05, batch=8))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    estimate_sampling_statistics(network, seed=0, minibatches=4)
    z = draw_latents(network.preset, 12, torch.Generator().manual_seed(1))
    found = vector_arithmetic(network, z, PICKS, WORDS)
    np.testing.assert_array_equal(found.result[4], network.draw(found.latent[None])[0])
    means = {name: shown.mean(axis=0) for name, shown in found.exemplars.items()}
    expected = means["smiling_woman"] - means["neutral_woman"] + means["neutral_man"]
    np.testing.assert_array_equal(found.pixel_result, np.rint(expected.clip(0, 255)))
    assert np.abs(found.pixel_result.astype(int) - found.result[4]).mean() > 10


def test_a_conditional_generator_draws_results_as_the_label_asked_for(refused: Refused) -> None:
    network = Generator(preset("mnist28").with_overrides(width=0.1, batch=8))
    initialise(network, torch.Generator().manual_seed(0))
    estimate_sampling_statistics(network, seed=0, minibatches=4)
    z = draw_latents(network.preset, 12, torch.Generator().manual_seed(1))
    labels = torch.arange(12) % 10
    found = vector_arithmetic(network, z, PICKS, WORDS, labels=labels, label=7)
    np.testing.assert_array_equal(
        found.exemplars["neutral_man"], network.draw(z[7:10], labels[7:10])
    )
    np.testing.assert_array_equal(
        found.result[4], network.draw(found.latent[None], torch.tensor([7]))[0]
    )
    for label in (None, 10):
        with refused("conditional", "0 to 9"):
            vector_arithmetic(network, z, PICKS, WORDS, labels=labels, label=label)


def test_the_sheet_has_columns_of_exemplars_and_the_result_beside() -> None:
    found = vector_arithmetic(one_pixel_a_number(), latents(12, 0.2, 0.5), PICKS, WORDS)
    sheet = found.sheet(gap=2)
    # Four exemplars, a gap and a mean; a gap; pixels. Three concepts, and three neighbours.
    assert sheet.shape == (4 * 4 + 2 + 4 + 2 + 4, 3 * 4 + 3 * 2 + 3 * 4, 1)
    np.testing.assert_array_equal(sheet[:4, 6:10], found.exemplars["neutral_woman"][0])
    np.testing.assert_array_equal(sheet[14:18, :4], found.means["smiling_woman"])
    np.testing.assert_array_equal(sheet[4:8, 22:26], found.result[4])
    np.testing.assert_array_equal(sheet[-4:, 12:16], found.pixel_means["neutral_man"])
    np.testing.assert_array_equal(sheet[-4:, 18:22], found.pixel_result)


# --- One exemplar against three -----------------------------------------------------------------


def test_three_exemplars_have_a_third_of_the_variance_of_one() -> None:
    """In a linear G the spread of pictures is that of latents, a bootstrap's."""
    z = latents(12, 0.3, 0.5, seed=2)
    one, three = (
        exemplar_spread(one_pixel_a_number(), z, PICKS, WORDS, k, draws=3000) for k in (1, 3)
    )
    assert (one.exemplars, three.exemplars, len(one.pictures)) == (1, 3, 3000)
    parts = [z[0:3], z[3:7], z[7:10]]
    variance = sum(part.var(dim=0, correction=0) for part in parts).mean().item()  # type: ignore[union-attr]
    assert one.levels == pytest.approx(255 * variance**0.5, rel=0.03)
    assert one.levels / three.levels == pytest.approx(3**0.5, rel=0.03)


@pytest.mark.parametrize("name", ["lsun64", "svhn32"])
def test_sums_of_three_means_of_three_are_of_the_prior_s_size(name: str) -> None:
    chosen = preset(name)
    z = draw_latents(chosen, 9 * 500, torch.Generator().manual_seed(0))
    assert latent_scale(z, chosen) == pytest.approx(1, rel=0.01)
    sums = z.view(500, 3, 3, -1).mean(dim=2).sum(dim=1)
    assert latent_scale(sums, chosen) == pytest.approx(1, rel=0.02)
    singles = z.view(1500, 3, -1).sum(dim=1)
    assert latent_scale(singles, chosen) == pytest.approx(3**0.5, rel=0.02)


# --- Exemplars and refusals ---------------------------------------------------------------------


def test_means_of_exemplars() -> None:
    z = latents(12, -1, 1)
    means = mean_latents(z, PICKS, ["few", "neutral_man"])
    assert set(means) == {"few", "neutral_man"}
    torch.testing.assert_close(means["few"], (z[1] + z[2]) / 2)


def test_bad_picks_are_one_line_that_names_what_exists(refused: Refused) -> None:
    network, z = one_pixel_a_number(), latents(12, -1, 1)
    with refused("unknown concept 'man'", "few, neutral_man, neutral_woman, nobody, smiling_woman"):
        vector_arithmetic(network, z, PICKS, "man - few")
    with refused("'nobody' has 0 picks", "at least 1", "few"):
        exemplar_rows(PICKS, ["nobody"], 12)
    with refused("'few' has 2 picks", "at least 3"):
        vector_arithmetic(network, z, PICKS, "smiling_woman - few")
    with refused("'few' has 2 picks", "at least 3"):
        exemplar_spread(network, z, PICKS, "few", 1)
    with refused("'neutral_man': pick 8", "0 to 7"):
        vector_arithmetic(network, z[:8], PICKS, WORDS)
    with refused("unknown concept 'a'", "there are: none"):
        exemplar_rows({}, ["a"], 12)
    with refused("z is (12, 9)", "linear", "(n, 16)"):
        vector_arithmetic(network, z[:, :9], PICKS, WORDS)


def test_neighbours_hang_on_the_seed() -> None:
    y = torch.zeros(5)
    one, same, other = (neighbours(y, 1.0, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == (9, 5)
