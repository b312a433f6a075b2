"""How fast a training step is, beside the step that most PyTorch code takes (textbook.py).

    python -m benchmarks.train_step                              # pictures resident in both
    python -m benchmarks.train_step --loading                    # each with its own loading
    python -m benchmarks.train_step --processes 2                # beside one process
    python -m benchmarks.train_step --preset lsun64 --batch 2 --memory 1000

A step is one of D and one of G on a minibatch, whatever the preset's schedule, so that both do
the same work. Targets (torch64, batch 128): on two cores float32 at least 1.4 times the textbook,
bfloat16 2.5 times where the processor has it; on one H200 3 times resident and 10 with loading,
lsun64 at 30 to 45% of the measured product rate and an epoch of LSUN in 90 s.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness import interleaved, options, ratios, report
from benchmarks.textbook import resident_minibatches, textbook_minibatches, textbook_step
from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.machine import choose_compile, choose_device, choose_precision
from dcgan_models.networks import Discriminator, Generator, draw_latents, from_pixels, initialise
from dcgan_models.presets import Preset, preset
from dcgan_models.training.config import Loading
from dcgan_models.training.pictures import Order, Pictures, open_pictures
from dcgan_models.training.team import Team, join_team
from dcgan_models.training.updates import Updates

Step = Callable[[], None]
_KINDS = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_LSUN_MINIBATCHES = 21_563  # 2.76 million pictures by 128


def main() -> None:
    """Measure what the options ask for and report it."""
    parser = options(str(__doc__).splitlines()[0], runs=3)
    parser.add_argument("--preset", default="torch64")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=2, help="steps a run")
    parser.add_argument("--pictures", type=int, default=4096)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--compile", nargs="+", default=["off", "default"], help="modes of torch.compile, or off"
    )
    parser.add_argument("--loading", action="store_true", help="from disk, each in its own way")
    parser.add_argument("--processes", type=int, help="compare so many with one")
    parser.add_argument(
        "--own-norms", action="store_true", help="of several processes, each its own statistics"
    )
    parser.add_argument("--memory", type=int, metavar="STEPS", help="resident memory over STEPS")
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    chosen = preset(a.preset).with_overrides(width=a.width, batch=a.batch)
    with tempfile.TemporaryDirectory() as folder:
        if a.timed:
            _time_in_team(chosen, a, Path(folder))
        elif a.processes:
            _compare_processes(a)
        elif a.memory:
            _watch_memory(chosen, a, Path(folder))
        else:
            _compare_textbook(chosen, a, Path(folder))


def our_step(
    chosen: Preset,
    device: torch.device,
    pictures: Pictures,
    precision: torch.dtype,
    compiled: str | None,
    team: Team,
    *,
    own_norms: bool = False,
) -> Step:
    """A step of both networks, as the training loop takes it."""
    networks = Generator(chosen), Discriminator(chosen)
    for network in networks:
        initialise(network, torch.Generator().manual_seed(0))
        network.to(device)
    updates = Updates(*networks, precision=precision, compiled=compiled, team=team)
    if not own_norms:
        team.synchronise_norms(*networks)
    latents, share = torch.Generator(device).manual_seed(0), team.share(chosen.batch)
    numbers = itertools.count()

    def step() -> None:
        images = from_pixels(pictures.pixels(next(numbers)), chosen)
        updates.update_both(images, draw_latents(chosen, chosen.batch, latents)[share], None)

    return step


def _compare_textbook(chosen: Preset, a: argparse.Namespace, folder: Path) -> None:
    device = choose_device(a.device)
    native = choose_precision(a.precision, device)
    store = _write_noise(folder, chosen, a.pictures)
    order = Order(len(store), chosen.batch, 0, Team())
    loading: Loading = "streamed" if a.loading else "resident"

    def ours(precision: torch.dtype, mode: str | None) -> Step:
        pictures = open_pictures(store, order.on("cpu"), device, loading, itertools.count())
        return our_step(chosen, device, pictures, precision, mode, Team())

    if a.loading:
        theirs = textbook_minibatches(store, chosen.batch, device)
    else:
        images = from_pixels(store.to_device(device), chosen).contiguous()
        theirs = resident_minibatches(images, chosen.batch)
    steps = {"textbook": textbook_step(chosen, device, theirs)}
    for precision in dict.fromkeys((torch.float32, native)):
        for name in a.compile:
            steps[f"{_KINDS[precision]}, compile {name}"] = ours(
                precision, choose_compile(name, device, sys.maxsize)
            )
    work = _flops(ours(torch.float32, None))
    ceiling = {p: _product_rate(device, p) for p in (torch.float32, native)}
    contenders = {name: _repeated(step, a.steps, device) for name, step in steps.items()}
    seconds = interleaved(contenders, a.runs)
    figures = {}
    for name, runs in seconds.items():
        values = [s / a.steps for s in runs]
        figures[f"{name}: ms a step"] = [1e3 * s for s in values]
        figures[f"{name}: pictures a second"] = [chosen.batch / s for s in values]
        if name != "textbook":
            figures[f"{name}: times the textbook's rate"] = ratios(
                [s / a.steps for s in seconds["textbook"]], values
            )
            top = ceiling[torch.bfloat16 if name.startswith("bf16") else torch.float32]
            figures[f"{name}: share of the product rate"] = [work / s / top for s in values]
            # The paper's schedule spends a minibatch on one network: half of such a step.
            epoch = [_LSUN_MINIBATCHES * s / 2 for s in values]
            if chosen.name == "lsun64" and chosen.batch == 128:
                figures[f"{name}: s an epoch of LSUN, extrapolated"] = epoch
    report(
        {
            "step": f"{chosen.name}, batch {chosen.batch}, {a.steps} a run",
            "loading": "each its own" if a.loading else "resident in both",
            "GFLOP a picture": round(work / chosen.batch / 1e9, 2),
            **{f"{_KINDS[p]} product, TFLOP/s": round(c / 1e12, 3) for p, c in ceiling.items()},
        },
        figures,
        a.json,
    )


def _repeated(step: Step, steps: int, device: torch.device) -> Step:
    """So many steps, and the device's own end."""

    def run() -> None:
        for _ in range(steps):
            step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _flops(step: Step) -> int:
    """Operations of convolutions and products in a step, forward and backward, as torch counts."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def _product_rate(device: torch.device, precision: torch.dtype) -> float:
    """The machine's own ceiling: operations a second of a large square matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))

    def multiply() -> None:
        torch.mm(one, other)

    seconds = interleaved({"product": _repeated(multiply, 1, device)}, 7)["product"]
    return 2 * side**3 / statistics.median(seconds)


def _write_noise(folder: Path, chosen: Preset, n: int) -> PixelStore:
    """A data set of noise: what a picture shows does not change how long it takes."""
    channels, height, width = chosen.image
    rng = np.random.default_rng(0)
    np.save(folder / "shard.npy", rng.integers(0, 256, (n, height, width, channels), np.uint8))
    keys = [str(i) for i in range(n)]
    columns = {"key": keys, "shard": [0] * n, "row": range(n), "label": [-1] * n}
    pq.write_table(pa.table({**columns, "split": ["train"] * n}), folder / "index.parquet")
    write_dataset(folder, index="index.parquet", shards=["shard.npy"])
    return PixelStore.open(folder)


# --- Several processes ----------------------------------------------------------------------


def _compare_processes(a: argparse.Namespace) -> None:
    """One process with every core beside several with one share each, in turn."""
    seconds: dict[int, list[float]] = {1: [], a.processes: []}
    for _ in range(a.runs):
        for processes, values in seconds.items():
            values.append(_run_team(processes, a))
    one, several = seconds[1], seconds[a.processes]
    report(
        {
            "step": f"{a.preset}, batch {a.batch} in all, {a.steps} a run, their median",
            "batch norm": "of each process's share" if a.own_norms else "of the whole minibatch",
        },
        {
            "one process: ms a step": [1e3 * s for s in one],
            f"{a.processes} processes: ms a step": [1e3 * s for s in several],
            f"{a.processes} processes: times one process's rate": ratios(one, several),
        },
        a.json,
    )


def _run_team(processes: int, a: argparse.Namespace) -> float:
    """Seconds a step, as the process that leads measures them."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    words = ["--preset", a.preset, "--batch", str(a.batch), "--steps", str(a.steps)]
    words += ["--width", str(a.width), "--device", a.device, "--pictures", str(a.pictures)]
    words += ["--own-norms"] if a.own_norms else []
    threads = max(1, (os.cpu_count() or 1) // processes)
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "benchmarks.train_step", "--timed", *words],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def _time_in_team(chosen: Preset, a: argparse.Namespace, folder: Path) -> None:
    device = choose_device(a.device)
    with join_team() as team:
        store = _write_noise(folder, chosen, a.pictures)
        order = Order(len(store), chosen.batch, 0, team)
        pictures = open_pictures(store, order, device, "resident", itertools.count())
        precision = choose_precision(a.precision, device)
        step = our_step(chosen, device, pictures, precision, None, team, own_norms=a.own_norms)
        seconds = interleaved({"step": _repeated(step, 1, device)}, a.steps)["step"]
        if team.leads:
            print(json.dumps(statistics.median(seconds)))


# --- Memory ---------------------------------------------------------------------------------


def _watch_memory(chosen: Preset, a: argparse.Namespace, folder: Path) -> None:
    """Resident memory at every tenth of so many steps."""
    device = choose_device(a.device)
    store = _write_noise(folder, chosen, a.pictures)
    order = Order(len(store), chosen.batch, 0, Team())
    pictures = open_pictures(store, order, device, "resident", itertools.count())
    step = our_step(chosen, device, pictures, torch.float32, None, Team())
    resident = []
    for _ in range(10):
        _repeated(step, a.memory // 10, device)()
        resident.append(psutil.Process().memory_info().rss / 2**20)
    began = time.strftime("%H:%M:%S")
    report(
        {"step": f"{chosen.name}, batch {chosen.batch}, {a.memory} steps", "ended": began},
        {
            "MiB resident": resident,
            "MiB at the end less MiB at a tenth": [resident[-1] - resident[0]],
        },
        a.json,
    )


if __name__ == "__main__":
    main()
