"""One update of the generator or the discriminator: losses, gradients, Adam (sections 3 and 4).

Nothing here waits for the device. An update whose loss or gradient is not finite is skipped on
the device, and so is every one after it; `Updates.culprit` says later what was wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dcgan_models.networks import Discriminator, Generator, Network
from dcgan_models.presets import Preset
from dcgan_models.training.averaging import RunningAverage
from dcgan_models.training.team import Team


class Updates:
    """G and D with their losses and their Adams: one call is one update of either or both.

    Attributes:
        loss_sums: (2,) sums of D's and G's losses since `restart_sums`.
        counts: How many updates of D and of G went into the sums.
        average: Of G's weights, where the preset asks for it.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        *,
        precision: torch.dtype = torch.float32,
        compiled: str | None = None,
        team: Team | None = None,
    ) -> None:
        """Bind networks that lie on their device already.

        Args:
            precision: bfloat16 runs convolutions and products in it; weights, batch norm's
                statistics and losses stay as they are.
            compiled: Mode of `torch.compile`; None runs eagerly.
            team: The processes to average gradients with.
        """
        self.generator, self.discriminator = generator, discriminator
        self.device = next(generator.parameters()).device
        self.precision, self.team = precision, team or Team()
        # The layout in which convolutions are fastest; shapes stay as they are.
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)
        self.g_adam, self.d_adam = adam(generator), adam(discriminator)
        self.average = RunningAverage(generator) if generator.preset.averaged else None
        # Compiled with their gradients; averaging, guards and Adam stay outside. What an earlier
        # training of this process compiled counts against the number that torch compiles.
        self._compiled = compiled is not None
        if self._compiled:
            torch.compiler.reset()
        self._draw, self._judge_both, self._judge_drawn = (
            _compile(function, compiled)
            for function in (self._generate, self._discriminator_loss, self._generator_loss)
        )
        self._guards = {
            network: _Guard(network, self.device) for network in (generator, discriminator)
        }
        # One flag for both: when one network stops learning, the other must not go on alone.
        self._broken = torch.zeros((), device=self.device)
        for optimiser in (self.g_adam, self.d_adam):
            optimiser.grad_scale, optimiser.found_inf = None, self._broken  # type: ignore[attr-defined]
        self.restart_sums()

    def restart_sums(self) -> None:
        """Begin new sums of the losses."""
        self.loss_sums = torch.zeros(2, device=self.device, dtype=torch.float64)
        self.counts = [0, 0]

    # Args of all three: images (b, c, h, w) in G's scale, z (b, z_dim), labels (b,) or None.

    def update_discriminator(self, images: Tensor, z: Tensor, labels: Tensor | None) -> None:
        """One step of D on real pictures and as many drawn ones."""
        self._begin()
        with torch.no_grad():
            drawn = self._draw(z, labels)
        self._learn_discriminator(images, drawn, labels)

    def update_generator(self, z: Tensor, labels: Tensor | None) -> None:
        """One step of G against D as it is."""
        self._begin()
        self._learn_generator(self._draw(z, labels), labels)

    def update_both(self, images: Tensor, z: Tensor, labels: Tensor | None) -> None:
        """A step of D, then one of G on the same drawn pictures, judged by the new D."""
        self._begin()
        drawn = self._draw(z, labels)
        self._learn_discriminator(images, drawn.detach(), labels)
        self._learn_generator(drawn, labels)

    def _begin(self) -> None:
        # Recorded graphs write their results where they wrote the last ones. Said here, what an
        # update has drawn lives to its end; not said, the next of its graphs would overwrite it.
        if self._compiled:  # else this would import torch's compiler, for seconds
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]

    def _learn_discriminator(self, images: Tensor, drawn: Tensor, labels: Tensor | None) -> None:
        loss = self._judge_both(images, drawn, labels)
        self._descend(self.discriminator, self.d_adam, loss)

    def _learn_generator(self, drawn: Tensor, labels: Tensor | None) -> None:
        # D is passed through, not learned: its weight gradients would be thrown away.
        self.discriminator.requires_grad_(False)
        loss = self._judge_drawn(drawn, labels)
        self._descend(self.generator, self.g_adam, loss)
        self.discriminator.requires_grad_(True)
        if self.average is not None:
            self.average.follow(self.generator)

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        with self._autocast():
            drawn: Tensor = self.generator(z, labels)
        return drawn

    def _discriminator_loss(self, images: Tensor, drawn: Tensor, labels: Tensor | None) -> Tensor:
        # Two passes: batch norm must not mix the statistics of real and generated pictures.
        with self._autocast():
            real, fake = self.discriminator(images, labels), self.discriminator(drawn, labels)
        # -log sigmoid(x) is softplus(-x); on logits it cannot saturate.
        return F.softplus(-_full(real)).mean() + F.softplus(_full(fake)).mean()

    def _generator_loss(self, drawn: Tensor, labels: Tensor | None) -> Tensor:
        with self._autocast():
            fake = self.discriminator(drawn, labels)
        return F.softplus(-_full(fake)).mean()

    def _descend(
        self, network: Generator | Discriminator, optimiser: torch.optim.Adam, loss: Tensor
    ) -> None:
        # Every process goes down the same mean gradient, so all keep the same weights.
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        loss = loss.detach()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        self.team.average([loss, *gradients])
        self._guards[network].check(loss, gradients, self._broken)
        optimiser.step()  # does nothing where `_broken` is 1
        # Sums stay on the device: reading a loss here would stop it at every step.
        which = int(network is self.generator)
        self.loss_sums[which] += loss
        self.counts[which] += 1

    def _autocast(self) -> torch.autocast:
        enabled = self.precision is torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    # Between steps: these wait for the device.

    def mean_losses(self) -> tuple[float | None, float | None]:
        """D's and G's mean losses since `restart_sums`, in nats; None without an update."""
        sums = self.loss_sums.tolist()
        d_loss, g_loss = (s / n if n else None for s, n in zip(sums, self.counts, strict=True))
        return d_loss, g_loss

    def culprit(self) -> str | None:
        """What was not finite first: a loss, a gradient or a weight; None while all is well."""
        if bool(self._broken):
            for network, guard in self._guards.items():
                name = guard.culprit()
                if name is not None:
                    return f"{network.role}: {name}"
        for network in self._guards:
            names, weights = zip(*network.named_parameters(), strict=True)
            # The largest magnitude of each, NaN where there is one; all are waited for once.
            largest = torch.stack(torch._foreach_norm(weights, math.inf)).tolist()
            for name, value in zip(names, largest, strict=True):
                if not math.isfinite(value):
                    return f"{network.role}: weight {name}"
        return None


class _Guard:
    """Watches one network's gradients without looking at them from the host."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.names = ["the loss", *(f"gradient of {n}" for n, _ in network.named_parameters())]
        self.norms = torch.zeros(len(self.names), device=device)

    def check(self, loss: Tensor, gradients: list[Tensor], broken: Tensor) -> None:
        """Set `broken` to 1, for good, when the loss or a gradient is not finite."""
        # The norm of a gradient overflows where Adam's average of its squares would.
        norms = torch.stack([loss, *torch._foreach_norm(gradients)]).float()
        self.norms = torch.where(broken > 0, self.norms, norms)
        torch.maximum(broken, (~norms.isfinite()).any().float(), out=broken)

    def culprit(self) -> str | None:
        """The first that was not finite when the flag went up."""
        for name, norm in zip(self.names, self.norms.tolist(), strict=True):
            if not math.isfinite(norm):
                return name
        return None


def adam(network: Network) -> torch.optim.Adam:
    """Adam as section 4 sets it, with the l2 coupled: added to the gradient, moments and all."""
    preset: Preset = network.preset
    return torch.optim.Adam(
        network.parameters(),
        lr=preset.learning_rate,
        betas=(preset.beta1, preset.beta2),
        eps=preset.adam_eps,
        weight_decay=preset.l2,
        fused=True,
    )


def _full(logits: Tensor) -> Tensor:
    """Logits in float32 at least: losses are never computed in bfloat16."""
    return logits.float() if logits.dtype is torch.bfloat16 else logits


def _compile(function: Callable[..., Tensor], mode: str | None) -> Callable[..., Tensor]:
    return function if mode is None else torch.compile(function, mode=mode, dynamic=False)
