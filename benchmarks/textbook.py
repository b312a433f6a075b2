"""The training step that most PyTorch code takes, written for comparison.

D on real pictures, backward; D on drawn ones, backward; G through D, backward; float32, eager,
NCHW, D not frozen while G learns, two Adams, five `.item()` a step. With its own loading it reads
a picture at a time through a DataLoader with two workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dcgan_models.data import PixelStore
from dcgan_models.presets import Layer, Preset


class Reshape(nn.Module):
    """Vectors to maps."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) to (n, *shape)."""
        return x.reshape(len(x), *self.shape)


def textbook_network(layers: tuple[Layer, ...], inputs: tuple[int, ...]) -> nn.Sequential:
    """The same layers from torch's own modules."""
    modules: list[nn.Module] = []
    channels, flat = inputs[0], len(inputs) == 1
    for layer in layers:
        place = (layer.kernel, layer.stride, layer.padding)
        match layer.op:
            case "dense":
                modules += [nn.Flatten(), nn.LazyLinear(layer.out, bias=False)]
                flat = True
            case "conv":
                modules.append(nn.Conv2d(channels, layer.out, *place, bias=False))
            case "deconv":
                if flat:
                    modules.append(Reshape((channels, 1, 1)))
                enlarged = (*place, layer.output_padding)
                modules.append(nn.ConvTranspose2d(channels, layer.out, *enlarged, bias=False))
                flat = False
        channels = layer.out
        if layer.norm:
            modules.append(nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels))
        match layer.act:
            case "relu":
                modules.append(nn.ReLU(True))
            case "lrelu":
                modules.append(nn.LeakyReLU(0.2, True))
            case "tanh":
                modules.append(nn.Tanh())
        if layer.reshape is not None:
            modules.append(Reshape(layer.reshape))
            channels, flat = layer.reshape[0], False
    return nn.Sequential(*modules)


def textbook_step(
    chosen: Preset, device: torch.device, minibatches: Iterator[Tensor]
) -> Callable[[], None]:
    """The usual three-backward step, of which each call takes one."""
    g = textbook_network(chosen.generator, (chosen.z_dim,)).to(device)
    d = nn.Sequential(
        textbook_network(chosen.discriminator, chosen.image), nn.Flatten(), nn.Sigmoid()
    ).to(device)
    d(g(torch.randn(2, chosen.z_dim, device=device)))  # gives the lazy layers their sizes
    betas = (chosen.beta1, chosen.beta2)
    g_adam, d_adam = (
        torch.optim.Adam(network.parameters(), lr=chosen.learning_rate, betas=betas)
        for network in (g, d)
    )
    criterion = nn.BCELoss()

    def step() -> None:
        d.zero_grad()
        real = next(minibatches).to(device)
        label = torch.full((len(real),), 1.0, device=device)
        output = d(real).view(-1)
        d_real = criterion(output, label)
        d_real.backward()
        d_x = output.mean().item()
        fake = g(torch.randn(len(real), chosen.z_dim, device=device))
        label.fill_(0.0)
        output = d(fake.detach()).view(-1)
        d_fake = criterion(output, label)
        d_fake.backward()
        d_g_z1 = output.mean().item()
        d_adam.step()
        g.zero_grad()
        label.fill_(1.0)
        output = d(fake).view(-1)
        g_loss = criterion(output, label)
        g_loss.backward()
        d_g_z2 = output.mean().item()
        g_adam.step()
        _ = ((d_real + d_fake).item(), g_loss.item(), d_x, d_g_z1, d_g_z2)  # printed, usually

    return step


class TextbookPictures(Dataset[Tensor]):
    """A picture at a time, scaled as `transforms.ToTensor` and `Normalize` do."""

    def __init__(self, store: PixelStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int) -> Tensor:
        picture = torch.from_numpy(self.store.gather([index])[0]).permute(2, 0, 1)
        return picture.contiguous().float().div(255).sub(0.5).div(0.5)


def textbook_minibatches(store: PixelStore, batch: int, device: torch.device) -> Iterator[Tensor]:
    """A DataLoader with two workers, epoch after epoch."""
    pin = device.type == "cuda"
    loader = DataLoader(
        TextbookPictures(store), batch, shuffle=True, num_workers=2, drop_last=True, pin_memory=pin
    )
    while True:
        yield from loader


def resident_minibatches(images: Tensor, batch: int) -> Iterator[Tensor]:
    """Pictures that lie on the device already, shuffled, epoch after epoch."""
    while True:
        rows = torch.randperm(len(images), device=images.device)
        yield from (images[part] for part in torch.split(rows, batch)[: len(images) // batch])
