"""MNIST: conditional DCGAN, fully connected GAN, Figure 9 and the nearest-neighbour table (8.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets.assets.digits.digit_quality import DIGIT_CHECKS, digit_contest, judge_digits
from dcgan_assets.assets.digits.images import mnist_images_step
from dcgan_assets.assets.internals.explorer.making import explorer_step
from dcgan_assets.assets.pictures.shards import stand_in
from dcgan_assets.assets.publishing.champion import Choice, choose_by, publish_champion
from dcgan_assets.assets.shares import more_often, share_row
from dcgan_assets.assets.training.candidate import TRAINING_CHECKS, train_candidate
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.results import LOSSES_FILE, Row
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.params.digits import NearestNeighbourScores, SamplePanels

_DIGITS = 10
_REFERENCE_SEED = 50_000

_step = StepMaker("mnist", "mnist")


def _candidate(work: Work) -> Outcome:
    return train_candidate(work, "mnist/images", judge_digits)


def _candidate_step(name: str, description: str) -> Step:
    return _step(
        name,
        inputs=("images",),
        kind="models",
        compute=_candidate,
        kinds=frozenset({"pytorch"}),
        pool=GPU,
        seeded=True,
        transient=True,
        checks=TRAINING_CHECKS + DIGIT_CHECKS,
        description=description,
    )


_CANDIDATES = (
    _candidate_step(
        "candidate",
        "A conditional DCGAN on digits (section 8.1): batch norm without scale and shift, the "
        "label at every layer, sigmoid output. Trained, not yet published.",
    ),
    _candidate_step(
        "fc_candidate",
        "The permutation-invariant GAN that the paper compares with (section 8.1): dense layers "
        "only, otherwise trained alike. Its layers are our choice.",
    ),
)


def _publish(work: Work) -> Outcome:
    return _publish_better(work, "mnist/candidate")


def _publish_fc(work: Work) -> Outcome:
    return _publish_better(work, "mnist/fc_candidate")


def _publish_better(work: Work, candidate: str) -> Outcome:
    def choose(failed: tuple[str, ...], champion: Path | None) -> Choice:
        contest = digit_contest(work, work.input(candidate) / "generator", champion)
        return choose_by(work, candidate, contest, failed, champion)

    return publish_champion(work, candidate, choose, snapshots=False)


def _published_step(
    names: tuple[str, ...], candidate: str, compute: Callable[[Work], Outcome], description: str
) -> Step:
    return _step(
        names,
        inputs=(candidate, "images"),
        section="publish",
        kind="models",
        compute=compute,
        kinds=frozenset({"pytorch"}),
        shows=(LOSSES_FILE,),
        description=description,
    )


_NETWORKS = (
    _published_step(
        ("generator", "discriminator"),
        "candidate",
        _publish,
        "The published networks of section 8.1: the candidate if it is healthy, does not copy the "
        "training digits and is, by 1-NN error on the validation digits, with 95% confidence not "
        "worse than the best on record by more than the margin; else the champion as it was.",
    ),
    _published_step(
        ("fc_generator",),
        "fc_candidate",
        _publish_fc,
        "The published permutation-invariant generator (section 8.1), chosen as `mnist/generator` "
        "is.",
    ),
)


# --- Figure 9 -------------------------------------------------------------------------------


def _sample_panels(work: Work) -> Outcome:
    """Real digits, GAN and DCGAN side by side: ten rows, a digit each."""
    from matplotlib.figure import Figure

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.grids import tile

    section: SamplePanels = work.section
    store = PixelStore.open(work.input("mnist/images"), "train")
    panels = {"MNIST": _real_rows(store, section.columns[0])}
    for title, key, columns in (
        ("GAN", "mnist/fc_generator", section.columns[1]),
        ("DCGAN", "mnist/generator", section.columns[2]),
    ):
        generator = load_generator(work.input(key), device=work.params.machine.device)
        panels[title] = _fixed_rows(generator, columns)
    figure = Figure(figsize=(sum(section.columns) * 0.4 + 0.6, _DIGITS * 0.4 + 0.4))
    axes = figure.subplots(1, 3, width_ratios=section.columns, gridspec_kw={"wspace": 0.06})
    for axis, (title, pictures), columns in zip(axes, panels.items(), section.columns, strict=True):
        axis.imshow(tile(pictures, columns)[..., 0], cmap="gray", vmin=0, vmax=255)
        axis.set_title(title)
        axis.set_axis_off()
    figure.savefig(work.out() / "figure.png", dpi=150, bbox_inches="tight")
    return Outcome(figures={"figure.png": "Figure 9: real, GAN, DCGAN"})


_SAMPLE_PANELS = _step(
    "sample_panels",
    inputs=("images", "fc_generator", "generator"),
    kind="results",
    compute=_sample_panels,
    kinds=frozenset({"matplotlib"}),
    shows=("figure.png",),
    shows_pictures=True,
    description="Figure 9: real digits, GAN and DCGAN side by side, a row a digit.",
)


def _real_rows(store: Any, columns: int) -> npt.NDArray[np.uint8]:
    """The first `columns` training digits of each class, (10 * columns, 28, 28, 1)."""
    rows = [np.flatnonzero(store.labels == digit)[:columns] for digit in range(_DIGITS)]
    pictures: npt.NDArray[np.uint8] = store.gather(np.concatenate(rows))
    return pictures


def _fixed_rows(generator: Any, columns: int) -> npt.NDArray[np.uint8]:
    """Samples of the first fixed latents of each class, (10 * columns, 28, 28, 1)."""
    labels = generator.fixed_labels
    rows = np.concatenate(
        [np.flatnonzero(labels.numpy() == digit)[:columns] for digit in range(_DIGITS)]
    )
    pictures: npt.NDArray[np.uint8] = generator.draw(generator.fixed_z[rows], labels[rows])
    return pictures


# --- The table ------------------------------------------------------------------------------

# Test error in percent, from the MNIST table of the paper (Table 2 in v1, 3 in v2).
_PAPER = {
    ("real", 50_000): 3.1,
    ("GAN", 50_000): 6.28,
    ("GAN", 10_000_000): 5.65,
    ("DCGAN", 50_000): 2.98,
    ("DCGAN", 10_000_000): 1.48,
}
_PAPER_ONLY = {("AlignMNIST", 10_000_000): 1.4, ("InfiMNIST", 10_000_000): 2.6}


def _nearest_neighbour_scores(work: Work) -> Outcome:
    """Test error of a 1-nearest-neighbour classifier whose references were generated."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.machine import choose_device
    from dcgan_models.neighbours.generated import labelled_blocks

    section: NearestNeighbourScores = work.section
    test = PixelStore.open(work.input("mnist/images"), "test")
    device = choose_device(work.params.machine.device)
    queries = _all_pixels(test).to(device), torch.from_numpy(test.labels)
    train = PixelStore.open(work.input("mnist/images"), "train")
    real = [(_all_pixels(train), torch.from_numpy(train.labels))]
    errors = {("real", len(train)): _errors(queries, iter(real), (len(train),))[len(train)]}
    sizes = tuple(sorted(section.references))
    for name, key in (("GAN", "mnist/fc_generator"), ("DCGAN", "mnist/generator")):
        generator = load_generator(work.input(key), device=work.params.machine.device)
        blocks = labelled_blocks(generator, sizes[-1], _REFERENCE_SEED)
        with work.progress(sizes[-1], f"{name} images") as bar:
            found = _errors(queries, _counted(blocks, bar), sizes)
        errors |= {(name, size): error for size, error in found.items()}
    rows = _rows(errors, len(test))
    work.result(
        paper_ref="section 8.1, the MNIST nearest-neighbour table",
        stand_in=stand_in(work),
        rows=rows,
        notes="References are generated, queries are the test digits; Euclidean, raw pixels.",
    ).write(work.out())
    best = {name: errors[name, sizes[-1]] for name in ("GAN", "DCGAN")}
    return Outcome(
        metadata={
            "table": shown.table([_shown(row) for row in rows]),
            "dcgan_error": best["DCGAN"],
            "gan_error": best["GAN"],
        },
        verdicts=judge_errors(best, section.max_error, len(test)),
    )


def judge_errors(best: Mapping[str, float], bound: float, n: int) -> tuple[Verdict, ...]:
    """Judge `ERROR_CHECKS`.

    Args:
        best: Test error of `DCGAN` and of `GAN`, as a share.
        bound: Of the DCGAN's.
        n: Test digits.
    """
    wrong, wrong_of_gan = (round(best[name] * n) for name in ("DCGAN", "GAN"))
    return (
        Verdict("error_bound", best["DCGAN"] <= bound, {"error": best["DCGAN"], "bound": bound}),
        Verdict("better_than_gan", more_often(wrong_of_gan, n, wrong, n), dict(best)),
    )


ERROR_CHECKS = (
    Check("error_bound", "The DCGAN's 1-NN test error is within the profile's bound."),
    Check(
        "better_than_gan",
        "The DCGAN's error is below the fully connected GAN's, by Fisher's exact test at 5%.",
    ),
)


_NEAREST_NEIGHBOUR_SCORES = _step(
    "nearest_neighbour_scores",
    inputs=("images", "fc_generator", "generator"),
    kind="results",
    compute=_nearest_neighbour_scores,
    kinds=frozenset({"table"}),
    shows=("result.json",),
    checks=ERROR_CHECKS,
    description=(
        "The MNIST table (section 8.1; Table 2 in arXiv v1, Table 3 in v2): test error of a "
        "nearest-neighbour classifier whose labelled references were generated."
    ),
)


def _all_pixels(store: Any) -> Any:
    from dcgan_models.neighbours.nearest import flat_pixels

    return flat_pixels(store.gather(np.arange(len(store))))


def _counted(blocks: Iterator[Any], bar: Any) -> Iterator[Any]:
    for pixels, labels in blocks:
        yield pixels, labels
        bar.update(len(labels))


def _errors(queries: Any, blocks: Iterator[Any], sizes: tuple[int, ...]) -> dict[int, float]:
    """Test error at each size of the reference set."""
    from dcgan_models.neighbours.nearest import nearest_neighbour_errors

    found = nearest_neighbour_errors(queries[0], queries[1], blocks, sizes)
    return {error.references: error.error for error in found}


def _rows(errors: dict[tuple[str, int], float], n: int) -> list[Row]:
    """Our rows with the paper's number beside them, then the rows that only the paper has."""
    rows = [
        share_row(
            f"{name} @{size:,}",
            round(error * n),
            n,
            measure="test error",
            split="test",
            protocol="the paper's",
            paper=_PAPER.get((name, size)),
            source="1-NN on the test digits",
        )
        for (name, size), error in errors.items()
    ]
    rows += [
        Row(
            name=f"{name} @{size:,}",
            measure="test error",
            unit="%",
            split="test",
            protocol="the paper's",
            paper=value,
            source="the paper alone",
        )
        for (name, size), value in (_PAPER | _PAPER_ONLY).items()
        if (name, size) not in errors
    ]
    return rows


def _shown(row: Row) -> dict[str, Any]:
    span = None if row.low is None else f"{row.low} to {row.high}"
    return {
        "references": row.name,
        "test error %": row.value,
        "interval": span,
        "paper %": row.paper,
    }


STEPS = (
    mnist_images_step(_step),
    *_CANDIDATES,
    *_NETWORKS,
    _SAMPLE_PANELS,
    _NEAREST_NEIGHBOUR_SCORES,
)
EXPLORER = explorer_step(_step, pictures="images")
