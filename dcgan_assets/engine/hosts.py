"""Training over several hosts: what one asks for, and what the others look at before they join.

The host on which the asset is made leads. It writes `invitation.json` into the training's folder,
starts torchrun and waits; `dcgan join` on another host, in the same shared workspace, finds the
file and starts torchrun with the same words. torchrun's own rendezvous (c10d, on the host that
leads) brings them together. It hangs where host names do not resolve, where two hosts have one
address, and where hosts reach each other by another interface than gloo takes: so addresses are
numbers here, they are looked at before, and the interface is named.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.interrupts import SIGNALS
from dcgan_assets.engine.step import Step
from dcgan_assets.engine.terminal import INTERRUPTED
from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields
from dcgan_models.files import read_json, remove_file, write_json

PROCESS = "dcgan_assets.engine.training_process"
ADDRESS_VARIABLE = "DCGAN_ADDRESS"
# torchrun's exit codes where its processes saved and ended: by themselves, or asked through it.
_STOPPED = (INTERRUPTED, 128 + signal.SIGTERM)
_INVITATION = "invitation.json"
_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Invitation:
    """`invitation.json` in a training's folder, as long as a training waits there for hosts.

    Attributes:
        asset: Key of what is trained.
        run: Id of Dagster's run, by which torchrun tells one training from another.
        root: Of the workspace, on the host that leads.
        address, port: Where torchrun's rendezvous is.
        hosts: That train together, the one that leads among them.
        processes: On each host.
        threads: Of each process: with another number the last bits would be others.
        code_version: Of the asset, code and section of params.yaml.
        torch: Its version.
    """

    asset: str
    run: str
    root: str
    address: str
    port: int
    hosts: int
    processes: int
    threads: int
    code_version: str
    torch: str

    @classmethod
    def read(cls, folder: Path) -> Invitation | None:
        """The invitation in a training's folder; None where there is none that is whole."""
        try:
            found = read_json(folder / _INVITATION)
            check_fields(cls, found, _INVITATION)
        except (OSError, ValueError, UserError):
            return None
        return cls(**found)

    @contextmanager
    def standing(self, folder: Path) -> Iterator[None]:
        """Keep the invitation in a folder until the block ends, or `withdraw` is called."""
        write_json(folder / _INVITATION, asdict(self))
        try:
            yield
        finally:
            withdraw(folder)

    def torchrun(self, run_dir: Path, patience: int, own: str) -> list[str]:
        """The command that trains on this host, together with the others.

        Args:
            patience: Seconds that hosts wait for one another.
            own: This host's address.
        """
        leads = own == self.address
        return [
            *(sys.executable, "-m", "dcgan_models.training.launch"),
            *(f"--nnodes={self.hosts}", f"--nproc-per-node={self.processes}"),
            *("--rdzv-backend=c10d", f"--rdzv-endpoint={self.address}:{self.port}"),
            *(f"--rdzv-id={self.run}", f"--local-addr={own}"),
            f"--rdzv-conf=is_host={leads:d},join_timeout={patience}",
            *("-m", PROCESS, str(run_dir)),
        ]

    def environment(self, own: str) -> dict[str, str]:
        """What the processes of this host are told: who leads, by which interface, on what."""
        from dcgan_models.training.team import LEADS_VARIABLE

        interface = _interface(own)
        chosen = {
            name: os.environ.get(name, interface)
            for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
        }
        leads = {LEADS_VARIABLE: f"{own == self.address:d}"}
        return {**chosen, **leads, "OMP_NUM_THREADS": str(self.threads)}


def withdraw(folder: Path) -> None:
    """Let nobody join the training in a folder any more."""
    remove_file(folder / _INVITATION)


def own_address(seen: str | None = None) -> str:
    """The IPv4 address by which other hosts reach this one: a number, not a name.

    Args:
        seen: From where this host has reached another one: its address, unless one is set.

    Raises:
        UserError: The host's name does not resolve, or to an address that no other host reaches.
    """
    named = os.environ.get(ADDRESS_VARIABLE) or seen
    name = named or socket.gethostname()
    cure = f"set {ADDRESS_VARIABLE} to the address by which the other hosts reach this one"
    try:
        address = socket.gethostbyname(name)
    except OSError:
        raise UserError(f"machine.hosts: the host name {name!r} does not resolve; {cure}") from None
    if not named and ipaddress.ip_address(address).is_loopback:
        raise UserError(
            f"machine.hosts: the host name {name!r} resolves to {address}, which no other host "
            f"reaches; {cure}"
        )
    _interface(address)
    return address


def _interface(address: str) -> str:
    """The name of this host's network interface with an address.

    Raises:
        UserError: None has it.
    """
    wanted, known = ipaddress.ip_address(address), []
    for name, bound in psutil.net_if_addrs().items():
        for one in (each for each in bound if each.family == socket.AF_INET):
            network = ipaddress.ip_network(f"{one.address}/{one.netmask or 32}", strict=False)
            if one.address == address or (wanted.is_loopback and wanted in network):
                return name
            known.append(one.address)
    raise UserError(
        f"{ADDRESS_VARIABLE}: no network interface of this host has the address {address}; "
        f"it has: {', '.join(known)}"
    )


def free_port(address: str) -> int:
    """A port of an address of this host that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


# --- The hosts that join --------------------------------------------------------------------


def join(catalogue: Catalogue, key: str) -> bool:
    """Train together with the host that makes an asset, until that ends.

    Args:
        key: Of the asset.

    Returns:
        True when training is finished, False when it was stopped.

    Raises:
        UserError: Nothing waits for hosts in time, what waits is of another code, version or
            place, this host's address is that of the other one, or a host was lost.
    """
    step = _training_step(catalogue, key)
    patience = catalogue.workspace.params.machine.join_seconds
    run_dir, invitation, seen = _find(catalogue, step, patience)
    own = own_address(seen)
    _require_fitting(catalogue, step, invitation, own)
    child = subprocess.Popen(
        invitation.torchrun(run_dir, patience, own),
        env={**os.environ, **invitation.environment(own)},
        start_new_session=True,  # Ctrl-C comes here, and from here there, once
    )
    code = _wait(child)
    if code not in (0, *_STOPPED):
        raise UserError(
            f"{key}: a host was lost, did not come, or could not train (exit code {code}); the "
            "host that leads says which. What was saved is kept: start both again to go on"
        )
    return code == 0


def _training_step(catalogue: Catalogue, key: str) -> Step:
    known = {step.key: step for step in catalogue.steps if step.trains}
    if key not in known:
        raise UserError(f"{key}: no training of this workspace; allowed: {', '.join(known)}")
    if catalogue.workspace.params.machine.hosts == 1:
        raise UserError("params.yaml: machine.hosts is 1, so that no training waits for a host")
    return known[key]


def _find(catalogue: Catalogue, step: Step, patience: int) -> tuple[Path, Invitation, str]:
    """A training of a step that waits: its folder, its invitation, from where it is reached.

    Raises:
        UserError: None does within so many seconds, or the host that leads does not answer.
    """
    group = catalogue.workspace.root / "runs" / step.group
    until, silent = time.monotonic() + patience, ""
    while True:
        for folder in sorted(path.parent for path in group.glob(f"*/{_INVITATION}")):
            invitation = Invitation.read(folder)
            if invitation is None or invitation.asset != step.key:
                continue
            try:
                there = (invitation.address, invitation.port)
                with socket.create_connection(there, _ANSWER_SECONDS) as line:
                    return folder, invitation, str(line.getsockname()[0])
            except OSError as error:  # not yet, or of a process that was killed
                silent = f"{there[0]}:{there[1]}, where it waited, does not answer ({error})"
        if time.monotonic() >= until:
            raise UserError(
                f"{step.key}: no training waited for a host for {patience} s; "
                + (silent or f"start it on another one: `dcgan materialize {step.key}`")
            )
        time.sleep(_LOOK_SECONDS)


def _require_fitting(catalogue: Catalogue, step: Step, invitation: Invitation, own: str) -> None:
    """Refuse what would hang or train another thing, before torchrun is started.

    Raises:
        UserError: The line says what differs between the two hosts.
    """
    from torch import __version__

    here: Mapping[str, str] = {
        "root": str(catalogue.workspace.root),
        "code_version": catalogue.code_version(step),
        "torch": str(__version__),
    }
    cures = {
        "root": "mount the workspace at the same path",
        "code_version": "both need the same version of dcgan-assets",
        "torch": "both need the same packages",
    }
    for name, value in here.items():
        theirs = getattr(invitation, name)
        if theirs != value:
            raise UserError(
                f"{step.key}: {name.replace('_', ' ')} is {value} here and {theirs} on the host "
                f"that leads; {cures[name]}"
            )
    if own == invitation.address:
        raise UserError(
            f"{step.key}: this host's address is {own}, and so is that of the host that leads; "
            f"each needs its own: set {ADDRESS_VARIABLE}, or use machine.processes on one host"
        )


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for torchrun, and pass on to it what asks this process to stop; its exit code."""
    before = {
        number: signal.signal(number, lambda number, frame: child.send_signal(signal.SIGTERM))
        for number in SIGNALS
    }
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
