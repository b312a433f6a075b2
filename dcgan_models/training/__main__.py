"""Train without Dagster: `python -m dcgan_models.training RUN_DIR`, RUN_DIR holding config.json.

Ctrl-C or SIGTERM saves the state; the same command goes on.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from dcgan_models.errors import UserError
from dcgan_models.training import Tick, TrainConfig, train


def main() -> int:
    """Parse the arguments and train; the exit code is 0, 1 on an error, 130 when stopped."""
    parser = argparse.ArgumentParser(prog="python -m dcgan_models.training", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder with config.json; receives the run")
    run_dir = parser.parse_args().run_dir
    stop = False

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGINT, ask_to_stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    try:
        with tqdm(unit=" minibatches", dynamic_ncols=True) as bar:

            def show(tick: Tick) -> None:
                bar.total = tick.steps
                bar.set_postfix_str(f"D={tick.d_loss}, G={tick.g_loss}", refresh=False)
                bar.update(tick.step - bar.n)

            finished = train(TrainConfig.read(run_dir), run_dir, show, lambda: stop)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if finished else 130


if __name__ == "__main__":
    sys.exit(main())
