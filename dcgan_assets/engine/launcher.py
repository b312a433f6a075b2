"""Training of a candidate in this process, or in several through torchrun and Dagster Pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dcgan_assets.engine.curves import curves
from dcgan_assets.engine.lanes import SHARE_VARIABLE
from dcgan_assets.engine.making import Work
from dcgan_models.errors import UserError
from dcgan_models.machine import available_cores, chosen_threads

if TYPE_CHECKING:
    from dcgan_models.training import Tick, TrainConfig

_LOOK_SECONDS = 0.5


def train_somewhere(
    work: Work, config: TrainConfig, run_dir: Path, on_tick: Callable[[Tick], None]
) -> bool:
    """Train in as many processes as params.yaml says (`machine.processes`).

    Returns:
        True when training is finished, False when it was asked to stop and has saved.

    Raises:
        UserError: As `dcgan_models.training.train` does, or a process was lost.
    """
    from dcgan_models.training import train

    machine = work.params.machine
    with curves(machine.log, work.root, work.step.key, run_dir) as draw:

        def tell(tick: Tick) -> None:
            on_tick(tick)
            draw(tick)

        if machine.processes == 1:
            return train(config, run_dir, tell, work.stop)
        return _train_in_team(work, run_dir, machine.processes, tell)


def _train_in_team(
    work: Work, run_dir: Path, processes: int, on_tick: Callable[[Tick], None]
) -> bool:
    with dg.open_pipes_session(
        context=work.context,
        context_injector=dg.PipesTempFileContextInjector(),
        message_reader=dg.PipesTempFileMessageReader(include_stdio_in_messages=False),
    ) as session:
        # torchrun in a session of its own, which reports through Pipes.
        launcher = ["dcgan_models.training.launch", "--standalone", f"--nproc-per-node={processes}"]
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                *launcher,
                "-m",
                "dcgan_assets.engine.training_process",
                str(run_dir),
            ],
            env={**os.environ, **session.get_bootstrap_env_vars(), **_threads(processes)},
            start_new_session=True,  # Ctrl-C comes here, and from here there, once
        )
        try:
            last = _follow(work, session, child, on_tick)
        finally:
            _end(child)
    # Finished, stopped as it was asked to, or lost.
    if child.returncode == 0:
        return True
    if "stopped" in last:
        return False
    error = last.get("error")
    raise UserError(
        error
        or f"{work.step.key}: a training process was lost (exit code {child.returncode}); the "
        f"last save in {run_dir} is kept: materialise again to go on"
    )


def _follow(
    work: Work,
    session: dg.PipesSession,
    child: subprocess.Popen[bytes],
    on_tick: Callable[[Tick], None],
) -> dict[str, Any]:
    """Report ticks until the child ends; the last thing that it said."""
    from dcgan_models.training import Tick

    read, asked = 0, False
    last: dict[str, Any] = {}
    while True:
        ended = _has_ended(child)
        messages = session.get_custom_messages()
        for message in messages[read:]:
            last = message
            if "step" in message:
                on_tick(Tick(**message))
        read = len(messages)
        if ended:
            return last
        if work.stop() and not asked:
            asked = True
            child.send_signal(signal.SIGTERM)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave nobody training, whatever went wrong here."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _threads(processes: int) -> dict[str, str]:
    """An equal share of the cores for each, or of the lane's, unless somebody has chosen."""
    share = os.environ.get(SHARE_VARIABLE)
    if chosen_threads() and share is None:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, int(share or available_cores()) // processes))}
