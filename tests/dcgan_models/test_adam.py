"""Adam: torch's own class, bit for bit, and nothing of torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from dcgan_models.adam import STATE, Adam

_TRAINED = """
import sys, torch
from dcgan_models.adam import Adam
weight = torch.nn.Parameter(torch.ones(3))
adam = Adam([weight], 0.1)
weight.square().sum().backward()
adam.step()
adam.zero_grad()
print(weight.detach().tolist() != [1, 1, 1], "torch._dynamo" in sys.modules)
"""


def two_networks() -> tuple[torch.nn.Module, torch.nn.Module]:
    """Twice the same weights, one of them in another layout."""
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        network = torch.nn.Sequential(torch.nn.Conv2d(2, 5, 3), torch.nn.BatchNorm2d(5))
        found.append(network.to(memory_format=torch.channels_last))
    return found[0], found[1]


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_steps_are_those_of_torch_bit_for_bit(l2: float) -> None:
    ours, theirs = two_networks()
    one = Adam(ours.parameters(), 0.01, betas=(0.5, 0.99), eps=1e-6, l2=l2)
    other = torch.optim.Adam(
        theirs.parameters(), 0.01, betas=(0.5, 0.99), eps=1e-6, weight_decay=l2, fused=True
    )
    for step in range(5):
        one.learning_rate = other.param_groups[0]["lr"] = 0.01 / (step + 1)
        for network, adam in ((ours, one), (theirs, other)):
            adam.zero_grad()
            images = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(step))
            network(images).square().sum().backward()
            adam.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
        for part in STATE:
            assert torch.equal(one.state[a][part], other.state[b][part])
            assert one.state[a][part].stride() == other.state[b][part].stride()


def test_a_broken_step_changes_nothing() -> None:
    network, _ = two_networks()
    adam = Adam(network.parameters(), 0.1)
    adam.broken = torch.zeros(())
    kept = []
    for broken in (0, 1):
        adam.zero_grad()
        network(torch.ones(2, 2, 4, 4)).sum().backward()
        adam.broken.fill_(broken)
        adam.step()
        tensors = [*network.parameters(), *(t for s in adam.state.values() for t in s.values())]
        kept.append([tensor.detach().clone() for tensor in tensors])
    assert all(map(torch.equal, *kept))
    assert any(bool(state["step"] == 1) for state in adam.state.values())


def test_a_parameter_without_a_gradient_stays() -> None:
    with_one, without = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    adam = Adam([with_one, without], 0.1)
    with_one.sum().backward()
    adam.step()
    assert not torch.equal(with_one, torch.ones(2))
    assert torch.equal(without, torch.ones(2))


def test_a_gradient_may_lie_in_memory_as_it_likes() -> None:
    values = torch.arange(6.0).view(2, 3)
    plain, other = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    plain.grad, other.grad = values.clone(), values.t().contiguous().t()
    for parameter in (plain, other):
        adam = Adam([parameter], 0.1, l2=0.5)
        adam.step()
    assert plain.grad.stride() != other.grad.stride()
    assert torch.equal(plain, other)


def test_nothing_of_the_compiler_is_loaded() -> None:
    said = subprocess.run([sys.executable, "-c", _TRAINED], capture_output=True, text=True)
    assert said.stdout == "True False\n", said.stderr
