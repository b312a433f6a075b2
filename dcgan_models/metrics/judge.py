"""A network that says what is to be seen on a picture: trained where that is known.

Of drawn pictures every factor is known, so a small network can be taught to read them, and then
reads what a generator has drawn. Its judgement is a measurement with an error: `agree` says how
large it is on pictures that it never saw. It cannot say whether a picture is a picture: an
untrained generator's noise has factors, too, as far as it is concerned. So no share that it finds
stands without the distance of the same pictures from real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields, read_description
from dcgan_models.files import write_json
from dcgan_models.metrics.descent import Descent, descend
from dcgan_models.metrics.pictures import Pictures, blocks, check_pictures, take
from dcgan_models.pixels import Pixels
from dcgan_models.weights import in_bytes, read_weights, rounded, shapes_of, write_weights

# For each factor a value for each picture: bool (n,), float (n,) or, of boxes, float (n, 4).
Values = Mapping[str, npt.NDArray[Any]]

DESCRIPTION_FILE = "judge.json"
WEIGHTS_FILE = "weights.safetensors"
SIDES = (32, 64)
_CHANNELS, _KERNELS = (16, 32, 64, 96), (5, 3, 3, 3)
_HIDDEN = 96
_BLOCK = 256
# What training pictures go through half of the time: generated ones are softer, and noisier.
_BLURS, _NOISE, _CONTRAST = (2, 4), 12.0, 0.25


@dataclass(frozen=True)
class Factor:
    """Something that is to be seen on a picture.

    Attributes:
        name: Of the factor.
        kind: `flag` is there or not; `number` has a value; `box` has left, top, width and height in
            shares of the picture's side, and none where the flag `of` is not set.
        of: Of a box, the flag that it belongs to.
        middle, scale: Of a number, its mean and standard deviation in the training pictures.
    """

    name: str
    kind: Literal["flag", "number", "box"]
    of: str = ""
    middle: float = 0.0
    scale: float = 1.0

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for it."""
        return 4 if self.kind == "box" else 1


@dataclass(frozen=True)
class JudgeConfig(Descent):
    """How a judge is trained."""

    updates: int = 600
    batch: int = 64
    learning_rate: float = 2e-3
    seed: int = 0


class _Network(nn.Module):
    """Four stride-2 convolutions with batch norm, a hidden layer, and the factors' numbers."""

    def __init__(self, side: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for channels, kernel in zip(_CHANNELS, _KERNELS, strict=True):
            layers += [
                nn.Conv2d(inputs, channels, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.LeakyReLU(0.1),
            ]
            inputs = channels
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Linear(inputs * (side // 2 ** len(_CHANNELS)) ** 2, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, outputs)

    def forward(self, pixels: Tensor) -> Tensor:
        """Float (n, 3, side, side), 0 to 255, to (n, outputs)."""
        hidden = F.leaky_relu(self.dense(self.convolutions(pixels / 127.5 - 1).flatten(1)), 0.1)
        found: Tensor = self.output(hidden)
        return found


class Judge:
    """Reads factors off pictures.

    Attributes:
        factors: What it reads.
        side: Of the pictures, in pixels.
    """

    def __init__(self, factors: Sequence[Factor], side: int, network: nn.Module) -> None:
        self.factors, self.side = tuple(factors), side
        self.network = network.eval()

    @torch.inference_mode()
    def read(self, pictures: Pictures) -> dict[str, npt.NDArray[np.float32]]:
        """What is to be seen on pictures.

        Args:
            pictures: uint8 (n, side, side, 3).

        Returns:
            For each factor float32: of a flag (n,), the probability that it is set; of a number
            (n,); of a box (n, 4), whether its flag is set or not.

        Raises:
            UserError: Pictures of another size, or none.
        """
        check_pictures(pictures, "pictures for the judge")
        parts = []
        for block in blocks(pictures, _BLOCK):
            if block.shape[1:] != (self.side, self.side, 3):
                raise UserError(
                    f"judge: pictures are {block.shape[1:]}; it reads {(self.side, self.side, 3)}"
                )
            parts.append(self.network(_planes(block)))
        outputs = torch.cat(parts)
        found, first = {}, 0
        for factor in self.factors:
            own = outputs[:, first : first + factor.outputs]
            found[factor.name] = _value(factor, own).numpy()
            first += factor.outputs
        return found


def _planes(block: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(block)).permute(0, 3, 1, 2).float()


def _value(factor: Factor, output: Tensor) -> Tensor:
    match factor.kind:
        case "flag":
            return output[:, 0].sigmoid()
        case "number":
            return output[:, 0] * factor.scale + factor.middle
        case _:
            return output.sigmoid()


# --- Training -----------------------------------------------------------------------------------


def train_judge(
    pictures: Pictures,
    values: Values,
    config: JudgeConfig | None = None,
    *,
    on_update: Callable[[int, float], None] = lambda update, loss: None,
) -> Judge:
    """Teach a network to read the factors of pictures.

    Args:
        pictures: uint8 (n, side, side, 3), of a side in `SIDES`.
        values: For each factor its value on each picture: bool (n,), float (n,), or (n, 4) for the
            box of the flag whose name is its own without `_box`; NaN where there is none.
        config: `JudgeConfig()` by default.
        on_update: Told the number of each update and its loss.

    Raises:
        UserError: Values that do not fit the pictures, a factor that never varies, or a loss that
            is no longer finite.
    """
    config = config or JudgeConfig()
    check_pictures(pictures, "pictures to train a judge on", 2)
    side = take(pictures, np.arange(1)).shape[1]
    if side not in SIDES:
        raise UserError(f"judge: pictures are {side} wide; {' or '.join(map(str, SIDES))} allowed")
    factors = [_describe(name, value, len(pictures)) for name, value in values.items()]
    targets = torch.from_numpy(np.concatenate([_target(f, values[f.name]) for f in factors], 1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = _Network(side, targets.shape[1])

        def loss_of(rows: npt.NDArray[np.int64]) -> Tensor:
            rows = np.sort(rows)
            return _loss(factors, network(_worn(_planes(take(pictures, rows)))), targets[rows])

        descend(network, len(pictures), config, loss_of, on_update, "judge")
    return Judge(factors, side, rounded(network))  # as it will be read again


def _describe(name: str, value: npt.NDArray[Any], n: int) -> Factor:
    if len(value) != n:
        raise UserError(f"judge: {len(value)} values of {name} for {n} pictures")
    if value.ndim == 2:
        return Factor(name, "box", of=name.removesuffix("_box"))
    if value.min() == value.max():
        raise UserError(f"judge: {name} is {value[0]} on every picture; nothing can be learned")
    if value.dtype == np.bool_:
        return Factor(name, "flag")
    return Factor(name, "number", middle=float(value.mean()), scale=float(value.std()))


def _target(factor: Factor, value: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    flat = value.reshape(len(value), -1).astype(np.float32)
    scaled: npt.NDArray[np.float32] = (flat - np.float32(factor.middle)) / np.float32(factor.scale)
    return scaled


def _loss(factors: Sequence[Factor], outputs: Tensor, targets: Tensor) -> Tensor:
    """The sum over the factors; a box counts where there is one."""
    loss, first = outputs.new_zeros(()), 0
    for factor in factors:
        there = slice(first, first + factor.outputs)
        output, target = outputs[:, there], targets[:, there]
        first += factor.outputs
        if factor.kind == "flag":
            loss = loss + F.binary_cross_entropy_with_logits(output, target)
        elif factor.kind == "number":
            loss = loss + F.smooth_l1_loss(output, target)
        elif bool((shown := target[:, 0].isfinite()).any()):
            # In shares of the side, which are small beside the other terms.
            loss = loss + 20 * F.smooth_l1_loss(output[shown].sigmoid(), target[shown])
    return loss


def _worn(pixels: Tensor) -> Tensor:
    """Pictures of a minibatch, half of them blurred, noisy or of another contrast."""
    kind = int(torch.randint(6, ()))
    if kind < len(_BLURS):
        return blurred(pixels, _BLURS[kind])
    if kind == len(_BLURS):
        return pixels + _NOISE * torch.randn_like(pixels)
    factor = 1 + _CONTRAST * (2 * torch.rand(len(pixels), 1, 1, 1) - 1)
    return ((pixels - 127.5) * factor + 127.5) if kind == len(_BLURS) + 1 else pixels


def blurred(pixels: Tensor, times: int) -> Tensor:
    """Pictures (n, channels, side, side) as if they had been drawn so many times smaller."""
    small = F.avg_pool2d(pixels, times)
    return F.interpolate(small, scale_factor=times, mode="bilinear")


def softened(pictures: Pixels, times: int) -> Pixels:
    """Pictures uint8 (n, side, side, channels), `blurred`."""
    soft = blurred(_planes(pictures), times).round().clamp(0, 255).to(torch.uint8)
    found: Pixels = soft.permute(0, 2, 3, 1).numpy()
    return found


# --- How far it is right ------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """How a judge's reading of a factor agrees with the truth.

    Attributes:
        factor: Which.
        right, n: Of a flag, how many pictures are judged right; of the others n alone.
        error: Median: of a number, the absolute error; of a box, intersection over union.
    """

    factor: Factor
    right: int
    n: int
    error: float


def agree(judge: Judge, pictures: Pictures, values: Values) -> list[Agreement]:
    """Hold a judge to pictures whose factors are known, and which it was not trained on.

    Args:
        pictures, values: As for `train_judge`.
    """
    read = judge.read(pictures)
    found = []
    for factor in judge.factors:
        said, true = read[factor.name], values[factor.name]
        if factor.kind == "flag":
            right = int(((said > 0.5) == true).sum())
            found.append(Agreement(factor, right, len(true), math.nan))
        elif factor.kind == "number":
            found.append(Agreement(factor, 0, len(true), float(np.median(np.abs(said - true)))))
        else:
            there = np.isfinite(true[:, 0])
            overlaps = intersection_over_union(said[there], true[there])
            found.append(Agreement(factor, 0, int(there.sum()), float(np.median(overlaps))))
    return found


def intersection_over_union(
    first: npt.NDArray[np.floating[Any]], second: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    """Of boxes (n, 4) of left, top, width and height, pair by pair: (n,)."""
    one, other = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(one[:, :2], other[:, :2])
    high = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    union = one[:, 2:].prod(axis=1) + other[:, 2:].prod(axis=1) - common
    shares: npt.NDArray[np.float64] = common / np.maximum(union, 1e-12)
    return shares


# --- On disk ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Description:
    """`judge.json`."""

    format: int
    side: int
    factors: list[Factor]


def save_judge(judge: Judge, folder: Path) -> None:
    """Write `judge.json` and `weights.safetensors` into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.float() for name, tensor in judge.network.state_dict().items()}
    write_weights(folder / WEIGHTS_FILE, in_bytes(weights))
    factors = [asdict(factor) for factor in judge.factors]
    write_json(folder / DESCRIPTION_FILE, {"format": 1, "side": judge.side, "factors": factors})


def load_judge(folder: str | Path) -> Judge:
    """Read what `save_judge` wrote.

    Raises:
        UserError: A file is missing, cut short, or not of a judge.
    """
    path = Path(folder) / DESCRIPTION_FILE
    content = read_description(path, "judge")
    check_fields(_Description, content, str(path))
    for one in content["factors"]:
        check_fields(Factor, one, str(path))
    factors = [Factor(**one) for one in content["factors"]]
    if content["side"] not in SIDES or not 1 <= len(factors) <= 100:
        raise UserError(f"{path}: not the description of a judge")
    outputs = sum(factor.outputs for factor in factors)
    shapes = shapes_of(lambda: _Network(content["side"], outputs))
    weights = read_weights(path.parent / WEIGHTS_FILE, shapes, "a judge")
    network = _Network(content["side"], outputs)
    network.load_state_dict(weights)
    return Judge(factors, content["side"], network)
