"""Signs that a training goes wrong while every number is still finite.

Three rules, each judged from the log alone:

- D's loss at zero: D tells real from drawn without fail, and G has nothing left to learn from.
- Falling diversity: pictures of the same fixed z differ less and less from one another.
- Oscillating filters, the open problem of the paper's conclusion: "as models are trained longer
  they sometimes collapse a subset of filters to a single oscillating mode". A channel of G counts
  as collapsed when its map is the same whatever the z, and as oscillating when that map swings to
  and fro from tick to tick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dcgan_models.networks import Generator

# D's loss in nats when it knows nothing, and when it is 99% sure.
_LOSS_OF_IGNORANCE = 2 * math.log(2)
LEAST_D_LOSS = 0.02
LEAST_SHARE_OF_DIVERSITY = 0.5
MOST_OSCILLATING = 0.05
_WINDOW = 5
_WATCHED = 64
_SAME_FOR_EVERY_Z = 0.5
_SWING = 0.05


@dataclass(frozen=True)
class Finding:
    """How one rule came out.

    Attributes:
        rule: `d_loss_above_zero`, `diversity_kept` or `filters_settled`.
        value, bound: The figure that was judged and the bound that it is held to.
        words: Both in one sentence.
    """

    rule: str
    healthy: bool
    value: float
    bound: float
    words: str


class FilterWatch:
    """Looks at G's drawings of a few fixed z, tick by tick.

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
        drawn, maps = self._draw()
        spread = float(drawn.float().var(0, correction=0).mean().sqrt())
        means = [layer.mean(0) for layer in maps]
        changes = [now - before for now, before in zip(means, self.last, strict=False)]
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
        """What `restore` takes."""
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
    """Judge the log so far by the three rules, each over its last `_WINDOW` ticks.

    Args:
        history: Lines of log.jsonl, oldest first. Rules without enough of them hold.
    """
    recent = history[-_WINDOW:]
    d_losses = [line["d_loss"] for line in recent if line["d_loss"] is not None]
    enough = len(recent) == _WINDOW and bool(d_losses)
    least_d = max(d_losses) if enough else _LOSS_OF_IGNORANCE
    spreads = [line["fixed_z_spread"] for line in history]
    share = 1.0
    if len(history) > _WINDOW and max(spreads) > 0:
        share = max(spreads[-_WINDOW:]) / max(spreads)
    oscillating = sorted(line["oscillating_filters"] for line in recent)
    middle = oscillating[len(oscillating) // 2] if len(recent) == _WINDOW else 0.0
    return (
        Finding(
            "d_loss_above_zero",
            least_d >= LEAST_D_LOSS,
            least_d,
            LEAST_D_LOSS,
            f"D's loss was at most {least_d:.3g} nats in {_WINDOW} ticks: G learns nothing",
        ),
        Finding(
            "diversity_kept",
            share >= LEAST_SHARE_OF_DIVERSITY,
            share,
            LEAST_SHARE_OF_DIVERSITY,
            f"pictures of the fixed z vary by {share:.0%} of what they once did",
        ),
        Finding(
            "filters_settled",
            middle <= MOST_OSCILLATING,
            middle,
            MOST_OSCILLATING,
            f"{middle:.0%} of G's channels show one map for every z, which swings to and fro",
        ),
    )
