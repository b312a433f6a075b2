"""Train without Dagster: `python -m dcgan_models.training RUN_DIR`, RUN_DIR holding config.json.

Ctrl-C or SIGTERM saves the state; the same command goes on. torchrun starts several processes
that train together: `torchrun --nproc-per-node 2 -m dcgan_models.training RUN_DIR`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dcgan_models.errors import UserError
from dcgan_models.training import Tick, TrainConfig, train
from dcgan_models.training.stopping import stop_when_asked
from dcgan_models.training.team import join_team


def main() -> int:
    """Parse the arguments and train; the exit code is 0, 1 on an error, 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m dcgan_models.training", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder with config.json; receives the run")
    run_dir = parser.parse_args().run_dir
    should_stop = stop_when_asked()
    try:
        with join_team() as team, _bar(shown=team.leads) as bar:

            def show(tick: Tick) -> None:
                bar.total = tick.steps
                bar.set_postfix_str(f"D={tick.d_loss}, G={tick.g_loss}", refresh=False)
                bar.update(tick.step - bar.n)

            finished = train(TrainConfig.read(run_dir), run_dir, show, should_stop, team)
    except (UserError, OSError):
        return 1
    return 0 if finished else 130


def _bar(*, shown: bool) -> tqdm[Any]:
    return tqdm(unit=" minibatches", dynamic_ncols=True, disable=not shown)


if __name__ == "__main__":
    sys.exit(main())
