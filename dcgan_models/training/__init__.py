"""Training of a generator and a discriminator against each other (sections 3 and 4).

loop.py holds the loop, updates.py one update of either network, pictures.py how minibatches come,
config.py what a run is, checkpoint.py how it survives, health.py when it is not well, team.py what
changes when several processes train together. Without Dagster:

    python -m dcgan_models.training RUN_DIR        # RUN_DIR holds config.json
    torchrun --nproc-per-node 2 -m dcgan_models.training RUN_DIR
"""

from dcgan_models.training.config import TrainConfig
from dcgan_models.training.loop import Tick, train

__all__ = ["Tick", "TrainConfig", "train"]
