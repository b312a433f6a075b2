"""How weights are shortened: half precision for what draws, a byte a weight for what looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from dcgan_models.errors import UserError
from dcgan_models.networks import (
    Discriminator,
    Generator,
    load_discriminator,
    load_weights,
    network_state,
    save_network,
)
from dcgan_models.weights import in_bytes, in_half, read_weights, rounded, write_weights
from tests.small_networks import small


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(7)
    return {
        "kernel.weight": torch.randn(6, 3, 5, 5) * torch.logspace(-9, 3, 6).view(-1, 1, 1, 1),
        "matrix": torch.cat([torch.zeros(1, 40), torch.randn(3, 40)]),
        "bias": torch.randn(6),
        "scalar": torch.tensor(3.25),
    }


def shapes(of: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in of.items()}


def read(path: Path, of: dict[str, Tensor]) -> dict[str, Tensor]:
    return read_weights(path, shapes(of), "a test")


def test_in_bytes_no_weight_is_further_off_than_half_a_step(tmp_path: Path) -> None:
    full = tensors()
    write_weights(tmp_path / "w", in_bytes(full))
    found = read(tmp_path / "w", full)
    assert found.keys() == full.keys()
    for name in ("bias", "scalar"):
        assert torch.equal(found[name], full[name])
    for name in ("kernel.weight", "matrix"):
        rows, true = found[name].flatten(1), full[name].flatten(1)
        # The step itself is rounded to eight bits of a mantissa: the largest is off by a 512th.
        bound = true.abs().amax(1, keepdim=True) * (0.5 / 127 + 1 / 256)
        assert bool(((rows - true).abs() <= bound).all())


def test_in_bytes_what_was_read_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    full = tensors()
    write_weights(tmp_path / "once", in_bytes(full))
    write_weights(tmp_path / "twice", in_bytes(read(tmp_path / "once", full)))
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_a_rounded_network_is_the_one_that_is_read_again(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    before = {name: tensor.float().clone() for name, tensor in network.state_dict().items()}
    state = rounded(network).state_dict()
    write_weights(tmp_path / "w", in_bytes(before))
    found = read(tmp_path / "w", before)
    assert all(torch.equal(found[name], state[name].float()) for name in state)
    assert not torch.equal(found["0.weight"], before["0.weight"])


@pytest.mark.parametrize("shorten", [in_bytes, in_half, dict], ids=["bytes", "half", "full"])
def test_a_network_is_read_however_it_was_written(shorten: Any, tmp_path: Path) -> None:
    network = Discriminator(small("mnist28"))
    state = network_state(network)
    write_weights(tmp_path / "w", shorten(state))
    opened = Discriminator(small("mnist28"))
    load_weights(opened, tmp_path / "w")
    for name, tensor in network_state(opened).items():
        largest = float(state[name].abs().max())
        torch.testing.assert_close(tensor, state[name], rtol=0.01, atol=0.01 * largest)


def test_a_discriminator_has_a_byte_a_weight_and_a_generator_two(tmp_path: Path) -> None:
    types = {}
    for network in (Generator(small("mnist28")), Discriminator(small("mnist28"))):
        save_network(network, tmp_path / network.role)
        with safe_open(tmp_path / network.role / "weights.safetensors", "pt") as file:
            types[network.role] = {
                file.get_tensor(name).dtype
                for name in file.keys()  # noqa: SIM118
                if file.get_tensor(name).dim() > 1
            }
    assert types == {"generator": {torch.float16}, "discriminator": {torch.int8}}
    assert load_discriminator(tmp_path / "discriminator").preset == small("mnist28")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("matrix.step"), "tensor matrix.step is missing"),
        (lambda t: t.update({"bias.step": torch.ones(6)}), "unknown tensor bias.step"),
        (lambda t: t.update({"matrix.step": torch.ones(5)}), r"matrix.step has shape \(5,\)"),
        (lambda t: t.update({"matrix.step": torch.ones(4, dtype=torch.int8)}), "step is I8"),
        (lambda t: t.update({"bias": torch.ones(6, dtype=torch.int8)}), "bias.step is missing"),
        (lambda t: t.update({"matrix.step": torch.full((4,), torch.inf)}), "not finite"),
    ],
)
def test_bytes_without_their_steps_are_one_line(change: Any, said: str, tmp_path: Path) -> None:
    full = tensors()
    shortened = in_bytes(full)
    change(shortened)
    write_weights(tmp_path / "w", shortened)
    with pytest.raises(UserError, match=said):
        read(tmp_path / "w", full)
