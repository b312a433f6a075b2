"""What the annotation page asks the generator to draw: samples, arithmetic, walks, the turn vector.

The latents follow section 6.3 and Figures 7 and 8: a concept is the mean of its exemplars' z; an
expression adds and subtracts concepts; around its result stand eight neighbours, uniform noise of
0.25 added; the turn vector goes from the mean of one concept to the mean of another.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models import load_generator
from dcgan_models.errors import UserError

Pixels = npt.NDArray[np.uint8]
Latents = npt.NDArray[np.float32]
Picks = Callable[[str], Sequence[int]]

NEIGHBOUR_NOISE = 0.25
WALK_STEPS = 9
TURN_STEPS = 11
# Noise drawn anew for every pick would move all neighbours; a pick should move what it moves.
_NOISE_SEED = 0
# A pick waits for at most so many samples of a page that is being drawn.
_SAMPLES_AT_ONCE = 8
_TERM = re.compile(r"\s*([+-])?\s*([A-Za-z][A-Za-z0-9_]*)\s*")


def read_expression(text: str) -> list[tuple[int, str]]:
    """Read `a - b + c` as signs and names; raise `UserError` that shows what is wrong."""
    terms: list[tuple[int, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or (terms and term[1] is None):
            raise UserError(
                f"expression {text!r:.80}: {text[at:].strip()!r:.40} is not understood; "
                "concepts joined by + and - are allowed"
            )
        terms.append((-1 if term[1] == "-" else 1, term[2]))
        at = term.end()
    if not terms:
        raise UserError("expression: empty; name concepts joined by + and -")
    return terms


def neighbours(z: Latents) -> Latents:
    """Nine latents, the middle one `z` itself, the others with uniform noise added (Figure 7)."""
    rng = np.random.default_rng(_NOISE_SEED)
    noise = rng.uniform(-NEIGHBOUR_NOISE, NEIGHBOUR_NOISE, (9, len(z)))
    noise[4] = 0
    return (z + noise).astype(np.float32)


def line(start: Latents, end: Latents, steps: int) -> Latents:
    """Latents at even steps from `start` to `end`, both included."""
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - t) * start + t * end


class Drawing:
    """A published generator and its fixed samples.

    Every answer is uint8 (n, height, width, channels). A conditional generator draws a mixture
    as the label of the first sample in it. Safe to call from several threads.
    """

    def __init__(self, folder: Path) -> None:
        """Open the generator in `folder`; raise `UserError` where it cannot draw."""
        self._generator = load_generator(folder)
        if self._generator.fixed_z is None:
            raise UserError(f"{folder}: no fixed_z.npy, so there are no samples to pick from")
        self._z: Latents = self._generator.fixed_z.numpy()
        self._turns = _Turns()
        # Opens what torch opens once, and refuses a generator without statistics.
        self.channels, self.height, self.width = self._generator.preset.image
        self._draw(self._z[:1], 0)

    def __len__(self) -> int:
        """How many fixed samples there are."""
        return len(self._z)

    def samples(self, first: int, last: int) -> Pixels:
        """The fixed samples from `first` to before `last`, giving way to whatever else is asked."""
        parts = []
        for start in range(first, last, _SAMPLES_AT_ONCE):
            rows = slice(start, min(start + _SAMPLES_AT_ONCE, last))
            labels = self._generator.fixed_labels
            with self._turns.patient():
                parts.append(
                    self._generator.draw(
                        torch.from_numpy(self._z[rows]), None if labels is None else labels[rows]
                    )
                )
        return np.concatenate(parts)

    def mean(self, ids: Sequence[int]) -> Pixels:
        """One picture: of the mean z of some samples."""
        return self._now(self._mean(ids)[None], ids[0])

    def arithmetic(self, expression: str, picks: Picks) -> Pixels:
        """Nine pictures of an expression over concepts, its result in the middle (Figure 7)."""
        terms = [(sign, picks(name)) for sign, name in read_expression(expression)]
        total = sum((sign * self._mean(ids) for sign, ids in terms), np.zeros_like(self._z[0]))
        return self._now(neighbours(total), terms[0][1][0])

    def walk(self, start: int, end: int) -> Pixels:
        """Nine pictures from one sample to another."""
        return self._now(line(self._z[start], self._z[end], WALK_STEPS), start)

    def turn(self, left: Sequence[int], right: Sequence[int], sample: int) -> Pixels:
        """Eleven pictures along the turn vector, the sample itself in the middle (Figure 8)."""
        vector = self._mean(right) - self._mean(left)
        z = self._z[sample]
        return self._now(line(z - vector, z + vector, TURN_STEPS), sample)

    def _mean(self, ids: Sequence[int]) -> Latents:
        mean: Latents = self._z[list(ids)].mean(0)
        return mean

    def _now(self, z: Latents, like: int) -> Pixels:
        with self._turns.urgent():
            return self._draw(z, like)

    def _draw(self, z: Latents, like: int) -> Pixels:
        """Pictures of `z`, labelled as sample `like` where there are labels."""
        fixed = self._generator.fixed_labels
        labels: Tensor | None = None if fixed is None else fixed[like].expand(len(z))
        return self._generator.draw(torch.from_numpy(z), labels)


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
