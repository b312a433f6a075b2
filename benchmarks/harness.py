"""What the benchmarks share: options, the hardware line, interleaved timing, tables, JSON."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from tabulate import tabulate

from dcgan_models.files import write_json


def options(description: str, runs: int) -> argparse.ArgumentParser:
    """The options of every benchmark: `--runs N` (default `runs`) and `--json FILE`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--runs", type=int, default=runs, metavar="N", help="interleaved runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    return parser


def _busy_elsewhere() -> float:
    """Seconds of processor time that this machine has spent outside this process."""
    spent = psutil.cpu_times()._asdict()
    waiting = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
    guests = spent.get("guest", 0.0) + spent.get("guest_nice", 0.0)  # within user and nice
    return float(sum(spent.values()) - waiting - guests - time.process_time())


_STARTED, _BUSY_THEN = time.perf_counter(), _busy_elsewhere()


def hardware() -> dict[str, Any]:
    """The machine and the library that the figures belong to.

    `cores busy elsewhere` is how many cores other processes (children of this one too) kept busy
    on average since the benchmark began: above a tenth or so, measure again on a quieter machine.
    """
    elapsed = time.perf_counter() - _STARTED
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores busy elsewhere": round((_busy_elsewhere() - _BUSY_THEN) / elapsed, 2),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    """Linux tells the model in a file of its own; elsewhere `platform` knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def interleaved(contenders: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Seconds of every contender in every run, each timed once a run after one unmeasured round.

    What else the machine does then falls on all contenders alike, and the ratio of two times of
    one run says more than the ratio of two averages.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in range(runs + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            if run:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio of two contenders' times in each run."""
    return [a / b for a, b in zip(over, under, strict=True)]


def report(
    setting: Mapping[str, Any], figures: Mapping[str, Sequence[float]], json_file: Path | None
) -> None:
    """Print setting, hardware and a table of median, lowest and highest; write JSON if asked.

    Args:
        setting: what was measured: sizes, data, agreement of the answers.
        figures: one value per run for each row; the row's name gives the unit.
        json_file: gets all of it, every run's value included.
    """
    machine = hardware()
    for name, value in {**setting, **machine}.items():
        if value is not None:
            print(f"{name}: {value}")
    table = [
        (name, len(values), statistics.median(values), min(values), max(values))
        for name, values in figures.items()
    ]
    heads = ("", "n", "median", "lowest", "highest")
    print(f"\n{tabulate(table, heads, tablefmt='plain', floatfmt='.3f')}")
    if json_file is not None:
        rows = {
            name: {"median": statistics.median(values), "values": list(values)}
            for name, values in figures.items()
        }
        write_json(json_file, {"setting": dict(setting), "hardware": machine, "figures": rows})
