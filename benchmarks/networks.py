"""Networks: seconds to build each preset, to open a generator, and the rate of sampling.

    python -m benchmarks.networks

Sampling 10,000 pictures of torch64 is compared with the bare forward passes on latents that lie
ready, in the same batches: what `Generator.sample` adds is drawing z and making uint8 pictures.
Targets: 2 s to build, 1 s to open, at least 0.85 of the bare rate.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_models.networks import (
    Discriminator,
    Generator,
    draw_latents,
    initialise,
    save_network,
    untrained_generator,
)
from dcgan_models.presets import PRESETS, Preset, preset

BATCH = 256
_OPEN = """
import sys, time, torch
from pathlib import Path
began = time.perf_counter()
from dcgan_models import load_generator
load_generator(Path(sys.argv[1]))
print(time.perf_counter() - began, "dagster" in sys.modules)
"""


def main() -> None:
    """Measure and report."""
    parser = options(str(__doc__).splitlines()[0], runs=3)
    parser.add_argument("--pictures", type=int, default=10_000)
    arguments = parser.parse_args()
    figures = {
        f"build {name}, s": [_build(p) for _ in range(arguments.runs)]
        for name, p in PRESETS.items()
    }
    generator = untrained_generator(preset("torch64"), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        save_network(generator, Path(folder))
        figures["open torch64, s"] = [_open(Path(folder)) for _ in range(arguments.runs)]
    n = arguments.pictures
    latents = torch.split(
        draw_latents(generator.preset, n, torch.Generator().manual_seed(0)), BATCH
    )
    seconds = interleaved(
        {
            "sample": lambda: generator.sample(n, seed=0, batch=BATCH),
            "bare": lambda: _bare(generator, latents),
        },
        arguments.runs,
    )
    figures["sample, pictures/s"] = [n / s for s in seconds["sample"]]
    figures["bare forward, pictures/s"] = [n / s for s in seconds["bare"]]
    figures["sample / bare"] = ratios(seconds["bare"], seconds["sample"])
    report({"pictures": n, "batch": BATCH}, figures, arguments.json)


def _build(p: Preset) -> float:
    """Seconds for both networks at full width, initial weights drawn."""
    began = time.perf_counter()
    rng = torch.Generator().manual_seed(0)
    for network in (Generator(p), Discriminator(p)):
        initialise(network, rng)
    return time.perf_counter() - began


def _open(folder: Path) -> float:
    """Seconds to open a generator in a new process, torch being imported already."""
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(folder)], capture_output=True, text=True, check=True
    )
    seconds, dagster = done.stdout.split()
    assert dagster == "False", "opening a generator loaded Dagster"
    return float(seconds)


@torch.inference_mode()
def _bare(generator: Generator, latents: tuple[torch.Tensor, ...]) -> None:
    for z in latents:
        generator(z)


if __name__ == "__main__":
    main()
