"""The running average of G's weights, where a run asks for one: it draws what the run leaves.

G and D chase each other, and their weights go round what they would settle at. The average of G's
lies nearer to it (Yazici et al., "The unusual effectiveness of averaging in GAN training", 2019).
The paper has none: it draws with the last weights.
"""

from __future__ import annotations

import copy

import torch

from dcgan_models.networks import Generator
from dcgan_models.training.checkpoint import State

# The larger, the sooner early weights are forgotten: with 8 about a ninth of all updates counts.
_DECAY = 8


class RunningAverage:
    """Polynomial-decay averaging (Shamir and Zhang 2013), which knows no length of the run.

    The weights after update t have the share (1 + 8) / (t + 8) of the average by then. So the
    start is forgotten, and a longer run averages over more.

    Attributes:
        generator: A generator of its own, whose weights are the average.
        updates: Of the generator that it follows, so far.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = copy.deepcopy(generator).requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def follow(self, generator: Generator) -> None:
        """Take in the weights that an update has just made."""
        self.updates += 1
        share = (1 + _DECAY) / (self.updates + _DECAY)  # all of it after the first
        average, weights = tuple(self.generator.parameters()), tuple(generator.parameters())
        torch._foreach_lerp_(average, weights, share)

    def state(self) -> State:
        """The average and the number of updates, as `restore` takes them."""
        return {**self.generator.state_dict(), "updates": torch.tensor(self.updates)}

    def restore(self, state: State) -> None:
        """Go on from the average of an earlier process."""
        weights = dict(state)
        self.updates = int(weights.pop("updates"))
        self.generator.load_state_dict(weights)
