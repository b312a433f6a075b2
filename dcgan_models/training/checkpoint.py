"""States of a run, a safetensors file each: whole, checksummed, enough to go on bit-exactly.

A state holds both networks, both Adams, the latents' random state and the step. The order of the
pictures needs none: it is a function of the seed and the step. JSON facts lie in the header;
nothing is pickled. The last few states are kept, and those of the snapshot epochs for good:

    states/step_000001200.safetensors
    states/step_000001170_epoch_0005.safetensors
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save
from torch import Tensor, nn

from dcgan_models.adam import Adam
from dcgan_models.errors import UserError
from dcgan_models.files import finished_name, open_atomic, parse_json, remove_file, tree_files
from dcgan_models.training.config import CONFIG_FILE
from dcgan_models.weights import read_metadata, read_tensors

STATES = "states"
LOCK_FILE = "lock"
KEPT_STATES = 2
# The names that only this module gives; a copy beside them is none of our business.
STATE = re.compile(r"step_(\d{9})(?:_epoch_(\d{4,}))?\.safetensors")
# All that a run writes into its folder, this module and those above it; nobody else does.
_RUN_FILE = re.compile(
    rf"{re.escape(CONFIG_FILE)}|{LOCK_FILE}|log\.jsonl|grids/epoch_\d{{4,}}\.png"
    rf"|{STATES}/{STATE.pattern}"
    r"|result/(generator|discriminator)/(network\.json|weights\.safetensors)"
    r"|result/generator/(fixed_[yz]\.npy|snapshots/epoch_\d{4,}\.safetensors)"
)

State = dict[str, Tensor]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavedState:
    """A state on disk, as its name tells.

    Attributes:
        step: Minibatches done.
        epoch: The snapshot epoch that it is kept for, if any.
    """

    path: Path
    step: int
    epoch: int | None


@contextmanager
def run_lock(run_dir: Path, *, held: bool = True) -> Iterator[None]:
    """Hold a run's folder; raise `UserError` while another process does.

    The system frees the lock of a process that died, so no stale lock is left behind.

    Args:
        held: False in a process whose leader holds the folder for it.
    """
    if not held:
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{run_dir}: another process is training in this folder") from None
    try:
        yield
    finally:
        lock.release()


def save_state(
    run_dir: Path, tensors: State, facts: Mapping[str, Any], epoch: int | None = None
) -> None:
    """Write a state atomically, with a checksum over the facts and every tensor.

    Args:
        facts: JSON values; `step` names the file.
        epoch: The snapshot epoch that this state is kept for; else only the last few are.

    Raises:
        UserError: The disk is full or cannot be written; the states before are as they were.
    """
    # Tensors and facts vouch for each other: one checksum over both.
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    header = {"facts": text, "sha256": _checksum(tensors, text)}
    ending = "" if epoch is None else f"_epoch_{epoch:04d}"
    path = run_dir / STATES / f"step_{facts['step']:09d}{ending}.safetensors"
    try:
        path.parent.mkdir(exist_ok=True)
        with open_atomic(path) as stream:
            stream.write(save(tensors, metadata=header))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); the state before it is whole: mend "
            "the disk and start again"
        ) from None
    # Only now that the new one is whole.
    passing = [saved.path for saved in saved_states(run_dir) if saved.epoch is None]
    for old in passing[:-KEPT_STATES]:
        remove_file(old)


def load_state(
    run_dir: Path, *, above: int = -1, until: int = sys.maxsize
) -> tuple[State, dict[str, Any]] | None:
    """Read the newest whole state and its facts; None where nothing was saved.

    A damaged one is named in the log, and the one before it is taken.

    Args:
        above, until: Steps: only states after the first and not after the second are looked at.

    Raises:
        UserError: There are states, and none is whole.
    """
    # The newest first: a kill or a power cut damages the last that was written.
    damage = ""
    for saved in reversed(saved_states(run_dir)):
        if not above < saved.step <= until:
            continue
        try:
            return read_state(saved.path)
        except UserError as error:
            _LOG.warning("%s; going back to the state before it", error)
            damage = damage or str(error)
    if damage:
        raise UserError(f"{damage}; no state before it is whole: delete {STATES}/ to start anew")
    return None


def run_files(run_dir: Path) -> list[str]:
    """Relative names of the files that a run wrote, whole or half; its configuration is the last.

    That is the record of it: while it stands, the others are known as ours.
    """
    ours = [name for name in tree_files(run_dir) if _RUN_FILE.fullmatch(finished_name(name))]
    return sorted(ours, key=lambda name: name == CONFIG_FILE)


def remove_half_files(run_dir: Path) -> None:
    """Remove what a process left of a run's files that was killed while it wrote them.

    A result is published as it lies in the folder: nothing half may stand in it.
    """
    for name in run_files(run_dir):
        if name != finished_name(name):
            remove_file(run_dir / name)


def saved_states(run_dir: Path) -> list[SavedState]:
    """What was saved, whole or not, oldest first."""
    found = []
    for path in sorted((run_dir / STATES).glob("step_*.safetensors")):
        name = STATE.fullmatch(path.name)
        if name:
            found.append(SavedState(path, int(name[1]), int(name[2]) if name[2] else None))
    return found


def read_state(path: Path) -> tuple[State, dict[str, Any]]:
    """Read one state and its facts; raise `UserError` where it is not whole."""
    header, tensors = read_metadata(path), read_tensors(path)
    if not {"facts", "sha256"} <= set(header):
        raise UserError(f"{path}: not a training state")
    if header["sha256"] != _checksum(tensors, header["facts"]):
        raise UserError(f"{path}: its checksum does not fit")
    try:
        facts = parse_json(header["facts"])
    except ValueError as error:
        raise UserError(f"{path}: its facts are not JSON ({error})") from None
    if not isinstance(facts, dict) or not isinstance(facts.get("step"), int):
        raise UserError(f"{path}: its facts do not say at which step it was saved")
    return tensors, facts


def _checksum(tensors: State, facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def adam_state(optimiser: Adam, network: nn.Module, prefix: str) -> State:
    """Adam's moments and step counts, named after the parameters they belong to."""
    state: State = {}
    for name, parameter in network.named_parameters():
        for part, value in optimiser.state[parameter].items():
            state[f"{prefix}.{name}.{part}"] = value
    return state


def load_adam_state(optimiser: Adam, network: nn.Module, prefix: str, state: State) -> None:
    """Put back what `adam_state` took, laid out in memory as the parameters are."""
    for name, parameter in network.named_parameters():
        start = f"{prefix}.{name}."
        parts = {key[len(start) :]: t for key, t in state.items() if key.startswith(start)}
        optimiser.state[parameter] = {
            part: torch.empty_like(parameter).copy_(value)
            if value.shape == parameter.shape
            else value.to(parameter.device)
            for part, value in parts.items()
        }


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Every setting that differs, nested ones dotted, with both values; None where it lacks."""
    one, other = _flatten(saved), _flatten(wanted)
    return {
        key: (one.get(key), other.get(key))
        for key in sorted(set(one) | set(other))
        if one.get(key) != other.get(key)
    }


def describe_differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Name every setting that differs: `batch 128 (saved) / 64 (asked)`."""
    found = differences(saved, wanted).items()
    return ", ".join(f"{key} {one} (saved) / {other} (asked)" for key, (one, other) in found)


def _flatten(content: Any, prefix: str = "") -> dict[str, Any]:
    items = content.items() if isinstance(content, dict) else enumerate(content)
    flat: dict[str, Any] = {}
    for key, value in items:
        name = f"{prefix}{key}"
        if isinstance(value, dict | list | tuple):
            flat |= _flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat
