"""One of several processes that train a candidate, started by launcher.py through torchrun.

The one that leads tells Dagster of each tick through Pipes; all the rest is dcgan_models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from dagster_pipes import open_dagster_pipes

from dcgan_assets.engine.terminal import INTERRUPTED
from dcgan_models.errors import UserError
from dcgan_models.training import Tick, TrainConfig, train
from dcgan_models.training.stopping import stop_when_asked
from dcgan_models.training.team import Team, join_team


def main() -> int:
    """Train in the run folder that is named; the exit code is 0, 1 on an error, 130 if stopped."""
    run_dir = Path(sys.argv[1])
    should_stop = stop_when_asked()
    try:
        with join_team() as team:
            return _train(run_dir, should_stop, team)
    except (UserError, OSError):
        return 1


def _train(run_dir: Path, should_stop: Callable[[], bool], team: Team) -> int:
    config = TrainConfig.read(run_dir)
    if not team.leads:
        return 0 if train(config, run_dir, should_stop=should_stop, team=team) else INTERRUPTED
    with open_dagster_pipes() as pipes:
        pipes.report_custom_message({"joined": team.size})

        def report(tick: Tick) -> None:
            pipes.report_custom_message(asdict(tick))

        try:
            if train(config, run_dir, report, should_stop, team):
                return 0
            pipes.report_custom_message({"stopped": True})
            return INTERRUPTED
        except (UserError, OSError) as error:
            pipes.report_custom_message({"error": str(error)})
            raise


if __name__ == "__main__":
    sys.exit(main())
