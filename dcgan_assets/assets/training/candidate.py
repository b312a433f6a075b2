"""Training a candidate and judging its health: for any group."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_assets.assets.training.training_set import TRAIN, require_current
from dcgan_assets.engine.launcher import train_somewhere
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.run_folders import open_run, where_it_begins
from dcgan_assets.engine.step import GPU, Check, Outcome, Step, StepMaker, Verdict
from dcgan_assets.engine.terminal import say
from dcgan_assets.params.training import Candidate

TRAINING_CHECKS = (
    Check("finite_losses", "Every logged loss is a finite number."),
    Check("d_loss_above_zero", "D is not so sure that G has nothing left to learn from."),
    Check("g_loss_above_zero", "G does not deceive D so surely that D has nothing to learn from."),
    Check("losses_within_reach", "Neither network is beaten: its loss is not beyond all hope."),
    Check("losses_move", "Losses change from tick to tick: something is learned."),
    Check("diversity_kept", "Pictures of fixed z vary as much as they once did, or half of it."),
    Check("filters_settled", "Few of G's channels show one map for every z, to and fro."),
)
GROUP_CHECKS = (Check("sample_diversity", "Samples vary as the profile asks."),)
# Among a check's facts: it passed because the log was too short for it.
NOT_MEASURED = "not measured"
_JUDGED_SAMPLES = 1_000
_JUDGE_SEED = 1_000_003
Judged = tuple[tuple[Verdict, ...], dict[str, Any]]


def make_candidate(work: Work) -> Outcome:
    """Train on the group's training set."""
    require_current(work)
    return train_candidate(work, work.sibling("training_set"), _judge_samples)


def candidate_step(step: StepMaker, about: str) -> Step:
    """A group's `candidate`; `about` says what the pictures are."""
    return step(
        "candidate",
        inputs=(step.pictures, "training_set"),
        kind="models",
        compute=make_candidate,
        checks=TRAINING_CHECKS + GROUP_CHECKS,
        pool=GPU,
        seeded=True,
        transient=True,
        kinds=frozenset({"pytorch"}),
        description=f"A DCGAN trained on {about} (sections 3 and 4). Not yet published.",
    )


def train_candidate(
    work: Work, data: str, judge: Callable[[Work, Any], Judged] | None = None
) -> Outcome:
    """Train both networks of the section's preset and judge their health.

    The work lies in a run folder of its own, so that a stopped or killed run goes on there, and
    one of a longer budget goes on from what a shorter one did.

    Args:
        data: Key of the data set.
        judge: Judges the trained generator by the group's own checks; gives verdicts, metadata.
    """
    from dcgan_models import load_generator
    from dcgan_models.grids import write_png
    from dcgan_models.training import TrainConfig
    from dcgan_models.training.loop import read_log

    section: Candidate = work.section
    config = TrainConfig(
        preset=section.resolved(),
        data=str(work.input(data)),
        data_version=work.inputs[data].data_version,
        seed=work.seed,
        snapshots=section.snapshots,
        precision=section.precision,
        compile=section.compile,
        device=work.params.machine.device,
    )
    run_dir, beginning = open_run(work, config)
    say(where_it_begins(work, config, beginning))
    reporter = _Reporter(work, config.preset.batch, read_log(run_dir))
    with reporter.bar:
        finished = train_somewhere(work, config, run_dir, reporter.tick)
    if not finished:
        work.log(f"stopped and saved in {run_dir}; materialise again to go on")
        work.stop.stop_now()
    shutil.copytree(run_dir / "result", work.out(), dirs_exist_ok=True)
    history = read_log(run_dir)
    _write_history(history, work.out())
    generator = load_generator(work.out() / "generator", device=work.params.machine.device)
    write_png(work.out() / "samples.png", generator.fixed_grid())
    verdicts, facts = judge(work, generator) if judge else ((), {})
    return Outcome(
        metadata={
            "images_seen_by_D": history[-1]["images_seen"],
            "minibatches": history[-1]["step"],
            **facts,
        },
        verdicts=(*_judge_training(history), *verdicts),
        figures={"samples.png": "samples of the fixed latents", "losses.png": "losses of D and G"},
    )


class _Reporter:
    """Turns ticks of the training loop into a progress bar, observations and warnings."""

    def __init__(self, work: Work, batch: int, history: list[dict[str, Any]]) -> None:
        self.work, self.batch, self.history = work, batch, history
        self.bar = work.progress(None, "images")
        self.ailing: set[str] = set()

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
                "fixed_z_spread": tick.fixed_z_spread,
                "oscillating_filters": tick.oscillating_filters,
                **losses,
            }
        )
        self._warn(vars(tick))

    def _warn(self, line: dict[str, Any]) -> None:
        """Say so when a rule of health begins to fail, once until it holds again."""
        from dcgan_models.training.health import judge_health

        self.history = [old for old in self.history if old["step"] < line["step"]] + [line]
        findings = judge_health(self.history)
        for finding in findings:
            if finding.healthy is False and finding.rule not in self.ailing:
                self.work.warn(f"step {line['step']}: {finding.words}")
        self.ailing = {finding.rule for finding in findings if finding.healthy is False}


def _write_history(history: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The log as Parquet, and a picture of the losses and the diversity of fixed z."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from matplotlib.figure import Figure

    # How fast it went is not part of what was made.
    table = pa.Table.from_pylist(list(history)).drop_columns(["images_per_second"])
    pq.write_table(table, out / "log.parquet")
    columns = table.to_pydict()
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    losses, spread = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    losses.plot(columns["epoch"], columns["d_loss"], label="D: -log D(x) - log(1 - D(G(z)))")
    losses.plot(columns["epoch"], columns["g_loss"], label="G: -log D(G(z))")
    losses.set(ylabel="loss, nats")
    losses.legend(frameon=False)
    spread.plot(columns["epoch"], columns["fixed_z_spread"], color="C2")
    spread.set(xlabel="epoch", ylabel="spread of fixed z", ylim=(0, None))
    figure.savefig(out / "losses.png", dpi=100)


def _judge_training(history: Sequence[Mapping[str, Any]]) -> tuple[Verdict, ...]:
    """Judge `TRAINING_CHECKS` by the log.

    What a short log does not show keeps nothing from being published, and is named where it is
    decided: a training of a few minibatches is a trial, and its samples are judged all the same.
    """
    from dcgan_models.training.health import judge_health

    losses = [line[name] for line in history for name in ("d_loss", "g_loss")]
    finite = bool(np.isfinite([loss for loss in losses if loss is not None]).all())
    verdicts = [Verdict("finite_losses", finite, {"ticks": len(history)})]
    for finding in judge_health(history):
        facts: dict[str, Any] = {"bound": finding.bound}
        if finding.value is not None:
            facts["value"] = float(f"{finding.value:.4g}")
        if finding.healthy is None:
            facts[NOT_MEASURED] = f"{len(history)} ticks of the log are too few"
        verdicts.append(Verdict(finding.rule, finding.healthy is not False, facts))
    return tuple(verdicts)


def _judge_samples(work: Work, generator: Any) -> Judged:
    """Judge `GROUP_CHECKS` against as many training pictures."""
    from dcgan_models.data import PixelStore
    from dcgan_models.metrics import class_spread

    store = PixelStore.open(work.input(work.sibling("training_set")), TRAIN)
    real = store.gather(np.linspace(0, len(store) - 1, _JUDGED_SAMPLES).astype(np.int64))
    samples = generator.sample(_JUDGED_SAMPLES, _JUDGE_SEED)
    one_class = np.zeros(_JUDGED_SAMPLES, np.int64)
    spreads = [float(class_spread(p, one_class, 1)[0]) for p in (samples, real)]
    diversity, bound = spreads[0] / spreads[1], work.section.health.diversity
    verdict = Verdict(
        "sample_diversity", diversity >= bound, {"share": round(diversity, 3), "bound": bound}
    )
    return (verdict,), {"diversity": diversity}
