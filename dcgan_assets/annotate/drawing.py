"""What the annotation page asks the generator to draw: samples, arithmetic, walks, the turn vector.

The latents are those of Figures 7 and 8 (section 6.3.2), by the same functions of dcgan_models.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from dcgan_models.internals.arithmetic import neighbours
from dcgan_models.internals.exemplars import Picks, mean_latents
from dcgan_models.internals.expressions import concepts_of, evaluate, parse_expression
from dcgan_models.internals.turn_vector import turn_walk
from dcgan_models.networks import Generator
from dcgan_models.pixels import Pixels

NEIGHBOUR_NOISE = 0.25
WALK_STEPS = 9
TURN_STEPS = 5  # to either side
# Noise drawn anew for every pick would move all neighbours; a pick should move what it moves.
_NOISE_SEED = 0
# A pick waits for at most so many samples of a page that is being drawn.
_SAMPLES_AT_ONCE = 8


class Drawing:
    """What the page sees of a generator and its fixed samples.

    Every answer is uint8 (n, height, width, channels). A conditional generator draws a mixture
    as the label of the first sample in it. Safe to call from several threads.
    """

    def __init__(self, generator: Generator) -> None:
        """Draw with a generator that has fixed samples; raise `UserError` where it cannot draw."""
        assert generator.fixed_z is not None  # noqa: S101  (else it is no subject of annotations)
        self._generator, self._z = generator, generator.fixed_z
        self._turns = _Turns()
        # Opens what torch opens once, and refuses a generator without statistics.
        self._draw(self._z[:1], 0)

    def samples(self, first: int, last: int) -> Pixels:
        """The fixed samples from `first` to before `last`, giving way to whatever else is asked."""
        parts = []
        for start in range(first, last, _SAMPLES_AT_ONCE):
            rows = slice(start, min(start + _SAMPLES_AT_ONCE, last))
            labels = self._generator.fixed_labels
            with self._turns.patient():
                parts.append(
                    self._generator.draw(self._z[rows], None if labels is None else labels[rows])
                )
        return np.concatenate(parts)

    def mean(self, concept: str, picks: Picks) -> Pixels:
        """One picture: of the mean z of a concept's picks."""
        mean = mean_latents(self._z, picks, [concept])[concept]
        return self._now(mean[None], picks[concept][0])

    def arithmetic(self, expression: str, picks: Picks) -> Pixels:
        """Nine pictures of an expression over concepts, its result in the middle (Figure 7)."""
        terms = parse_expression(expression)
        concepts = concepts_of(terms)
        latent = evaluate(terms, mean_latents(self._z, picks, concepts))
        rng = torch.Generator().manual_seed(_NOISE_SEED)
        return self._now(neighbours(latent, NEIGHBOUR_NOISE, rng), picks[concepts[0]][0])

    def walk(self, start: int, end: int) -> Pixels:
        """Nine pictures from one sample to another, both included."""
        t = torch.linspace(0, 1, WALK_STEPS)[:, None]
        return self._now(torch.lerp(self._z[start], self._z[end], t), start)

    def turn(self, left: str, right: str, picks: Picks, sample: int) -> Pixels:
        """Eleven pictures along the turn vector, the sample itself in the middle (Figure 8)."""
        means = mean_latents(self._z, picks, [left, right])
        (turned,) = turn_walk(self._z[[sample]], means[right] - means[left], TURN_STEPS)
        return self._now(turned, sample)

    def _now(self, z: Tensor, like: int) -> Pixels:
        with self._turns.urgent():
            return self._draw(z, like)

    def _draw(self, z: Tensor, like: int) -> Pixels:
        """Pictures of `z`, labelled as sample `like` where there are labels."""
        fixed = self._generator.fixed_labels
        labels: Tensor | None = None if fixed is None else fixed[like].expand(len(z))
        return self._generator.draw(z, labels)


class _Turns:
    """One drawing at a time; urgent ones go before patient ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = False
        self._urgent = 0

    @contextmanager
    def urgent(self) -> Iterator[None]:
        with self._changed:
            self._urgent += 1
            self._changed.wait_for(lambda: not self._busy)
            self._urgent -= 1
            self._busy = True
        yield from self._hold()

    @contextmanager
    def patient(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and not self._urgent)
            self._busy = True
        yield from self._hold()

    def _hold(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
