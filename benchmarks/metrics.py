"""Time and memory of the quality measures: `python -m benchmarks.metrics`.

10,000 against 10,000 pictures of 64x64 by default; `--pictures` and `--width` cut that. Each
measure of ours runs in a process of its own, whose highest resident memory is reported. Targets
on 2 cores: sliced Wasserstein distance 100 s, MS-SSIM 30 s, the Fréchet family after the features
60 s, 2 GiB. Where torch-fidelity and torchmetrics compute the same from the same features they
run interleaved with ours, and ours should be at least as fast.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.harness import interleaved, options, ratios, report
from dcgan_models.metrics.frechet import frechet_distance, frechet_interval, moments
from dcgan_models.metrics.kernel import kernel_distance
from dcgan_models.metrics.manifolds import manifolds
from dcgan_models.metrics.neighbours import two_sample_test
from dcgan_models.metrics.similarity import mean_similarity
from dcgan_models.metrics.wasserstein import sliced_wasserstein

Array = npt.NDArray[Any]
# torch-fidelity's: so many subsets of so many pictures.
SUBSETS, SUBSET = 100, 1000


def pictures(n: int, seed: int) -> Array:
    """Squares of 8 pixels with fine noise, uint8 (n, 64, 64, 3), made a piece at a time."""
    rng = np.random.default_rng(seed)
    made = np.empty((n, 64, 64, 3), np.uint8)
    for first in range(0, n, 500):
        size = min(500, n - first)
        coarse = rng.integers(40, 216, (size, 8, 8, 3), dtype=np.uint8)
        fine = rng.integers(0, 40, (size, 64, 64, 1), dtype=np.uint8)
        made[first : first + size] = coarse.repeat(8, axis=1).repeat(8, axis=2) + fine
    return made


def features(n: int, width: int, seed: int) -> Array:
    """Correlated features, float32 (n, width)."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(width, width)) / width**0.5
    made: Array = np.abs(rng.normal(size=(n, width)) @ mixing).astype(np.float32)
    return made


def family(real: Array, fake: Array, size: int) -> None:
    """All measures that are taken of features, with their intervals."""
    frechet_interval(real, fake)
    kernel_distance(real, fake, subsets=SUBSETS, size=size)
    manifolds(real, fake)
    two_sample_test(real, fake)


def measure(name: str, n: int, width: int) -> tuple[float, float]:
    """Seconds of one measure, and this process's highest resident memory in GiB."""
    if name == "family":
        pair = features(n, width, 0), features(n, width, 1)
    else:
        pair = pictures(n, 0), pictures(n, 1)
    start = time.perf_counter()
    if name == "swd":
        sliced_wasserstein(*pair)
    elif name == "ms_ssim":
        mean_similarity(pair[1])
    else:
        family(*pair, min(SUBSET, n // 2))
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def contenders(real: Array, fake: Array, size: int) -> dict[str, Callable[[], Any]]:
    """The same numbers by this project and by others."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import calculate_precision_recall_full
    from torchmetrics.image.kid import poly_mmd

    ours, theirs = torch.from_numpy(real), torch.from_numpy(fake)
    polynomial = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    settings = {"kid_subsets": SUBSETS, "kid_subset_size": size, "rng_seed": 1, "verbose": False}

    def torchmetrics_kid() -> None:
        for _ in range(SUBSETS):
            one, other = (x[torch.randperm(len(x))[:size]] for x in (ours, theirs))
            poly_mmd(one, other)

    def torch_fidelity_fid() -> None:
        pair = (fid_features_to_statistics(x) for x in (ours, theirs))
        fid_statistics_to_metric(*pair, False)

    return {
        "Fréchet": lambda: frechet_distance(moments(real), moments(fake)),
        "Fréchet, torch-fidelity": torch_fidelity_fid,
        "kernel": lambda: kernel_distance(real, fake, subsets=SUBSETS, size=size),
        "kernel, torch-fidelity": lambda: kid_features_to_metric(
            theirs, ours, **settings, **polynomial
        ),
        "kernel, torchmetrics": torchmetrics_kid,
        "precision, recall and more": lambda: manifolds(real, fake),
        "precision, recall, torch-fidelity": lambda: calculate_precision_recall_full(theirs, ours),
    }


def main() -> None:
    parser: argparse.ArgumentParser = options("Time and memory of the quality measures.", runs=3)
    parser.add_argument("--pictures", type=int, default=10_000, metavar="N", help="of each kind")
    parser.add_argument("--width", type=int, default=134, metavar="D", help="features")
    parser.add_argument("--skip-pictures", action="store_true", help="only ratios on features")
    arguments = parser.parse_args()
    n, width = arguments.pictures, arguments.width
    figures: dict[str, list[float]] = {}
    context = multiprocessing.get_context("spawn")
    for name in () if arguments.skip_pictures else ("swd", "ms_ssim", "family"):
        for _ in range(arguments.runs):
            # A process for each run: what one allocates is not in the next one's peak.
            with context.Pool(1) as pool:
                seconds, memory = pool.apply(measure, (name, n, width))
            figures.setdefault(f"{name} (s)", []).append(seconds)
            figures.setdefault(f"{name}, peak memory (GiB)", []).append(memory)
    size = min(SUBSET, n // 2)
    everyone = contenders(features(n, width, 0), features(n, width, 1), size)
    seconds_of = interleaved(everyone, arguments.runs)
    for name, other in (
        ("Fréchet", "Fréchet, torch-fidelity"),
        ("kernel", "kernel, torch-fidelity"),
        ("kernel", "kernel, torchmetrics"),
        ("precision, recall and more", "precision, recall, torch-fidelity"),
    ):
        figures[f"{name} (s)"] = seconds_of[name]
        figures[f"{other} (s)"] = seconds_of[other]
        figures[f"speed / that of {other}"] = ratios(seconds_of[other], seconds_of[name])
    setting = {"pictures of each kind": n, "features": width, "kernel subsets of": size}
    report(setting, figures, arguments.json)


if __name__ == "__main__":
    main()
