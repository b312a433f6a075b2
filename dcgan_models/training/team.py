"""Several processes that train one pair of networks: what each does, and how they stay equal.

Started by torchrun, on one host or several, every process holds both networks and takes its share
of each minibatch; the preset's batch is that of all of them together. Gradients are averaged as one
flat tensor, so that every process makes the same update. One process leads: it alone writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.machine import die_with_parent
from dcgan_models.networks import Network

# Set where torchrun is started on several hosts, which deals ranks by their addresses: 1 on the
# host whose first process leads, 0 on the others.
LEADS_VARIABLE = "DCGAN_HOST_LEADS"
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Team:
    """This process's place among the processes that train together.

    Attributes:
        control: Group for flags, on the processor: agreeing never waits for a GPU.
        leader: Rank of the process that leads; None where it is on another host.
    """

    rank: int = 0
    size: int = 1
    control: Any = None
    leader: int | None = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == self.leader

    def share(self, batch: int) -> slice:
        """This process's rows of a minibatch; together the shares are the whole of it."""
        if batch % self.size:
            raise UserError(f"a batch of {batch} does not divide among {self.size} processes")
        rows = batch // self.size
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def own_device(self, device: torch.device) -> torch.device:
        """This process's device of that kind.

        Raises:
            UserError: There are fewer GPUs on this machine than processes.
        """
        if device.type != "cuda" or self.size == 1:
            return device
        rank, gpus = int(os.environ.get("LOCAL_RANK", self.rank)), torch.cuda.device_count()
        if rank >= gpus:
            raise UserError(
                f"{self.size} processes train together and this machine has {gpus} GPUs: each "
                "process needs one of its own; lower `machine.processes`, or take `device: cpu`"
            )
        return torch.device("cuda", rank)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over the team, all of them in one message."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, parts, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any process of the team says yes: all learn the same answer at the same step."""
        if self.size == 1:
            return flag
        votes = torch.tensor([int(flag)])
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self.control)
        return bool(votes)

    def all_have(self, number: int) -> bool:
        """Whether all processes of the team came with the same number."""
        if self.size == 1:
            return True
        extremes = torch.tensor([number, -number])
        dist.all_reduce(extremes, op=dist.ReduceOp.MAX, group=self.control)
        return int(extremes[0]) == -int(extremes[1])

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            dist.barrier(group=self.control)

    def synchronise_norms(self, *networks: Network) -> None:
        """Normalise by the statistics of the whole minibatch, not of each process's share."""
        if self.size > 1:
            for network in networks:
                for _, norm in network.norms():
                    norm.average = self.average


@contextmanager
def _errors_said(team: Team) -> Iterator[None]:
    """Print an error as one line, once: what all processes raise, the leader says."""
    try:
        yield
    except (UserError, OSError) as error:
        if team.leads:
            sys.stderr.write(f"error: {error}\n")
        raise


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that torchrun started this process for; a team of one without torchrun.

    An error of the user's that leaves the block has been printed, by the process that leads.

    Raises:
        UserError: Another process was lost.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        team = Team()
        with _errors_said(team):
            yield team
        return
    die_with_parent()
    if int(os.environ["LOCAL_RANK"]) < torch.cuda.device_count():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        rank, control = dist.get_rank(), dist.new_group(backend="gloo", timeout=_PATIENCE)
        team = Team(rank, size, control, _leader(rank))
        with _errors_said(team), _losses_named():
            yield team
    finally:
        dist.destroy_process_group()


def _leader(rank: int) -> int | None:
    """Which process leads: of several hosts, the first one on the host that says so."""
    leads = os.environ.get(LEADS_VARIABLE)
    if leads is None:
        return 0
    return rank if leads == "1" and os.environ["LOCAL_RANK"] == "0" else None


@contextmanager
def _losses_named() -> Iterator[None]:
    """Turn what a message raises that did not arrive into one line."""
    try:
        yield
    except RuntimeError as error:
        if not _lost(error):
            raise
        raise UserError("another process of the team was lost") from None


def _lost(error: RuntimeError) -> bool:
    """Whether a message did not arrive: gloo and NCCL raise these two kinds."""
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()
