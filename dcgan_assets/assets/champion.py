"""Training a candidate, judging it, and publishing it or keeping the champion: for any group."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dcgan_assets import metadata as shown
from dcgan_assets.params import Candidate
from dcgan_assets.steps import Check, Outcome, Verdict, Work
from dcgan_models.errors import UserError

HEALTH_CHECKS = (
    Check("finite_losses", "Every logged loss is a finite number."),
    Check("sample_diversity", "Samples of each class vary as the profile asks."),
    Check("label_agreement", "Samples of each class read as that class, by 1-NN on real digits."),
)
_JUDGED_SAMPLES = 2_000
_JUDGE_SEED = 1_000_003


def train_candidate(work: Work, images: str) -> Outcome:
    """Train both networks of the section's preset on an `images` asset and judge their health.

    The work lies in a run folder of its own, so that a stopped or killed run goes on there.
    """
    from dcgan_models.training import TrainConfig, train

    section: Candidate = work.section
    config = TrainConfig(
        preset=section.resolved(),
        data=str(work.input(images)),
        data_version=work.inputs[images].data_version,
        seed=work.seed,
        snapshots=section.snapshots,
        precision=section.precision,
        device=work.params.machine.device,
    )
    run_dir = work.run_dir(train, config.identity())
    reporter = _Reporter(work, config.preset.batch)
    with reporter.bar:
        finished = train(config, run_dir, reporter.tick, work.stop)
    if not finished:
        work.log(f"stopped and saved in {run_dir}; materialise again to go on")
        work.stop.stop_now()
    shutil.copytree(run_dir / "result", work.out(), dirs_exist_ok=True)
    history = _write_history(run_dir, work.out())
    verdicts, facts = _judge_health(work, images, history)
    return Outcome(
        metadata={
            "samples": shown.picture(
                _fixed_grid(work.out() / "generator"), "samples of the fixed latents"
            ),
            "losses": shown.picture_file(work.out() / "losses.png", "losses of D and G"),
            "images_seen_by_D": int(history["images_seen"][-1]),
            "minibatches": int(history["step"][-1]),
            **facts,
        },
        verdicts=verdicts,
    )


class _Reporter:
    """Turns ticks of the training loop into a progress bar and observations in the UI."""

    def __init__(self, work: Work, batch: int) -> None:
        self.work, self.batch = work, batch
        self.bar = work.progress(None, "images")

    def tick(self, tick: Any) -> None:
        """Show one tick; after a resume the bar starts where the run does."""
        self.bar.total = tick.steps * self.batch
        if not self.bar.n:
            self.bar.n = self.bar.initial = tick.step * self.batch
        losses = {"d_loss": tick.d_loss, "g_loss": tick.g_loss}
        losses = {name: loss for name, loss in losses.items() if loss is not None}
        shown = {name: f"{loss:.3f}" for name, loss in losses.items()}
        self.bar.set_postfix({"epoch": f"{tick.epoch:.1f}", **shown}, refresh=False)
        self.bar.update(tick.step * self.batch - self.bar.n)
        self.work.observe(
            {
                "step": tick.step,
                "epoch": tick.epoch,
                "images_per_second": tick.images_per_second,
                **losses,
            }
        )


def _write_history(run_dir: Path, out: Path) -> dict[str, list[Any]]:
    """The log as Parquet and as a picture of both losses; return its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from matplotlib.figure import Figure

    lines = (run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    table = pa.Table.from_pylist([json.loads(line) for line in lines])
    # How fast it went is not part of what was made.
    table = table.drop_columns(["images_per_second"])
    pq.write_table(table, out / "log.parquet")
    history: dict[str, list[Any]] = table.to_pydict()
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(history["epoch"], history["d_loss"], label="D: -log D(x) - log(1 - D(G(z)))")
    axes.plot(history["epoch"], history["g_loss"], label="G: -log D(G(z))")
    axes.set(xlabel="epoch", ylabel="loss, nats")
    axes.legend(frameon=False)
    figure.savefig(out / "losses.png", dpi=100)
    return history


def _judge_health(
    work: Work, images: str, history: dict[str, list[Any]]
) -> tuple[tuple[Verdict, ...], dict[str, Any]]:
    """Judge `HEALTH_CHECKS` on samples against the real training pictures."""
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics import class_spread, share_by_class
    from dcgan_models.nearest import nearest_neighbours

    bounds = work.section.health
    generator = load_generator(work.out() / "generator")
    classes = generator.preset.classes
    labels = np.arange(_JUDGED_SAMPLES, dtype=np.int64) % classes
    samples = generator.sample(_JUDGED_SAMPLES, _JUDGE_SEED, labels)
    store = PixelStore.open(work.input(images), "train")
    real = store.gather(np.arange(len(store)))
    diversity = class_spread(samples, labels, classes) / class_spread(real, store.labels, classes)
    blocks = [(_flat(real), torch.from_numpy(store.labels))]
    read_as = nearest_neighbours(_flat(samples), blocks).label.numpy()
    agreement = share_by_class(read_as == labels, labels, classes)
    losses = [loss for loss in history["d_loss"] + history["g_loss"] if loss is not None]
    finite = bool(np.isfinite(losses).all())
    verdicts = (
        Verdict("finite_losses", finite, {"ticks": len(history["step"])}),
        Verdict(
            "sample_diversity",
            bool(diversity.min() >= bounds.diversity),
            {"least": round(float(diversity.min()), 3), "bound": bounds.diversity},
        ),
        Verdict(
            "label_agreement",
            bool(agreement.min() >= bounds.label_agreement),
            {"least": round(float(agreement.min()), 3), "bound": bounds.label_agreement},
        ),
    )
    by_class = shown.table(
        [
            {"label": i, "agreement": round(float(a), 3), "diversity": round(float(d), 3)}
            for i, (a, d) in enumerate(zip(agreement, diversity, strict=True))
        ]
    )
    facts = {
        "label_agreement": float(agreement.mean()),
        "diversity": float(diversity.mean()),
        "by_class": by_class,
    }
    return verdicts, facts


def _flat(pixels: npt.NDArray[np.uint8]) -> Any:
    """Pictures as float32 (n, pixels) in [0, 1], the space of the nearest neighbours."""
    import torch

    return torch.from_numpy(pixels.reshape(len(pixels), -1)).float() / 255


def _fixed_grid(folder: Path) -> npt.NDArray[np.uint8]:
    from dcgan_models import load_generator
    from dcgan_models.training.loop import fixed_grid

    return fixed_grid(load_generator(folder))


def publish_champion(work: Work, candidate: str, images: str, samples: int) -> Outcome:
    """Publish the candidate's networks, or keep what is published, and say why.

    An unhealthy candidate is never published. A healthy one wins where nothing is published
    yet, or when its 1-NN error on the validation pictures is not above the champion's.

    Raises:
        UserError: The candidate is unhealthy and there is no champion to keep.
    """
    failed = [check["check"] for check in work.input_meta(candidate).checks if not check["passed"]]
    champion = work.published(work.step.key)
    if failed and champion is None:
        raise UserError(
            f"{work.step.key}: the candidate is unhealthy ({', '.join(failed)}) and nothing is "
            f"published yet; look at {candidate}, then change params.yaml or the seed"
        )
    facts: dict[str, Any] = {}
    wins = not failed
    reason = f"candidate failed {', '.join(failed)}" if failed else "first healthy candidate"
    if wins:
        error, _ = generator_quality(work, work.input(candidate) / "generator", images, samples)
        facts["validation_error"] = error
        if champion is not None:
            standing, _ = generator_quality(work, champion, images, samples)
            facts["champion_validation_error"] = standing
            wins = error <= standing
            reason = f"validation error {error:.4f} against the champion's {standing:.4f}"
    if wins:
        for key in work.step.outputs:
            role = "discriminator" if key.endswith("discriminator") else "generator"
            shutil.copytree(work.input(candidate) / role, work.out(key), dirs_exist_ok=True)
    else:
        work.keep_published()
    grid = _fixed_grid(work.out())
    return Outcome(
        metadata={
            "decision": "published the candidate" if wins else "kept the champion",
            "reason": reason,
            "samples": shown.picture(grid, "samples of the fixed latents"),
            **facts,
        }
    )


def generator_quality(
    work: Work, generator: Path, images: str, samples: int
) -> tuple[float, float]:
    """How good a conditional generator is, by the validation pictures.

    Returns:
        The 1-NN error on them with samples as references, and the least spread of samples within
        a class as a share of theirs.
    """
    import torch

    from dcgan_models import load_generator
    from dcgan_models.data import PixelStore
    from dcgan_models.generated import labelled_blocks
    from dcgan_models.metrics import class_spread
    from dcgan_models.nearest import nearest_neighbour_errors

    store = PixelStore.open(work.input(images), "validation")
    real = store.gather(np.arange(len(store)))
    network = load_generator(generator)
    blocks = labelled_blocks(network, samples, _JUDGE_SEED)
    labels = torch.from_numpy(store.labels)
    error = nearest_neighbour_errors(_flat(real), labels, blocks)[-1].error
    classes = network.preset.classes
    drawn_labels = np.arange(_JUDGED_SAMPLES, dtype=np.int64) % classes
    drawn = network.sample(_JUDGED_SAMPLES, _JUDGE_SEED, drawn_labels)
    spread = class_spread(drawn, drawn_labels, classes)
    return error, float((spread / class_spread(real, store.labels, classes)).min())
