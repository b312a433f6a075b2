"""The science of DCGAN: networks, training, sampling statistics, nearest neighbours.

Usable without Dagster:

    from dcgan_models import load_generator
    pictures = load_generator("models/mnist/generator").sample(64, seed=0)

Importing this package costs nothing; torch is loaded with the first name that needs it. It sets
OMP_WAIT_POLICY, which torch reads when it is loaded, unless you did: so import torch after it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcgan_models.networks import load_discriminator, load_generator

__all__ = ["load_discriminator", "load_generator"]


# torch's threads spin while they wait for one another. Beside any other busy process that costs
# several times the work; sleeping costs a quarter on an idle machine, where ACTIVE is faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name in __all__:
        from dcgan_models import networks

        return getattr(networks, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
