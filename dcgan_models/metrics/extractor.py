"""Feature spaces of our own, in which a group's generators are compared.

ImageNet's networks may not be at hand and may not fit a group's pictures. An extractor is trained
once on the group and kept, so that candidate and champion are seen with the same eyes. Values of
two extractors are not comparable: each has a fingerprint, and every number carries it.

* `autoencoder`: the units of the deduplication's denoising autoencoder before their ReLU, which
  would leave half of what they say. They forget a picture's mean colour and contrast, which a bad
  generator may get wrong: these are appended. No labels: they may be what is scarce.
* `random`: a small convolutional network, untrained: the control. What it sees as well needs no
  training.

Pictures of any size are brought to 32x32 by averaging areas; grey ones get three equal channels.
No layer looks at other pictures than its own.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.dedup.autoencoder import (
    SIDE,
    Autoencoder,
    AutoencoderConfig,
    load_autoencoder,
    save_autoencoder,
    train_autoencoder,
)
from dcgan_models.errors import UserError
from dcgan_models.fields import read_description
from dcgan_models.files import write_json
from dcgan_models.metrics.pictures import Pictures, blocks, check_pictures, take
from dcgan_models.metrics.rows import Features
from dcgan_models.pixels import Pixels
from dcgan_models.weights import rounded

Kind = Literal["autoencoder", "random"]

RESIZER = f"area {SIDE}"
DESCRIPTION_FILE = "extractor.json"
WEIGHTS_FILE = "weights.safetensors"

_BLOCK = 512
# The convolutional network: channels of each stride-2 convolution, and features.
_CHANNELS = (32, 64, 128)
_FEATURES = 128


class Extractor:
    """What turns pictures into features: resizing, blocks, a network, a fingerprint.

    Attributes:
        kind: How it came about.
        resizer: How pictures come to its size.
        module: The network, from uint8 (n, 32, 32, 3).
    """

    resizer: str = RESIZER

    def __init__(self, kind: Kind, module: nn.Module) -> None:
        self.kind, self.module = kind, module

    @property
    def fingerprint(self) -> str:
        """12 hex digits over the kind, the resizer and every weight."""
        digest = hashlib.sha256(json.dumps([self.kind, self.resizer]).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    @property
    def name(self) -> str:
        """Kind and fingerprint, as tables print them."""
        return f"{self.kind} {self.fingerprint}"

    @torch.inference_mode()
    def features(self, pictures: Pictures) -> Features:
        """Features of pictures, a block at a time.

        Args:
            pictures: uint8 (n, height, width, 1 or 3).

        Returns:
            float32 (n, d).

        Raises:
            UserError: Not such pictures, or none.
        """
        check_pictures(pictures, "pictures for the extractor")
        parts = [self._features(resize(block)).numpy() for block in blocks(pictures, _BLOCK)]
        return np.concatenate(parts)

    def _features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.module(pixels)
        return features


class AutoencoderExtractor(Extractor):
    """The autoencoder's units before their ReLU, and what they forget: float32 (n, code + 6).

    Attributes:
        scale: What colour and contrast are multiplied by, so that over the training pictures they
            vary as much as a unit of the code does.
    """

    def __init__(self, model: Autoencoder, scale: float) -> None:
        super().__init__("autoencoder", model)
        self.scale = scale

    @property
    def fingerprint(self) -> str:
        """12 hex digits over the weights and the scale."""
        return hashlib.sha256(f"{super().fingerprint} {self.scale!r}".encode()).hexdigest()[:12]

    def _features(self, pixels: Tensor) -> Tensor:
        return torch.cat([_units(self.module, pixels), colours(pixels) * self.scale], dim=1)


def _units(model: nn.Module, pixels: Tensor) -> Tensor:
    """Units of the code before their ReLU, float32 (n, code)."""
    assert isinstance(model, Autoencoder)  # noqa: S101  (narrows the type)
    units: Tensor = model.encoder(model.normalise(pixels))
    return units


class SmallNetwork(nn.Module):
    """The control: three stride-2 convolutions and a dense layer of 128 units."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels in _CHANNELS:
            layers += [nn.Conv2d(inputs, channels, 5, stride=2, padding=2), nn.LeakyReLU(0.2)]
            inputs = channels
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(inputs * (SIDE // 2 ** len(_CHANNELS)) ** 2, _FEATURES)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (n, 32, 32, 3) to float32 (n, 128)."""
        x = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return F.leaky_relu(self.dense(self.convolutions(x).flatten(1)), 0.2)


def resize(pixels: Pixels) -> Tensor:
    """Pictures of any size to uint8 (n, 32, 32, 3), each pixel the mean of its area.

    Raises:
        UserError: Neither one channel nor three.
    """
    channels = pixels.shape[3]
    if channels not in (1, 3):
        raise UserError(f"extractor: pictures have {channels} channels; 1 or 3 are needed")
    x = torch.tensor(pixels)
    if x.shape[1:3] != (SIDE, SIDE):
        x = _areas(x).round().to(torch.uint8)
    return x.expand(-1, -1, -1, 3).contiguous()


def _areas(x: Tensor) -> Tensor:
    """Means of areas: (n, height, width, channels) to float32 (n, 32, 32, channels)."""
    halvings = max(0, (x.shape[1] // SIDE).bit_length() - 1)
    if tuple(x.shape[1:3]) != (SIDE << halvings, SIDE << halvings):
        return F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2).float(), SIDE).permute(0, 2, 3, 1)
    # The same numbers, for sums of bytes and quarters are exact, in a fifth of the time.
    means = x.float()
    for _ in range(halvings):
        means = means[:, ::2] + means[:, 1::2]
        means = (means[:, :, ::2] + means[:, :, 1::2]).div_(4)
    return means


def colours(pixels: Tensor) -> Tensor:
    """Mean and standard deviation of each channel, in [0, 1]: float32 (n, 6)."""
    flat = pixels.float().flatten(1, 2) / 255
    std, mean = torch.std_mean(flat, dim=1, correction=0)
    return torch.cat([mean, std], dim=1)


# --- Training -----------------------------------------------------------------------------------


class _Resized:
    """Pictures at 32x32, for the autoencoder's training."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def gather(self, rows: npt.ArrayLike) -> Pixels:
        return np.asarray(resize(take(self._pictures, np.asarray(rows))).numpy())


def train_autoencoder_extractor(
    pictures: Pictures, config: AutoencoderConfig | None = None
) -> AutoencoderExtractor:
    """Train the autoencoder on a group's training pictures.

    Raises:
        UserError: As `train_autoencoder`, or the pictures all look alike to it.
    """
    check_pictures(pictures, "pictures to train an extractor on", 2)
    source = _Resized(pictures)
    model = train_autoencoder(source, config)
    some = np.linspace(0, len(source) - 1, min(len(source), 2048)).astype(np.int64)
    sample = torch.from_numpy(source.gather(some))
    with torch.inference_mode():
        varies = float(_units(model, sample).std(dim=0).square().mean().sqrt())
        seen = float(colours(sample).std(dim=0).square().mean().sqrt())
    if not varies > 0 or not seen > 0:
        raise UserError(
            "extractor: the training pictures all look alike to the autoencoder; pictures that "
            "differ are needed"
        )
    return AutoencoderExtractor(model, varies / seen)


def random_extractor(seed: int = 0) -> Extractor:
    """The last layer of the untrained network, float32 (n, 128): the control."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Extractor("random", SmallNetwork().eval())


# --- On disk --------------------------------------------------------------------------------


def save_extractor(extractor: AutoencoderExtractor, folder: Path, **facts: Any) -> None:
    """Write `extractor.json` and `weights.safetensors` into a folder.

    Args:
        extractor: Trained.
        folder: Made if it is not there.
        facts: Of its training; kept in the JSON file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = extractor.module
    assert isinstance(model, Autoencoder)  # noqa: S101  (narrows the type)
    save_autoencoder(rounded(model), folder / WEIGHTS_FILE)  # and its fingerprint is of these
    content: dict[str, Any] = {
        "format": 1,
        "kind": extractor.kind,
        "resizer": extractor.resizer,
        "fingerprint": extractor.fingerprint,
        "facts": facts,
        "scale": extractor.scale,
        "config": asdict(model.config),
    }
    write_json(folder / DESCRIPTION_FILE, content)


def load_extractor(folder: str | Path) -> AutoencoderExtractor:
    """Read what `save_extractor` wrote.

    Raises:
        UserError: A file is missing, cut short, or not of this extractor.
    """
    folder = Path(folder)
    content = _describe(folder / DESCRIPTION_FILE)
    model = load_autoencoder(folder / WEIGHTS_FILE)
    extractor = AutoencoderExtractor(model, content["scale"])
    if extractor.fingerprint != content["fingerprint"]:
        raise UserError(
            f"{folder}: the weights have fingerprint {extractor.fingerprint} and "
            f"{DESCRIPTION_FILE} says {content['fingerprint']:.40}: they do not belong together"
        )
    return extractor


def _describe(path: Path) -> dict[str, Any]:
    content = read_description(path, "extractor")
    match content:
        case {"kind": "autoencoder", "scale": float() as scale, "fingerprint": str()}:
            if 0 < scale < math.inf:
                return dict(content)
    raise UserError(f"{path}: not the description of an extractor")
