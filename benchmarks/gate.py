"""The gate's error rates: the real decision code, with the noise of measured scores.

Two parts. With `--workspace ROOT` the noise is measured: for each group the published generator
draws sets of as many samples as `quality.samples` says, each is scored as the gate does, and the
relative standard deviation over the sets is told for several sizes; and, by random subsets of the
real pictures, how much the loss of a worse generator (its samples with those of the first
snapshot among them) hangs on which pictures are held out. Without it, the noise that was measured
in the `sample` profile is taken.

Then candidates of known quality are put before the gate, and a year and more of weekly
retrainings; for comparison also before the rule that it replaced:

    python -m benchmarks.gate
    python -m benchmarks.gate --workspace . --groups lsun faces
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student_t
from tabulate import tabulate

from benchmarks.harness import options
from dcgan_models.files import write_json
from dcgan_models.metrics.gate import Contender, Rule, decide, score_sets

# Relative standard deviations of a score of one set, `sample` profile (docs/quality.md).
MEASURED = {"albums": 0.025, "svhn": 0.023, "lsun": 0.03, "imagenet": 0.048, "faces": 0.114}
LOSSES = (-0.2, -0.05, 0.0, 0.05, 0.2)
RULE = Rule("score", margin=0.05)
# How much trainings differ that nobody meant to differ: assumed, in shares of the score.
TRAINING = 0.06
RETRAININGS = 200
COURSES: dict[str, Callable[[int], float]] = {
    "equal": lambda week: 1.0,
    "slow rise": lambda week: 1 - 0.3 * week / RETRAININGS,
    "slow fall": lambda week: 1 + 0.3 * week / RETRAININGS,
}

Gate = Callable[[Sequence[float], float, np.random.Generator], tuple[bool, Sequence[float], int]]
"""From true scores (candidate first), noise and randomness: published, what was measured, sets."""


def today(
    true: Sequence[float], noise: float, rng: np.random.Generator
) -> tuple[bool, Sequence[float], int]:
    """The gate as it is."""
    names = [str(number) for number in range(len(true))]
    scores = score_sets(
        names, lambda name, _: true[int(name)] * (1 + noise * rng.standard_normal()), RULE
    )
    candidate, *references = (Contender(name, scores[name]) for name in names)
    published = decide(candidate, references, RULE).publish
    return published, [one.mean for one in (candidate, *references)], len(candidate.scores)


def before(
    true: Sequence[float], noise: float, rng: np.random.Generator
) -> tuple[bool, Sequence[float], int]:
    """The rule that was replaced: three sets, and their noise allowed on top of the margin."""
    scores = np.array(true)[:, None] * (1 + noise * rng.standard_normal((len(true), 3)))
    means = scores.mean(axis=1)
    reference = 1 + int(means[1:].argmin())
    differences = scores[0] - scores[reference]
    half = float(student_t.ppf(0.975, 2)) * differences.std(ddof=1) / math.sqrt(3)
    allowed = RULE.margin * means[reference] + half
    return bool(differences.mean() <= allowed), means.tolist(), 3


def share_published(gate: Gate, loss: float, noise: float, times: int) -> tuple[float, float]:
    """Of candidates that are worse by `loss` the share that is published, and the mean of sets."""
    rng = np.random.default_rng(0)
    found = [gate([1 + loss, 1.0], noise, rng) for _ in range(times)]
    return (
        float(np.mean([published for published, _, _ in found])),
        float(np.mean([sets for _, _, sets in found])),
    )


@dataclass
class Course:
    """What came of retrainings.

    Attributes:
        published: Share of the candidates.
        worse: Of those, the share that was truly worse by more than the margin than the best one.
        mean, worst: Quality of what was published, over the weeks: 100 is that of the first
            candidates on average, and more is better.
    """

    published: float
    worse: float
    mean: float
    worst: float


def retrain(gate: Gate, course: Callable[[int], float], noise: float, times: int) -> Course:
    """Publish by a gate for `RETRAININGS` weeks, `times` times over; the mean of all."""
    counts, worse, qualities = 0, 0, []
    for run in range(times):
        rng = np.random.default_rng(run)
        champion = best = ever = _trained(course(0), rng)
        for week in range(1, RETRAININGS + 1):
            candidate = _trained(course(week), rng)
            published, means, _ = gate([candidate, champion, best], noise, rng)
            if published:
                counts, worse = counts + 1, worse + (candidate > (1 + RULE.margin) * ever)
                best = (candidate, champion, best)[int(np.argmin(means))]
                champion, ever = candidate, min(ever, candidate)
            qualities.append(100 / champion)
    shares = counts / times / RETRAININGS, worse / max(counts, 1)
    return Course(*shares, float(np.mean(qualities)), float(np.min(qualities)))


def _trained(mean: float, rng: np.random.Generator) -> float:
    """The true score of one more training."""
    return float(mean * math.exp(TRAINING * rng.standard_normal()))


# --- What the noise is --------------------------------------------------------------------------


def measure(root: Path, group: str, total: int) -> dict[str, Any]:
    """Noise of a group's published generator, and of its held-out pictures.

    Args:
        root: A workspace in which the group was made.
        group: Its name.
        total: Samples that are drawn in all.
    """
    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics.extractor import load_extractor

    extractor = load_extractor(root / f"models/{group}/extractor")
    real = [
        extractor.features(store.gather(np.linspace(0, len(store) - 1, n).astype(np.int64)))
        for store in (
            PixelStore.open(root / f"data/{group}/training_set", split)
            for split in ("held_out", "train")
        )
        for n in [min(len(store), 3_000)]
    ]
    folder = root / f"models/{group}/candidate/generator"
    n = len(real[0])
    final = _features(load_generator(folder), extractor, max(total, 6 * n))
    (early,) = sorted(folder.glob("snapshots/*"))[:1]
    first = load_generator(folder, weights=f"snapshots/{early.name}")
    found: dict[str, Any] = {"group": group, "held out": n}
    for size in sorted({100, n, 1_000, 2_000}):
        if len(final) >= 6 * size:
            found[f"noise, n {size}"] = _scatter(real[0], final, size)
    other = _features(first, extractor, len(final) // 4)
    found |= _hangs_on_pictures(np.concatenate(real), final, other)
    return found


def _features(generator: Any, extractor: Any, n: int) -> npt.NDArray[np.float32]:
    blocks = [generator.sample(500, 1_000 + block) for block in range(-(-n // 500))]
    return np.concatenate([extractor.features(block) for block in blocks])


def _distance(real: npt.NDArray[np.float32], fake: npt.NDArray[np.float32]) -> float:
    from dcgan_models.metrics.frechet import frechet_distance, moments

    return frechet_distance(moments(real), moments(fake))


def _scatter(real: npt.NDArray[np.float32], fake: npt.NDArray[np.float32], n: int) -> float:
    """Relative standard deviation of a score of `n` samples, over 40 sets at most."""
    starts = range(0, len(fake) - n + 1, n)[:40]
    scores = np.array([_distance(real, fake[start : start + n]) for start in starts])
    return float(scores.std(ddof=1) / scores.mean())


def _hangs_on_pictures(
    real: npt.NDArray[np.float32],
    final: npt.NDArray[np.float32],
    early: npt.NDArray[np.float32],
) -> dict[str, float]:
    """Loss of a worse generator by n held-out pictures, over 30 draws of them: mean and sd."""
    half = len(final) // 2
    one, rest = final[:half], final[half : 2 * half]
    whole = _distance(real, one)
    for share in np.linspace(0.02, 0.48, 24):
        count = int(share * half)
        worse = np.concatenate([rest[count:], early[:count]])
        loss = _distance(real, worse) / whole - 1
        if loss > 0.1 or count >= len(early):
            break
    found = {"true loss": loss}
    rng = np.random.default_rng(0)
    for n in (20, 60, 200, 400):
        draws = [real[rng.choice(len(real), n, replace=False)] for _ in range(30)]
        losses = [_distance(draw, worse) / _distance(draw, one) - 1 for draw in draws]
        # With noise of half of the margin, so much must be seen for it to be kept.
        let_through = np.mean(np.array(losses) <= RULE.margin / 2)
        found |= {
            f"loss by {n}": float(np.mean(losses)),
            f"sd by {n}": float(np.std(losses, ddof=1)),
            f"let through by {n}": float(let_through),
        }
    return found


# --- Reporting ----------------------------------------------------------------------------------


def main() -> None:
    """Measure where asked to, simulate, print."""
    parser = options(str(__doc__).splitlines()[0], runs=10)
    parser.add_argument("--workspace", type=Path, help="measure the noise in this workspace")
    parser.add_argument("--groups", nargs="+", default=list(MEASURED))
    parser.add_argument("--samples", type=int, default=12_000, help="drawn to measure the noise")
    parser.add_argument("--candidates", type=int, default=400, help="for each known quality")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    if arguments.workspace:
        found["noise"] = [
            measure(arguments.workspace, group, arguments.samples) for group in arguments.groups
        ]
        for row in found["noise"]:
            print(tabulate([(k, _percent(v)) for k, v in row.items()], tablefmt="plain"), "\n")
    found["published"] = list(_rates(arguments))
    print(tabulate(found["published"], headers="keys", floatfmt=".0f"), "\n")
    found["retrainings"] = list(_courses(arguments))
    print(tabulate(found["retrainings"], headers="keys", floatfmt=".1f"))
    if arguments.json:
        write_json(arguments.json, found)


def _rates(arguments: argparse.Namespace) -> Any:
    for gate in (before, today):
        for group in arguments.groups:
            rates = [
                share_published(gate, loss, MEASURED[group], arguments.candidates)
                for loss in LOSSES
            ]
            shares = {
                f"{loss:+.0%}": 100 * share for loss, (share, _) in zip(LOSSES, rates, strict=True)
            }
            sets = np.mean([sets for _, sets in rates])
            yield {"gate": gate.__name__, "group": group, **shares, "sets": sets}


def _courses(arguments: argparse.Namespace) -> Any:
    for gate in (before, today):
        for name, course in COURSES.items():
            row = retrain(gate, course, MEASURED["imagenet"], arguments.runs)
            yield {
                "gate": gate.__name__,
                "candidates": name,
                "published, %": 100 * row.published,
                "of them worse, %": 100 * row.worse,
                "mean quality": row.mean,
                "worst": row.worst,
            }


def _percent(value: Any) -> Any:
    return f"{100 * value:.1f} %" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
