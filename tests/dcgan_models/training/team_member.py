"""One of several processes that train, started by torchrun; each tells what it ended with.

`... -m team_member RUN_DIR ...` trains in each folder and writes both networks
of every process to `rank_<n>.safetensors` beside the run's own files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from dcgan_models.training import TrainConfig, loop
from dcgan_models.training.loop import train
from dcgan_models.training.team import join_team


class TellingRun(loop._Run):
    def finish(self) -> None:
        super().finish()
        weights = {
            f"{network.role}.{name}": parameter.detach().contiguous()
            for network in (self.generator, self.discriminator)
            for name, parameter in network.named_parameters()
        }
        save_file(weights, self.run_dir / f"rank_{self.team.rank}.safetensors")


loop._Run = TellingRun  # type: ignore[misc]

with join_team() as team:
    assert team.all_have(-1)
    assert team.all_have(10**12)
    assert not team.all_have(team.rank)
    for name in sys.argv[1:]:
        assert train(TrainConfig.read(Path(name)), Path(name), team=team)
