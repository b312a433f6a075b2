"""How the small networks that look at pictures are trained: by Adam, on random minibatches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from dcgan_models.adam import Adam
from dcgan_models.errors import UserError


@dataclass(frozen=True)
class Descent:
    """How long and how fast a small network learns.

    Attributes:
        updates: Minibatches.
        batch: Pictures of each.
        learning_rate: At the start; falls to zero in a straight line.
        seed: Of initial weights, minibatches and whatever else is random.
    """

    updates: int
    batch: int
    learning_rate: float
    seed: int


def descend(
    network: nn.Module,
    n: int,
    config: Descent,
    loss_of: Callable[[npt.NDArray[np.int64]], Tensor],
    on_update: Callable[[int, float], None],
    what: str,
) -> None:
    """Train a network on random minibatches of n pictures.

    Args:
        network: Its parameters are changed.
        n: Pictures; rows are drawn with replacement, so that few take as many updates as many.
        config: How long and how fast.
        loss_of: The loss of a minibatch, of these rows.
        on_update: Told the number of each update and its loss.
        what: Is trained, for the line.

    Raises:
        UserError: The loss is no longer finite.
    """
    optimiser = Adam(network.parameters(), config.learning_rate)
    random = np.random.default_rng(config.seed)
    for update in range(config.updates):
        # Down to zero along a line.
        optimiser.learning_rate = config.learning_rate * (1 - update / config.updates)
        loss = loss_of(random.integers(n, size=config.batch))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        on_update(update + 1, loss.item())
    if not bool(loss.isfinite()):
        raise UserError(f"{what}: the loss is no longer finite; lower learning_rate")
