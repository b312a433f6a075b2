"""Training of a candidate in this process, or in several through torchrun and Dagster Pipes.

Several are those of this host, or of several hosts (`hosts.py`): then torchrun's words are others,
and all else is the same.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from dcgan_assets.engine import hosts
from dcgan_assets.engine.curves import curves
from dcgan_assets.engine.joining_runs import called
from dcgan_assets.engine.lanes import SHARE_VARIABLE
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.terminal import say
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

        if machine.hosts == machine.processes == 1:
            return train(config, run_dir, tell, work.stop)
        return _train_in_team(work, run_dir, tell)


def _train_in_team(work: Work, run_dir: Path, on_tick: Callable[[Tick], None]) -> bool:
    with (
        dg.open_pipes_session(
            context=work.context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(include_stdio_in_messages=False),
        ) as session,
        _torchrun(work, run_dir) as (words, environment),
    ):
        child = subprocess.Popen(
            words,
            env={**os.environ, **session.get_bootstrap_env_vars(), **environment},
            start_new_session=True,  # Ctrl-C comes here, and from here there, once
        )
        try:
            last = _follow(work, run_dir, session, child, on_tick)
        finally:
            _end(child)
    # Finished, stopped as it was asked to, or lost.
    if child.returncode == 0:
        return True
    if "stopped" in last or (not last and work.stop()):
        return False
    raise UserError(last.get("error") or _loss(work, run_dir, child.returncode, began=bool(last)))


@contextmanager
def _torchrun(work: Work, run_dir: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The command that trains in several processes, which report through Pipes; its environment."""
    machine = work.params.machine
    threads = _threads(machine.processes)
    if machine.hosts == 1:
        launcher = ["dcgan_models.training.launch", "--standalone"]
        words = [f"--nproc-per-node={machine.processes}", "-m", hosts.PROCESS, str(run_dir)]
        yield [sys.executable, "-m", *launcher, *words], {"OMP_NUM_THREADS": str(threads)}
        return
    invitation = _invite(work, threads)
    others = machine.hosts - 1
    with (
        invitation.standing(run_dir),
        called(work.context, work.step.key, others) as are_called,
    ):
        typed = shlex.join(["dcgan", "--root", str(work.root), "join", work.step.key])
        how = "their runs are in the queue" if are_called else f"run on each: {typed}"
        say(f"{work.step.key}: waits for {others} more of {machine.hosts} hosts; {how}")
        yield (
            invitation.torchrun(run_dir, machine.join_seconds, invitation.address),
            invitation.environment(invitation.address),
        )


def _invite(work: Work, threads: int) -> hosts.Invitation:
    """What other hosts are to know of this training, once this one can be reached by them."""
    from torch import __version__

    address = hosts.own_address()
    return hosts.Invitation(
        asset=work.step.key,
        run=work.context.run.run_id,
        root=str(work.root),
        address=address,
        port=hosts.free_port(address),
        hosts=work.params.machine.hosts,
        processes=work.params.machine.processes,
        threads=threads,
        code_version=work.code_version,
        torch=str(__version__),
    )


def _loss(work: Work, run_dir: Path, code: int, *, began: bool) -> str:
    """Why a team's training ended of which no process has said why."""
    from dcgan_models.training.launch import UNMET

    machine = work.params.machine
    if code == UNMET and not began:
        return (
            f"{work.step.key}: {machine.hosts - 1} more of {machine.hosts} hosts were to join, and "
            f"did not all come within {machine.join_seconds} s (machine.join_seconds)"
        )
    return (
        f"{work.step.key}: a training process was lost (exit code {code}); the last save in "
        f"{run_dir} is kept: materialise again to go on"
    )


def _follow(
    work: Work,
    run_dir: Path,
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
        if messages and not last:  # all are there
            hosts.withdraw(run_dir)
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


def _threads(processes: int) -> int:
    """Of each: an equal share of the cores, or of the lane's, unless somebody has chosen."""
    share, chosen = os.environ.get(SHARE_VARIABLE), chosen_threads()
    if chosen and share is None:
        return chosen
    return max(1, int(share or available_cores()) // processes)
