"""The state of a run in one safetensors file: whole, checksummed, and enough to go on bit-exactly.

It holds both networks, both Adams, the latents' random state and the step. The order of the
pictures needs no state: it is a function of the seed and the step. JSON facts lie in the header;
nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic

STATE_FILE = "state.safetensors"
LOCK_FILE = "lock"

State = dict[str, Tensor]


@contextmanager
def run_lock(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder; raise `UserError` while another process does.

    The system frees the lock of a process that died, so no stale lock is left behind.
    """
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


def save_state(run_dir: Path, tensors: State, facts: Mapping[str, Any]) -> None:
    """Write `state.safetensors` atomically, with a checksum over the facts and every tensor."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    header = {"facts": text, "sha256": _checksum(tensors, text)}
    with open_atomic(run_dir / STATE_FILE) as stream:
        stream.write(save(tensors, metadata=header))


def load_state(run_dir: Path) -> tuple[State, dict[str, Any]] | None:
    """Read a saved state and its facts; None where nothing was saved.

    Raises:
        UserError: The file is cut short or changed, or is not a training state.
    """
    path = run_dir / STATE_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path}: cut short or not a safetensors file ({error}); delete it to start anew"
        ) from None
    if not {"facts", "sha256"} <= set(header):
        raise UserError(f"{path}: not a training state; delete it to start anew")
    if header["sha256"] != _checksum(tensors, header["facts"]):
        raise UserError(f"{path}: its checksum does not fit; delete it to start anew")
    return tensors, json.loads(header["facts"])


def _checksum(tensors: State, facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def adam_state(optimiser: torch.optim.Adam, network: nn.Module, prefix: str) -> State:
    """Adam's moments and step counts, named after the parameters they belong to."""
    state: State = {}
    for name, parameter in network.named_parameters():
        for part, value in optimiser.state[parameter].items():
            state[f"{prefix}.{name}.{part}"] = value
    return state


def load_adam_state(
    optimiser: torch.optim.Adam, network: nn.Module, prefix: str, state: State
) -> None:
    """Put back what `adam_state` took."""
    for name, parameter in network.named_parameters():
        start = f"{prefix}.{name}."
        optimiser.state[parameter] = {
            key[len(start) :]: value.to(parameter.device)
            for key, value in state.items()
            if key.startswith(start)
        }


def describe_differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Name every setting that differs: `batch 128 (saved) / 64 (asked)`, nested ones dotted."""
    one, other = _flatten(saved), _flatten(wanted)
    return ", ".join(
        f"{key} {one.get(key)} (saved) / {other.get(key)} (asked)"
        for key in sorted(set(one) | set(other))
        if one.get(key) != other.get(key)
    )


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
