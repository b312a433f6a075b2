"""The MNIST chain of a profile, once a seed: quality of the samples and seconds of each asset.

Each run is the pipeline itself, `dcgan materialize` in a workspace of its own. The test digits
are seen by nothing but the last measurement. With `--idx FOLDER` the pictures come from IDX
files, at the sizes of the `paper` profile unless the epochs are cut:

    python -m benchmarks.mnist_quality --runs 3
    python -m benchmarks.mnist_quality --idx /usr/share/datasets/fashion-mnist \
        --profile paper --epochs 1 --runs 1
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.harness import options, report
from dcgan_assets.cli.init import create_workspace
from dcgan_assets.engine.results import Result
from dcgan_assets.engine.store import Meta
from dcgan_assets.params.yaml_files import read_yaml, yaml_text

_SCORES = "results/mnist/nearest_neighbour_scores"
_ASSETS = ("images", "candidate", "fc_candidate", "generator")


def main() -> None:
    """Run the chain `--runs` times with seeds 1, 2, ... and report."""
    parser = options(str(__doc__).splitlines()[0], runs=3)
    parser.add_argument("--profile", default="sample", help="sample, small or paper")
    parser.add_argument("--idx", type=Path, help="folder with IDX files, instead of the source")
    parser.add_argument("--epochs", type=int, help="epochs, and as many of decay")
    parser.add_argument("--references", type=int, nargs="+", help="sizes of the reference set")
    arguments = parser.parse_args()
    figures: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, arguments.runs + 1):
            for name, value in _measure(Path(folder) / str(seed), seed, arguments).items():
                figures[name].append(value)
    setting = {"profile": arguments.profile, "seeds": f"1 to {arguments.runs}"}
    if arguments.idx:
        setting["pictures"] = str(arguments.idx)
    if arguments.epochs:
        setting["epochs"] = f"{arguments.epochs} + {arguments.epochs}"
    report(setting, figures, arguments.json)


def _measure(root: Path, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Make a workspace, run the chain, read what it published."""
    create_workspace(root, arguments.profile)
    _write_params(root / "params.yaml", seed, arguments)
    command = [sys.executable, "-m", "dcgan_assets.cli", "--root", str(root), "materialize"]
    began = time.monotonic()
    subprocess.run(command, check=True)
    figures = {"whole chain, s": time.monotonic() - began}
    for asset in _ASSETS:
        kind = "data" if asset == "images" else "models"
        figures[f"{asset}, s"] = _meta(root / kind / "mnist" / asset).duration_s
    for row in Result.read(root / _SCORES).rows:
        if row.value is not None:
            figures[f"1-NN test error, {row.name}, %"] = row.value
    for name, asset in (("DCGAN", "candidate"), ("GAN", "fc_candidate")):
        verdicts = {v["check"]: v["facts"] for v in _meta(root / "models" / "mnist" / asset).checks}
        figures[f"least label agreement, {name}, %"] = 100 * verdicts["label_agreement"]["least"]
        figures[f"least variety in a class, {name}"] = verdicts["sample_diversity"]["least"]
    return figures


def _write_params(path: Path, seed: int, arguments: argparse.Namespace) -> None:
    params: dict[str, Any] = read_yaml(path)
    params["seed"] = seed
    mnist = params["mnist"]
    if arguments.idx:
        mnist["images"] |= {"source": "folder", "path": str(arguments.idx.resolve())}
    if arguments.epochs:
        for candidate in ("candidate", "fc_candidate"):
            budget = {"epochs": arguments.epochs, "decay_epochs": arguments.epochs}
            mnist[candidate] |= {**budget, "snapshots": []}
            mnist[candidate]["health"] = {"diversity": 0.0, "label_agreement": 0.0}
    if arguments.references:
        mnist["nearest_neighbour_scores"]["references"] = arguments.references
    path.write_text(yaml_text(params), encoding="utf-8")


def _meta(folder: Path) -> Meta:
    meta = Meta.read(folder)
    if meta is None:
        raise SystemExit(f"{folder}: nothing was published")
    return meta


if __name__ == "__main__":
    main()
