"""D on real and drawn pictures in one pass, batch norm of each half by itself, against two passes.

    python -m benchmarks.one_pass --runs 5

Batch norm must not mix the statistics of real and drawn pictures. Training sends them through D
apart; one minibatch of both, whose halves are normalised apart, has the same gradients and fewer,
larger products. Figures are processor time with one thread, a pair of updates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from benchmarks.harness import options, ratios, report
from dcgan_models.networks import (
    BatchNorm,
    Discriminator,
    Generator,
    draw_latents,
    from_pixels,
    initialise,
)
from dcgan_models.presets import Preset, preset
from dcgan_models.training.updates import Updates

# As the sample profile trains them.
_SIZES = {"mnist28": (0.375, 32), "lsun64": (0.25, 32)}


class OnePass(Updates):
    """Updates whose D sees real and drawn pictures in one pass."""

    def _discriminator_loss(self, images: Tensor, drawn: Tensor, labels: Tensor | None) -> Tensor:
        both = torch.cat([images, drawn.to(images.dtype)])
        named = None if labels is None else torch.cat([labels, labels])
        with _by_halves(self.discriminator), self._autocast():
            real, fake = self.discriminator(both, named).float().chunk(2)
        return F.softplus(-real).mean() + F.softplus(fake).mean()


@contextmanager
def _by_halves(discriminator: Discriminator) -> Iterator[None]:
    """A block in which batch norm takes the two halves of what it is given apart."""
    norms = [norm for _, norm in discriminator.norms()]
    for norm in norms:
        norm.forward = _halved(norm)  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _halved(norm: BatchNorm) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat([BatchNorm.forward(norm, half) for half in x.chunk(2)])


def main() -> None:
    """Measure and report."""
    parser = options(str(__doc__).splitlines()[0], runs=5)
    parser.add_argument("--presets", nargs="+", default=list(_SIZES), choices=_SIZES)
    parser.add_argument("--steps", type=int, default=5, help="pairs of updates a run")
    a = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, list[float]] = {}
    setting = {}
    for name in a.presets:
        width, batch = _SIZES[name]
        chosen = preset(name).with_overrides(width=width, batch=batch)
        for kind, precision in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            two, one = (_Trial(cls, chosen, precision) for cls in (Updates, OnePass))
            times = [(two.seconds(a.steps), one.seconds(a.steps)) for _ in range(a.runs + 1)][1:]
            apart, together = ([pair[n] for pair in times] for n in (0, 1))
            what = f"{name} {kind}"
            figures[f"{what}: two passes, ms"] = [1e3 * s for s in apart]
            figures[f"{what}: one pass, ms"] = [1e3 * s for s in together]
            figures[f"{what}: one pass, times the rate"] = ratios(apart, together)
            setting[f"{what}: weights of D apart"] = f"{_apart(two, one):.1e}"
    report(setting, figures, a.json)


class _Trial:
    """One pair of networks and the minibatch that it learns from."""

    def __init__(self, kind: type[Updates], chosen: Preset, precision: torch.dtype) -> None:
        rng = torch.Generator().manual_seed(0)
        networks = Generator(chosen), Discriminator(chosen)
        for network in networks:
            initialise(network, rng)
        self.updates = kind(*networks, precision=precision)
        size = (chosen.batch, *chosen.image[1:], chosen.image[0])
        pixels = torch.randint(256, size, generator=rng, dtype=torch.uint8)
        self._images = from_pixels(pixels, chosen)
        self._z = draw_latents(chosen, chosen.batch, rng)
        classes = chosen.classes
        self._labels = torch.arange(chosen.batch) % classes if classes else None

    def seconds(self, steps: int) -> float:
        """Processor time of a pair of updates, the mean of some."""
        began = time.process_time()
        for _ in range(steps):
            self.updates.update_discriminator(self._images, self._z, self._labels)
            self.updates.update_generator(self._z, self._labels)
        return (time.process_time() - began) / steps


def _apart(two: _Trial, one: _Trial) -> float:
    """The largest difference of a weight of D after all steps."""
    pairs = zip(
        two.updates.discriminator.parameters(), one.updates.discriminator.parameters(), strict=True
    )
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


if __name__ == "__main__":
    main()
