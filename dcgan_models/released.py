"""The authors' own SVHN networks, read from the arrays that they published.

Newmu/dcgan_code keeps, in models/svhn_unsup_all_conv_dcgan_100z_gaussian_lr_0.0005_64mb, the
parameters of the networks behind its SVHN result: ten arrays of G and eight of D, in the order of
the layers. They were made with true convolution, which turns the kernel over; torch computes
cross-correlation, so each kernel is turned over here, once.

The networks carry no statistics: use batch statistics (`train()` mode, batches of 64 as the
authors had them), or estimate some with `networks.estimate_sampling_statistics`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dcgan_models.arrays import map_array
from dcgan_models.errors import UserError
from dcgan_models.networks import Discriminator, Generator, Network
from dcgan_models.presets import preset

_PRESET = "svhn32"
_FILES = {
    "generator": "200_gen_params.jl_{:02d}.npy",
    "discriminator": "200_discrim_params.jl_{:02d}.npy",
}


def load_released_svhn(folder: str | Path) -> tuple[Generator, Discriminator]:
    """Read both networks.

    Args:
        folder: Holds `200_gen_params.jl_01.npy` to `_10.npy` and `200_discrim_params.jl_01.npy`
            to `_08.npy`.

    Returns:
        G and D of preset `svhn32`, in `train()` mode.

    Raises:
        UserError: An array is missing, cut short, pickled, of another shape, or not finite; the
            line says which, of which layer, and what was expected.
    """
    generator, discriminator = Generator(preset(_PRESET)), Discriminator(preset(_PRESET))
    for network in (generator, discriminator):
        _fill(network, Path(folder))
    return generator, discriminator


@torch.no_grad()
def _fill(network: Network, folder: Path) -> None:
    """Copy the arrays into the parameters: weight, and scale and shift where there are any."""
    for number, (name, parameter) in enumerate(network.named_parameters(), 1):
        path = folder / _FILES[network.role].format(number)
        layer = f"{network.role} {name}"
        array = _read(path, layer)
        if name.endswith("weight.weight"):
            array = _to_torch(array)
        if array.shape != tuple(parameter.shape):
            raise UserError(
                f"{path}: {layer} has shape {array.shape}, expected {tuple(parameter.shape)} "
                "(in torch's layout)"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {layer} holds values that are not finite")
        parameter.copy_(torch.from_numpy(array.copy()))
    extra = folder / _FILES[network.role].format(number + 1)
    if extra.exists():
        raise UserError(f"{extra}: one array too many; {network.role} has {number}")


def _to_torch(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """From Theano's layout: dense (in, out) is transposed, kernels are turned over."""
    return array.T if array.ndim == 2 else array[:, :, ::-1, ::-1]


def _read(path: Path, layer: str) -> npt.NDArray[np.float32]:
    try:
        array = map_array(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {layer}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a plain array of numbers ({error}): {layer}") from None
    if array.dtype != np.float32:
        raise UserError(f"{path}: {layer} is {array.dtype}, expected float32")
    return array
