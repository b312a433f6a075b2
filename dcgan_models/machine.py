"""The machine that computes: which device, precision, compiled kernels and threads a run takes.

torch is loaded inside the functions alone, so that params.yaml is checked against the names here.
"""

from __future__ import annotations

import ctypes
import logging
import math
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from dcgan_models.errors import UserError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
Compile = Literal["auto", "off", "default", "reduce-overhead", "max-autotune"]

_LOG = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_GPU_FILES = ("nvidiactl", "kfd", "dxg")  # the last one in Windows' Linux


def choose_device(requested: Device) -> torch.device:
    """Resolve `auto`, and settle how the device computes fp32; whoever computes comes by here.

    Raises:
        UserError: CUDA is asked for and absent.
    """
    import torch

    if requested == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for and torch sees none; allowed: auto, cpu")
    gpu = requested != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    settle_kernels(device)
    return device


def may_use_gpu(requested: Device) -> bool:
    """Whether a GPU may be taken, as far as can be said without torch, which takes seconds to load.

    `auto` takes one where the driver of NVIDIA or AMD has put its device file.
    """
    there = any(Path("/dev", name).exists() for name in _GPU_FILES)
    return requested == "cuda" or (requested == "auto" and there)


@contextmanager
def memory_named(device: torch.device, what: str) -> Iterator[None]:
    """Raise `UserError` where the device's memory is too small for what the block does.

    Args:
        what: Of the message: `a batch of 128; lower `batch``.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(f"the memory of {device} is too small for {what}") from None


def choose_precision(requested: Precision, device: torch.device) -> torch.dtype:
    """Resolve `auto` to bfloat16 where the processor multiplies it natively, else float32."""
    import torch

    if requested == "auto":
        requested = "bf16" if _has_native_bf16(device) else "fp32"
    return torch.bfloat16 if requested == "bf16" else torch.float32


def _has_native_bf16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def settle_kernels(device: torch.device) -> None:
    """Settle how CUDA computes, rather than leave it to defaults that changed over time.

    fp32 is fp32: TF32, which rounds to 10 bits, is off, for whoever wants speed asks for bf16.
    Shapes seldom change here, so that trying out convolutions once for each pays.
    """
    import torch

    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = True


# Eager steps of small networks wait 7 to 12 ms for the host, and those of a recorded graph about
# 1 ms; compiling takes about a minute. So many minibatches, half of them for each network, win it.
_EARNS_COMPILING = 20_000


def choose_compile(requested: Compile, device: torch.device, steps: int) -> str | None:
    """The mode for `torch.compile`, or None to run eagerly.

    Args:
        steps: Minibatches of the run: `auto` compiles on CUDA where they are enough to earn it.
    """
    mode = None if requested == "off" else requested
    if requested == "auto":
        mode = "reduce-overhead" if device.type == "cuda" and steps >= _EARNS_COMPILING else None
        if device.type == "cuda" and mode is None:
            _LOG.info("%d minibatches do not earn the minute that compiling takes: eager", steps)
    lacking = missing_for_compiling() if mode else ""
    if lacking:
        _LOG.warning("nothing is compiled, and training is slower: here is no %s", lacking)
        return None
    if mode:
        _LOG.info("%d minibatches: kernels are compiled (%s)", steps, mode)
    return mode


def missing_for_compiling() -> str:
    """What `torch.compile` needs beside torch and is not here, in words; empty where all is."""
    compilers = [os.environ.get("CC"), os.environ.get("CXX"), "cc", "gcc", "clang", "g++", "cl"]
    lacking = []
    if not any(name and shutil.which(name) for name in compilers):
        lacking.append("C compiler")
    # Triton builds a launcher against them.
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        lacking.append("Python.h (the Python headers)")
    return " and no ".join(lacking)


# --- Threads: their number decides how sums are split, and with that the last bits ----------------
# What is saved remembers it, so that whoever goes on does so with as many, on a machine or in a
# container that would take another number of itself.

_LOOK_SECONDS = 0.5
_NOISE = 0.25  # of a core: what a machine without other work is busy with


@contextmanager
def threads_given_back() -> Iterator[None]:
    """Restore the number of threads when the block is left, whatever was chosen inside."""
    import torch

    own = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != own:
            torch.set_num_threads(own)


def choose_threads() -> int:
    """Take as many of torch's threads as there are cores to be had, and return their number.

    A thread without a core of its own keeps all others waiting at the end of every layer: on two
    cores with a busy process beside it, two threads are several times slower than one; in bf16
    they spin meanwhile, which no setting prevents. So what counts are the cores that this process
    may use, its container's share of processor time, and what others keep busy at this moment.

    Never more than torch has. A number that somebody chose, by OMP_NUM_THREADS, stays.
    """
    import torch

    own = torch.get_num_threads()
    if own == 1 or chosen_threads():
        return own
    chosen = min(own, available_cores(), max(1, math.floor(_idle_cores() + _NOISE)))
    if chosen != own:
        torch.set_num_threads(chosen)
        _LOG.warning(
            "takes %d of %d threads: a container's quota or other processes keep the other cores; "
            "OMP_NUM_THREADS sets another number",
            *(chosen, own),
        )
    return chosen


def chosen_threads() -> int | None:
    """The number of threads that somebody chose, by OMP_NUM_THREADS; None where nobody did."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(chosen) if chosen.isdecimal() and int(chosen) > 0 else None


def go_on_with_threads(saved: int, run_dir: Path) -> None:
    """Compute with as many threads as the state of a run was computed with, and say so.

    A machine with fewer cores than that goes on with its own number, which is said, too.
    """
    import torch

    own, cores = torch.get_num_threads(), available_cores()
    if saved == own:
        return
    if saved > cores:
        _LOG.warning(
            "%s: its number of threads was %d, and here are %d cores: it goes on with %d, and its "
            "last bits become others",
            *(run_dir, saved, cores, own),
        )
        return
    torch.set_num_threads(saved)
    slower = "; without as many cores to itself it is several times slower" if saved > own else ""
    _LOG.warning(
        "%s: its number of threads stays %d, not this machine's %d, and so do its bits%s",
        *(run_dir, saved, own, slower),
    )


def available_cores() -> int:
    """The cores that this process may use: of the machine, or of its container's quota."""
    return max(1, int(min(len(_own_cores()), cgroup_quota())))


def _own_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cgroup_quota(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> float:
    """Cores' worth of processor time that control groups allow; infinite without a limit.

    Args:
        root: Where the control groups are mounted, version 1 or 2.
        own: Names this process's groups, a line a hierarchy: `4:cpu,cpuacct:/path`.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return math.inf
    quotas = [math.inf]
    for _, controllers, path in lines:
        if controllers == "":
            top, files = root, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            top, files = root / controllers, ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        # Every group above limits those within; in a container only the mount's root may be seen.
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            quotas.append(_quota_in([folder / name for name in files]))
            if folder == top:
                break
    return min(quotas)


def _quota_in(files: list[Path]) -> float:
    try:
        words = " ".join(path.read_text(encoding="utf-8") for path in files).split()
        limit, period = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):  # no such file, or `max`
        return math.inf
    return limit / period if limit > 0 and period > 0 else math.inf


def _idle_cores() -> float:
    """How many of our cores nobody uses, on average over half a second in which we sleep."""
    busy = psutil.cpu_percent(_LOOK_SECONDS, percpu=True)
    return sum(1 - busy[core] / 100 for core in _own_cores() if core < len(busy))


def die_with_parent() -> None:
    """End this process when its parent does, also where that is killed: nobody trains on unseen."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before we had asked
            sys.exit(1)
