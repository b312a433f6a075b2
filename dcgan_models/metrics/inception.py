"""True FID, KID and Inception Score, computed by torch-fidelity with the user's Inception file.

Inception's weights are not ours to hand out and are never downloaded here: the user names the
file `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity's releases. The numbers are
those of `fidelity --isc --fid --kid --input1 FAKE --input2 REAL`: the same code does
all of the work.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dcgan_models.errors import UserError
from dcgan_models.extras import from_extra
from dcgan_models.files import sha256_file
from dcgan_models.metrics.pictures import Pictures, check_pictures, take
from dcgan_models.metrics.rows import Score

WEIGHTS_NAME = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_SEED = 2020  # torch-fidelity's default


@dataclass(frozen=True)
class InceptionScores:
    """What torch-fidelity found.

    Attributes:
        fid: Fréchet Inception distance.
        kid, kid_std: Kernel Inception distance, mean and standard deviation over subsets.
        isc, isc_std: Inception Score, mean and standard deviation over ten splits.
    """

    fid: float
    kid: float
    kid_std: float
    isc: float
    isc_std: float


def check_inception_file(path: Path, sha256: str = WEIGHTS_SHA256) -> str:
    """Hash an Inception file, and refuse another than is asked for: its SHA-256.

    Raises:
        UserError: There is no such file, or it is another one.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; the Inception weights {WEIGHTS_NAME} are needed")
    found = sha256_file(path)
    if found != sha256:
        raise UserError(
            f"{path}: its SHA-256 starts with {found[:8]} and that of {WEIGHTS_NAME} with "
            f"{sha256[:8]}; it is another file, or not whole"
        )
    return found


def inception_scores(
    real: Pictures,
    fake: Pictures,
    weights: Path,
    *,
    kid_size: int = 1000,
    seed: int = _SEED,
    device: str = "cpu",
    sha256: str = WEIGHTS_SHA256,
) -> InceptionScores:
    """Compute FID, KID and Inception Score.

    Args:
        real, fake: uint8 (n, height, width, 3 or 1); grey ones are given three equal channels.
            Published values take 10,000 or more of each.
        weights: The Inception file.
        kid_size: Pictures of a KID subset.
        seed: Of the subsets and of the order of the pictures for the Inception Score.
        device: `cpu` or `cuda`.
        sha256: Of the file; another one than torch-fidelity's makes other numbers.

    Raises:
        UserError: torch-fidelity is not installed, the file is missing or another one, or the
            pictures are too few or have two channels.
    """
    fidelity = from_extra("torch_fidelity", "true FID", "fidelity")
    check_inception_file(weights, sha256)
    with _own_copy(weights) as copy:
        found: dict[str, Any] = fidelity.calculate_metrics(
            input1=_Rgb(fake, "generated pictures", kid_size),
            input2=_Rgb(real, "real pictures", kid_size),
            cuda=device != "cpu",
            isc=True,
            fid=True,
            kid=True,
            kid_subset_size=kid_size,
            feature_extractor_weights_path=str(copy),
            rng_seed=seed,
            cache=False,
            verbose=False,
        )
    return InceptionScores(
        fid=found["frechet_inception_distance"],
        kid=found["kernel_inception_distance_mean"],
        kid_std=found["kernel_inception_distance_std"],
        isc=found["inception_score_mean"],
        isc_std=found["inception_score_std"],
    )


def inception_rows(
    real: Pictures, fake: Pictures, weights: Path, *, split: str, kid_size: int, device: str
) -> list[Score]:
    """`inception_scores` as rows, the intervals being what torch-fidelity gives.

    Raises:
        UserError: As `inception_scores`.
    """
    # All three of one pass through the network, and what they have in common.
    found = inception_scores(real, fake, weights, kid_size=kid_size, seed=_SEED, device=device)
    common: dict[str, Any] = {
        "n_real": len(real),
        "n_fake": len(fake),
        "split": split,
        "resizer": "torch-fidelity 299",
        "extractor": f"inception {WEIGHTS_SHA256[:8]}",
        "seed": _SEED,
    }
    # FID is one number of all pictures; the others are means over parts of them.
    return [
        Score(name="fid", value=found.fid, **common, interval="none known"),
        *(
            Score(
                name=name,
                value=value,
                **common,
                low=value - spread,
                high=value + spread,
                interval=f"one standard deviation over {parts}",
            )
            for name, value, spread, parts in (
                ("kid", found.kid, found.kid_std, "subsets"),
                ("inception_score", found.isc, found.isc_std, "splits"),
            )
        ),
    ]


@contextmanager
def _own_copy(weights: Path) -> Iterator[Path]:
    """The same tensors in a file that we wrote.

    torch-fidelity unpickles its file without restraint. Ours is read with nothing but tensors
    allowed, so that no code of a stranger's file can run.
    """
    try:
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{weights}: not a file of plain tensors ({reason})") from None
    with TemporaryDirectory() as folder:
        copy = Path(folder) / WEIGHTS_NAME
        torch.save(tensors, copy)
        yield copy


class _Rgb(Dataset[Tensor]):
    """Pictures one by one as torch-fidelity takes them: uint8 (3, height, width)."""

    def __init__(self, pictures: Pictures, what: str, at_least: int) -> None:
        channels = check_pictures(pictures, what, at_least)[2]
        if channels not in (1, 3):
            raise UserError(f"{what}: {channels} channels; 1 or 3 are needed")
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, row: int) -> Tensor:
        picture = torch.from_numpy(take(self._pictures, np.array([row]))[0])
        return picture.permute(2, 0, 1).expand(3, -1, -1).contiguous()
