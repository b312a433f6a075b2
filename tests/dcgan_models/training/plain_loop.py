"""Training as a plain loop in float64, written from the authors' code for comparison with ours.

From Newmu/dcgan_code's train_cond_dcgan.py and lib/updates.py and from soumith's main.lua: means
and squares for batch norm, probabilities and logarithms for the losses, Adam by hand. It takes a
preset as a table of numbers and calls nothing of dcgan_models but the streams of random numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dcgan_models.presets import Layer, Preset
from dcgan_models.training import TrainConfig
from dcgan_models.training.streams import random_stream

Weights = list[Tensor]


class Losses(NamedTuple):
    """Of one minibatch, in nats; None for a network that did not learn from it."""

    d: float | None
    g: float | None


def plain_weights(tensors: Iterable[Tensor]) -> Weights:
    """Float64 copies that can be learned."""
    return [tensor.detach().double().clone().requires_grad_() for tensor in tensors]


def plain_norm(x: Tensor, eps: float) -> Tensor:
    axes = [0] if x.ndim == 2 else [0, 2, 3]
    mean = x.mean(axes, keepdim=True)
    return (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + eps).sqrt()


def with_label(x: Tensor, y: Tensor) -> Tensor:
    if x.ndim == 4:
        y = y[:, :, None, None] * torch.ones(len(x), y.shape[1], *x.shape[2:], dtype=x.dtype)
    return torch.cat([x, y], 1)


def plain_network(
    chosen: Preset, layers: Iterable[Layer], weights: Weights, x: Tensor, y: Tensor | None
) -> Tensor:
    """Apply a table to (n, ...); weights come in its order: weight, scale, shift of each row."""
    rest = iter(weights)
    for layer in layers:
        if layer.op == "dense":
            x = x.reshape(len(x), -1)
        elif x.ndim == 2:
            x = x[:, :, None, None]
        if y is not None:
            x = with_label(x, y)
        place = {"stride": layer.stride, "padding": layer.padding}
        if layer.op == "dense":
            x = x @ next(rest).T
        elif layer.op == "conv":
            x = F.conv2d(x, next(rest), **place)
        else:
            x = F.conv_transpose2d(x, next(rest), output_padding=layer.output_padding, **place)
        if layer.norm:
            x = plain_norm(x, chosen.norm_eps)
            if chosen.affine:
                plane = (-1, *[1] * (x.ndim - 2))
                x = x * next(rest).reshape(plane) + next(rest).reshape(plane)
        if layer.act == "lrelu":
            x = torch.where(x > 0, x, chosen.leak * x)
        elif layer.act != "linear":
            x = getattr(x, layer.act)()
        if layer.reshape:
            x = x.reshape(-1, *layer.reshape)
    assert next(rest, None) is None, "every weight has its row"
    return x


class PlainAdam:
    """lib/updates.py: l2 joins the gradient, the moments are corrected, eps is outside the root."""

    def __init__(self, weights: Weights, chosen: Preset) -> None:
        self.weights, self.preset, self.t = weights, chosen, 0
        self.m = [torch.zeros_like(w) for w in weights]
        self.v = [torch.zeros_like(w) for w in weights]

    def descend(self, loss: Tensor, rate: float) -> None:
        b1, b2 = self.preset.beta1, self.preset.beta2
        self.t += 1
        gradients = torch.autograd.grad(loss, self.weights)
        for w, g, m, v in zip(self.weights, gradients, self.m, self.v, strict=True):
            with torch.no_grad():
                g = g + self.preset.l2 * w  # noqa: PLW2901
                m.copy_(b1 * m + (1 - b1) * g)
                v.copy_(b2 * v + (1 - b2) * g * g)
                step = m / (1 - b1**self.t) / ((v / (1 - b2**self.t)).sqrt() + self.preset.adam_eps)
                w -= rate * step  # noqa: PLW2901


class PlainPair:
    """Both networks and their Adams, from given initial weights, which change in place."""

    def __init__(self, chosen: Preset, g: Weights, d: Weights) -> None:
        self.preset, self.g, self.d = chosen, g, d
        self.g_adam, self.d_adam = PlainAdam(g, chosen), PlainAdam(d, chosen)
        self.minibatches = 0

    def draw(self, z: Tensor, y: Tensor | None) -> Tensor:
        return plain_network(self.preset, self.preset.generator, self.g, z, y)

    def judge(self, x: Tensor, y: Tensor | None) -> Tensor:
        return plain_network(self.preset, self.preset.discriminator, self.d, x, y).sigmoid()

    def learn(self, x: Tensor, z: Tensor, labels: Tensor | None, rate: float) -> Losses:
        """One minibatch: x in G's scale, z, both float64; G first where they take turns."""
        y = None
        if self.preset.classes and labels is not None:
            y = torch.eye(self.preset.classes, dtype=torch.float64)[labels]
        both, turn = self.preset.schedule == "both", self.minibatches % 2
        self.minibatches += 1
        d_loss = g_loss = None
        if both or turn == 1:
            fake = self.draw(z, y).detach()
            loss = -self.judge(x, y).log().mean() - (1 - self.judge(fake, y)).log().mean()
            self.d_adam.descend(loss, rate)
            d_loss = loss.item()
        if both or turn == 0:
            loss = -self.judge(self.draw(z, y), y).log().mean()
            self.g_adam.descend(loss, rate)
            g_loss = loss.item()
        return Losses(d_loss, g_loss)


def plain_training(
    config: TrainConfig, pixels: Tensor, labels: Tensor, pair: PlainPair
) -> Iterator[Losses]:
    """Losses after each minibatch of a whole run; `pair` is as it is by then."""
    chosen, n_epochs = config.preset, 0
    latents = random_stream(config.seed, "latents")
    rate = first_rate = chosen.learning_rate
    for _ in range(chosen.epochs + chosen.decay_epochs):
        order = torch.randperm(
            len(pixels), generator=random_stream(config.seed, f"order/{n_epochs}")
        )
        whole = len(order) // chosen.batch * chosen.batch
        for rows in order[:whole].reshape(-1, chosen.batch):
            x = pixels[rows].double().permute(0, 3, 1, 2) / 255
            if chosen.generator[-1].act == "tanh":
                x = x * 2 - 1
            if chosen.z_distribution == "uniform":
                z = torch.rand(len(rows), chosen.z_dim, generator=latents).double() * 2 - 1
            else:
                z = torch.randn(len(rows), chosen.z_dim, generator=latents).double()
            yield pair.learn(x, z, labels[rows], rate)
        n_epochs += 1
        if n_epochs > chosen.epochs:
            rate -= first_rate / chosen.decay_epochs
