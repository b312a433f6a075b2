"""Signs that a training goes wrong while every number is still finite.

Rules, each judged from the log alone:

- One network wins outright. Either its loss is at zero, D's because it tells real from drawn
  without fail, G's because D takes all that is drawn for real; or the other's loss stays as high
  as no network has it that learns. Then there is nothing left to learn from.
- Losses that do not move: nothing is learned at all.
- Falling diversity: pictures of the same fixed z differ less and less from one another.
- Oscillating filters, the open problem of the paper's conclusion: "as models are trained longer
  they sometimes collapse a subset of filters to a single oscillating mode". A channel of G counts
  as collapsed when its map is the same whatever the z, and as oscillating when that map swings to
  and fro from tick to tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_models.networks import Generator

# In nats. That of a D that is 99% sure of both; of a G whose drawings D takes for real by as much.
LEAST_LOSS = 0.02
# Where D gives what it should take for real a chance of 0.00005. Our released runs had 6.9 at most.
MOST_LOSS = 10.0
# The range of a loss over the window, as a share of it. Those of our released runs moved by 0.003
# at least.
LEAST_MOVE = 1e-4
LEAST_SHARE_OF_DIVERSITY = 0.5
MOST_OSCILLATING = 0.05
_WINDOW = 5
_WATCHED = 64
_SAME_FOR_EVERY_Z = 0.5
_SWING = 0.05


@dataclass(frozen=True)
class Finding:
    """How one rule of `judge_health` came out.

    Attributes:
        rule: Its name, that of a check.
        healthy: None where it was not measured: the log is too short.
        value, bound: The figure that was judged and the bound that it is held to. Of a log that is
            too short, the figure so far; None where there is none.
        words: Both in one sentence.
    """

    rule: str
    healthy: bool | None
    value: float | None
    bound: float
    words: str


class FilterWatch:
    """Watches G's drawings of a few fixed z for collapsed and oscillating filters.

    It keeps each channel's mean map of the last two looks; `state` and `restore` carry them over
    a resume, so that the log of a run that was stopped is the log of one that was not.
    """

    def __init__(self, generator: Generator) -> None:
        assert generator.fixed_z is not None  # noqa: S101  (every training sets them)
        self.generator = generator
        device = next(generator.parameters()).device
        self.z = generator.fixed_z[:_WATCHED].to(device)
        labels = generator.fixed_labels
        self.labels = None if labels is None else labels[:_WATCHED].to(device)
        self.last: list[Tensor] = []
        self.change: list[Tensor] = []

    @torch.no_grad()
    def look(self) -> tuple[float, float]:
        """Draw the fixed z as training does, by the minibatch's own statistics.

        Returns:
            The root mean squared distance of a picture to the mean picture, in G's scale; and the
            share of hidden channels that are collapsed and swing to and fro.
        """
        # Diversity over z at each place, and each channel's mean map with its move since.
        drawn, maps = self._draw()
        spread = float(drawn.float().var(0, correction=0).mean().sqrt())
        means = [layer.mean(0) for layer in maps]
        changes = [now - before for now, before in zip(means, self.last, strict=False)]
        # Two moves are needed to tell to and fro: none of the first two looks finds any.
        flags = [
            _collapsed(layer) & _swings(_whole(layer), change, earlier)
            for layer, change, earlier in zip(maps, changes, self.change, strict=False)
        ]
        self.last, self.change = means, changes
        oscillating = float(torch.cat(flags).float().mean()) if flags else 0.0
        return spread, oscillating

    def _draw(self) -> tuple[Tensor, list[Tensor]]:
        """Pictures of the fixed z, and each hidden convolution's maps (z, channels, positions)."""
        maps: list[Tensor] = []

        def keep(module: Any, inputs: Any, output: Tensor) -> None:
            if output.ndim == 4:
                maps.append(output.float().flatten(2))

        hidden = list(self.generator.blocks)[:-1]
        hooks = [block.register_forward_hook(keep) for block in hidden]
        try:
            drawn = self.generator(self.z, self.labels)
        finally:
            for hook in hooks:
                hook.remove()
        return drawn, maps

    def state(self) -> dict[str, Tensor]:
        """The maps of the last two looks, as `restore` takes them."""
        parts = {"last": self.last, "change": self.change}
        return {f"{name}.{i}": t for name, kept in parts.items() for i, t in enumerate(kept)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the looks of an earlier process."""
        device = self.z.device
        for name in ("last", "change"):
            count = sum(key.startswith(f"{name}.") for key in state)
            setattr(self, name, [state[f"{name}.{i}"].to(device) for i in range(count)])


def _collapsed(maps: Tensor) -> Tensor:
    """(channels,) whether a channel varies over the plane more than over z: one map for all.

    Args:
        maps: (z, channels, positions).
    """
    over_z = maps.var(0, correction=0).mean(1).sqrt()
    return over_z < _SAME_FOR_EVERY_Z * _whole(maps)


def _whole(maps: Tensor) -> Tensor:
    """(channels,) standard deviation over z and the plane together."""
    return maps.transpose(0, 1).flatten(1).std(1, correction=0)


def _swings(whole: Tensor, change: Tensor, earlier: Tensor) -> Tensor:
    """(channels,) whether the mean map moves back by as much as it had moved away.

    Args:
        whole: (channels,) as `_whole` gives it: moves are measured by it.
        change, earlier: (channels, positions), the last two moves of the mean map.
    """
    moved, moved_before = change.norm(dim=1), earlier.norm(dim=1)
    back: Tensor = (change * earlier).sum(1) < -0.5 * moved * moved_before
    size = change.shape[1] ** 0.5  # from a sum over the plane to a root mean square
    wide: Tensor = torch.minimum(moved, moved_before) / size > _SWING * whole
    return back & wide


def judge_health(history: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Judge the log so far by all rules, each over its last `_WINDOW` ticks.

    Args:
        history: Lines of log.jsonl, oldest first.
    """
    d_losses, g_losses = (_recent(history, name) for name in ("d_loss", "g_loss"))
    logged = [losses for losses in (d_losses, g_losses) if losses]
    oscillating = sorted(_recent(history, "oscillating_filters"))
    ticks = len(history)
    return (
        # One network wins: its own loss at zero, or the other's out of reach.
        _held(
            "d_loss_above_zero",
            max(d_losses, default=None),
            LEAST_LOSS,
            "D's loss was at most {:.3g} nats in {} ticks: G learns nothing",
            ticks,
        ),
        _held(
            "g_loss_above_zero",
            max(g_losses, default=None),
            LEAST_LOSS,
            "G's loss was at most {:.3g} nats in {} ticks: D learns nothing",
            ticks,
        ),
        _held(
            "losses_within_reach",
            max(map(min, logged), default=None),
            MOST_LOSS,
            "a network's loss was at least {:.3g} nats in {} ticks: it is beaten",
            ticks,
            most=True,
        ),
        # Neither wins, and nothing is learned either.
        _held(
            "losses_move",
            min((_moved(losses) for losses in logged if len(losses) > 1), default=None),
            LEAST_MOVE,
            "a network's loss moved by {:.2g} of itself in {} ticks: nothing is learned",
            ticks,
        ),
        # What is drawn grows alike.
        _held(
            "diversity_kept",
            _kept_diversity(history),
            LEAST_SHARE_OF_DIVERSITY,
            "pictures of the fixed z vary by {:.0%} of what they once did, in {} ticks",
            ticks - 1,  # there must be an earlier one
        ),
        # The paper's open problem; the median, for a single look may catch a swing by chance.
        _held(
            "filters_settled",
            oscillating[len(oscillating) // 2] if oscillating else None,
            MOST_OSCILLATING,
            "{:.0%} of G's channels show one map for every z, which swings to and fro ({} ticks)",
            ticks,
            most=True,
        ),
    )


def _held(
    rule: str, value: float | None, bound: float, words: str, ticks: int, *, most: bool = False
) -> Finding:
    """A figure held to a bound: the least that it may be, or the most."""
    if value is None or ticks < _WINDOW:
        return Finding(rule, None, value, bound, f"not measured: the log is too short ({ticks})")
    healthy = value <= bound if most else value >= bound
    return Finding(rule, healthy, value, bound, words.format(value, _WINDOW))


def _recent(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """A figure in the last ticks, but for those in which there was none."""
    return [line[name] for line in history[-_WINDOW:] if line[name] is not None]


def _moved(losses: Sequence[float]) -> float:
    """The range of losses as a share of the largest; 0 where all are 0."""
    largest = max(map(abs, losses))
    return (max(losses) - min(losses)) / largest if largest else 0.0


def _kept_diversity(history: Sequence[Mapping[str, Any]]) -> float | None:
    """The most of the last spreads over the most of all; 0 where there never was any."""
    spreads = [line["fixed_z_spread"] for line in history]
    if not spreads:
        return None
    return max(spreads[-_WINDOW:]) / max(spreads) if max(spreads) > 0 else 0.0
