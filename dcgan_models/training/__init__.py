"""Training of a generator and a discriminator against each other (sections 3 and 4).

loop.py holds the loop, config.py what a run is, checkpoint.py how it survives. Without Dagster:

    python -m dcgan_models.training RUN_DIR        # RUN_DIR holds config.json
"""

from dcgan_models.training.config import TrainConfig
from dcgan_models.training.loop import Tick, train

__all__ = ["Tick", "TrainConfig", "train"]
