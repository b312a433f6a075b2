"""Threads beside a busy process: the number that a training chooses, against one and against all.

    python -m benchmarks.threads                      # mnist28, full width
    python -m benchmarks.threads --busy 1 --precision bf16

Every figure is a process of its own, for the number of threads and the way in which they wait are
settled when torch is loaded. Targets: chosen beside a busy process, at most 1.3 times the time of
one thread; on an idle machine of two cores, at least 1.6 times its rate.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import torch

from benchmarks.harness import options, ratios, report
from dcgan_models import machine
from dcgan_models.networks import Discriminator, Generator, draw_latents, initialise
from dcgan_models.presets import preset
from dcgan_models.training.updates import Updates

_CHOICES = ("one", "chosen", "all")


def main() -> None:
    """Measure and report."""
    parser = options(str(__doc__).splitlines()[0], runs=3)
    parser.add_argument("--preset", default="mnist28")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--timed", choices=_CHOICES, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.timed:
        print(json.dumps(_time(a)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in _CHOICES}
    with _busy(a.busy):
        for _ in range(a.runs):
            for name, values in found.items():
                values.append(_run(name))
    ms = {name: [1e3 * value["seconds"] for value in values] for name, values in found.items()}
    report(
        {
            "a pair of updates": f"{a.preset}, width {a.width:g}, batch {a.batch}, {a.precision}",
            "busy processes beside it": a.busy,
            "threads chosen": [int(value["threads"]) for value in found["chosen"]],
            "load before": round(os.getloadavg()[0], 1),
        },
        {
            **{f"{name}: ms": values for name, values in ms.items()},
            "chosen: times one thread's rate": ratios(ms["one"], ms["chosen"]),
            "all: times one thread's rate": ratios(ms["one"], ms["all"]),
        },
        a.json,
    )


def _run(name: str) -> dict[str, float]:
    words = [sys.executable, "-m", "benchmarks.threads", *sys.argv[1:], "--timed", name]
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True, env=env)
    values: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return values


def _time(a: argparse.Namespace) -> dict[str, float]:
    if a.timed == "chosen":
        machine.choose_threads()
    else:
        torch.set_num_threads(1 if a.timed == "one" else machine.available_cores())
    chosen = preset(a.preset).with_overrides(batch=a.batch, width=a.width)
    networks = Generator(chosen), Discriminator(chosen)
    rng = torch.Generator().manual_seed(0)
    for network in networks:
        initialise(network, rng)
    updates = Updates(
        *networks, precision=machine.choose_precision(a.precision, torch.device("cpu"))
    )
    images = torch.rand((chosen.batch, *chosen.image), generator=rng)
    labels = torch.arange(chosen.batch) % chosen.classes if chosen.classes else None
    seconds = []
    for _ in range(a.steps + 1):
        start = time.perf_counter()
        updates.update_both(images, draw_latents(chosen, chosen.batch, rng), labels)
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds[1:]), "threads": torch.get_num_threads()}


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    code = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    spin = [sys.executable, "-c", code]
    children = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
