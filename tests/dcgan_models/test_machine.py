"""What a machine is asked for, and what it gives; no more than its names is loaded by asking."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from fixture_types import Refused

from dcgan_models import machine
from dcgan_models.classification import svm
from dcgan_models.machine import (
    Compile,
    available_cores,
    cgroup_quota,
    choose_compile,
    choose_device,
    choose_precision,
    choose_threads,
    go_on_with_threads,
    memory_named,
    missing_for_compiling,
    settle_kernels,
    threads_given_back,
)
from dcgan_models.networks import on_device

LONG = 10**6  # minibatches
CPU, GPU = torch.device("cpu"), torch.device("cuda")
CPU_FACTS = Path("/proc/cpuinfo")


def test_the_sections_of_params_take_the_names_without_torch() -> None:
    code = (
        "import sys\n"
        "from dcgan_assets.params.file import Machine\n"
        "from dcgan_assets.params.training import Candidate\n"
        "from dcgan_models.machine import Compile, Device, Precision\n"
        "assert Machine.model_fields['device'].annotation is Device\n"
        "assert Candidate.model_fields['precision'].annotation is Precision\n"
        "assert Candidate.model_fields['compile'].annotation is Compile\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there(refused: Refused) -> None:
    with refused("device", "cuda", "allowed: auto, cpu"):
        choose_device("cuda")
    assert choose_device("auto") == CPU


def test_the_processor_is_taken_where_it_is_asked_for() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.skipif(not CPU_FACTS.exists(), reason="a system that does not say what it has")
def test_bf16_is_taken_where_the_processor_multiplies_it() -> None:
    flags = CPU_FACTS.read_text().split()  # of x86; no other processor has these
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    assert choose_precision("auto", CPU) is (torch.bfloat16 if native else torch.float32)
    assert choose_precision("bf16", CPU) is torch.bfloat16
    assert choose_precision("fp32", CPU) is torch.float32


def test_kernels_are_compiled_on_a_gpu_or_where_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "missing_for_compiling", lambda: "")
    modes = {name: choose_compile(name, CPU, LONG) for name in get_args(Compile)}
    asked = {name: name for name in ("default", "reduce-overhead", "max-autotune")}
    assert modes == {"auto": None, "off": None, **asked}
    assert choose_compile("auto", GPU, LONG) == "reduce-overhead"
    assert choose_compile("off", GPU, LONG) is None


def test_a_short_run_does_not_earn_compiling(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert choose_compile("auto", GPU, 1000) is None
    assert caplog.messages == [
        "1000 minibatches do not earn the minute that compiling takes: eager"
    ]


@pytest.mark.parametrize("lacking", ["C compiler", "Python.h (the Python headers)"])
def test_what_compiling_lacks_is_said_once_and_the_run_is_eager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lacking: str, tmp_path: Path
) -> None:
    if lacking == "C compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
        for name in ("CC", "CXX"):
            monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert lacking in missing_for_compiling()
    assert choose_compile("auto", GPU, LONG) is None
    (line,) = caplog.messages
    assert lacking in line


def test_every_entry_that_takes_a_device_settles_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ran before in the process: networks, trainings and the SVM come by one place."""
    settled: list[torch.device] = []
    for module in (machine, svm):
        monkeypatch.setattr(module, "settle_kernels", settled.append)
    choose_device("cpu")
    on_device(torch.nn.Linear(1, 1), "cpu")
    svm.L2SVM(device="cpu").fit(np.array([[0.0], [1.0]], np.float32), [0, 1])
    assert settled == [CPU, CPU, CPU]


def test_a_memory_that_is_too_small_is_one_line(refused: Refused) -> None:
    named = memory_named(GPU, "a batch of 128")
    with refused("the memory of cuda is too small for a batch of 128"), named:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_fp32_is_fp32_on_a_gpu() -> None:
    """The switches are there without one; TF32, which has 10 bits, is off after the call."""
    kinds = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = [kind.fp32_precision for kind in kinds], torch.backends.cudnn.benchmark
    try:
        for kind in kinds:
            kind.fp32_precision = "tf32"
        settle_kernels(CPU)
        assert [kind.fp32_precision for kind in kinds] == ["tf32", "tf32"]
        settle_kernels(GPU)
        assert [kind.fp32_precision for kind in kinds] == ["ieee", "ieee"]
        assert torch.backends.cudnn.benchmark
    finally:
        for kind, precision in zip(kinds, before[0], strict=True):
            kind.fp32_precision = precision
        torch.backends.cudnn.benchmark = before[1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away here")
def test_fewer_cores_than_threads_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(cores)})
    try:
        with threads_given_back():
            go_on_with_threads(2, tmp_path)
            assert torch.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(own)
    assert caplog.messages == [
        f"{tmp_path}: its number of threads was 2, and here are 1 cores: it goes on with 1, and "
        "its last bits become others"
    ]


# --- As many threads as there are cores to be had ----------------------------------------------


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine of two cores, where nobody chose a number."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(machine, "available_cores", lambda: 2)
    with threads_given_back():
        torch.set_num_threads(2)
        yield


@pytest.mark.parametrize(
    ("idle", "threads"), [(2.0, 2), (1.8, 2), (1.7, 1), (1.0, 1), (0.0, 1), (63.0, 2)]
)
def test_threads_are_as_many_as_cores_are_idle(
    two_threads: None, monkeypatch: pytest.MonkeyPatch, idle: float, threads: int
) -> None:
    monkeypatch.setattr(machine, "_idle_cores", lambda: idle)
    assert choose_threads() == torch.get_num_threads() == threads


def test_a_quota_counts_as_cores_do(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_idle_cores", lambda: 2.0)
    monkeypatch.setattr(machine, "available_cores", lambda: 1)
    assert choose_threads() == 1


def test_a_number_that_somebody_chose_stays(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_idle_cores", lambda: 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert choose_threads() == 2


def test_idle_cores_are_measured() -> None:
    assert 0 <= machine._idle_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        pytest.param("0::/", {}, math.inf, id="version 2, no limit"),
        pytest.param("0::/", {"cpu.max": "max 100000"}, math.inf, id="version 2, said to be none"),
        pytest.param("0::/", {"cpu.max": "150000 100000"}, 1.5, id="a container's own view"),
        pytest.param("0::/a/b", {"a/b/cpu.max": "50000 100000"}, 0.5, id="a group within"),
        pytest.param(
            "0::/a/b", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2, id="above it"
        ),
        pytest.param(
            "3:memory:/x\n2:cpu,cpuacct:/x",
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            3,
            id="version 1",
        ),
        pytest.param(
            "2:cpu:/",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            math.inf,
            id="version 1, no limit",
        ),
    ],
)
def test_a_containers_share_of_processor_time(
    tmp_path: Path, groups: str, files: dict[str, str], quota: float
) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "root"
    own.write_text(groups + "\n")
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert cgroup_quota(root, own) == quota
    assert cgroup_quota(root, tmp_path / "no such system") == math.inf


def test_a_quota_of_half_a_core_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cgroup_quota", lambda: 0.5)
    assert available_cores() == 1


def test_whoever_imports_this_first_has_threads_that_sleep() -> None:
    """The library, its module and the command: torch reads the setting when it is loaded."""
    code = (
        "import os, sys, dcgan_models\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    for given, expected in ({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"):
        plain = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        done = subprocess.run(
            [sys.executable, "-c", code], env={**plain, **given}, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr
