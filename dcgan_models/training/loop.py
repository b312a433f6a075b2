"""The training loop: two networks, one minibatch at a time, stoppable and resumable at any step.

It does what the authors' code did (mnist/train_cond_dcgan.py, faces/train_uncond_dcgan.py):
alternating updates on different minibatches, real and generated pictures through D as separate
batches, the non-saturating loss for G. On CPU a run is a function of its configuration and its
number of threads, which the state keeps: stopped anywhere and resumed, it ends in the same bits.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_models.adam import Adam
from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic
from dcgan_models.grids import write_png
from dcgan_models.machine import (
    choose_compile,
    choose_device,
    choose_precision,
    choose_threads,
    go_on_with_threads,
    memory_named,
    threads_given_back,
)
from dcgan_models.networks import (
    Discriminator,
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    from_pixels,
    initialise,
    save_network,
    save_snapshot,
)
from dcgan_models.training.checkpoint import (
    STATES,
    State,
    adam_state,
    describe_differences,
    load_adam_state,
    load_state,
    remove_half_files,
    run_lock,
    save_state,
)
from dcgan_models.training.config import TrainConfig
from dcgan_models.training.health import FilterWatch
from dcgan_models.training.pictures import Order, Pictures, open_pictures
from dcgan_models.training.streams import random_stream
from dcgan_models.training.team import Team
from dcgan_models.training.updates import Updates

LOG_FILE = "log.jsonl"
RESULT = "result"
FIXED_LATENTS = 1024
_AGREE_STEPS = 8
# A host shows what another one wrote into a shared folder after so many seconds at the latest.
_STALE_SECONDS = 60
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tick:
    """A line of the training's log.

    Attributes:
        step, steps: Minibatches done, and of the whole run.
        epoch: Passes of the loader done, with a fraction.
        images_seen: Real pictures that D was shown.
        d_loss, g_loss: Means since the last tick, in nats: -log D(x) - log(1 - D(G(z))) and
            -log D(G(z)); None where no such update fell between.
        fixed_z_spread: Root mean squared distance of drawings of fixed z to their mean, in G's
            scale.
        oscillating_filters: Share of G's channels that show one map for every z, to and fro.
        images_per_second: Pictures of the loader since the last tick.
    """

    step: int
    steps: int
    epoch: float
    images_seen: int
    d_loss: float | None
    g_loss: float | None
    fixed_z_spread: float
    oscillating_filters: float
    images_per_second: float


class DivergedError(UserError):
    """A loss, gradient or weight became NaN or infinite; the last good state is on disk."""


def train(
    config: TrainConfig,
    run_dir: Path,
    on_tick: Callable[[Tick], None] = lambda tick: None,
    should_stop: Callable[[], bool] = lambda: False,
    team: Team | None = None,
) -> bool:
    """Train a generator and a discriminator, or go on where an earlier call stopped.

    Args:
        config: The run. A state in `run_dir` must have been saved by the same configuration.
        run_dir: Receives config.json, states/, log.jsonl, grids/ and, at the end,
            result/generator and result/discriminator.
        on_tick: Called with every line of the log and after the last minibatch, in the process
            that leads.
        should_stop: Asked before every minibatch; True saves the state and returns.
        team: The processes that train together, from `join_team`; by default this one alone.

    Returns:
        True when training is finished, False when it was stopped.

    Raises:
        UserError: Another process trains here, the saved state is damaged or of another
            configuration, the data do not fit, the device's memory is too small, there are fewer
            GPUs than processes, or (`DivergedError`) a loss, gradient or weight is not finite.

    Examples:
        >>> from dcgan_models.presets import preset
        >>> small = preset("mnist28").with_overrides(width=0.1, batch=64, epochs=1, decay_epochs=0)
        >>> config = TrainConfig(preset=small, data="digits", seed=42, device="cpu")
        >>> train(config, Path("run"))
        True
    """
    team = team or Team()
    device = team.own_device(choose_device(config.device))
    batch = (
        f"a batch of {config.preset.batch}; lower `batch` or `width`, or train in several processes"
    )
    with (
        run_lock(run_dir, held=team.leads),
        threads_given_back(),
        memory_named(device, f"{run_dir}, {batch}"),
    ):
        run = _Run.open(config, run_dir, team, device)
        if team.leads:
            config.write(run_dir)  # not before: a refused run leaves the folder as it was
        try:
            return _loop(run, on_tick, should_stop)
        finally:
            run.pictures.close()


def _loop(run: _Run, on_tick: Callable[[Tick], None], should_stop: Callable[[], bool]) -> bool:
    config, saved_at = run.config, time.monotonic()

    def due() -> bool:
        return time.monotonic() - saved_at > config.save_seconds

    def tick() -> None:
        line = run.tick()
        if run.team.leads:
            on_tick(line)

    # Every state that is kept is one between two minibatches.
    while run.step < run.steps:
        if run.agree(should_stop):
            run.save()
            return False
        run.update()
        # Told, kept and saved, in this order: a state never lacks what was told before it.
        if run.step % run.tick_steps == 0 or run.step == run.steps:
            tick()
        epoch, position = divmod(run.step, run.order.steps_per_epoch)
        if position == 0 and epoch in config.snapshots:
            run.snapshot(epoch)
        if run.agree(due):
            run.save()
            saved_at = time.monotonic()
    if run.logged < run.step:  # it began at its end, with a state of a longer run
        tick()
    run.save()
    run.finish()
    return True


class _Run:
    """Everything that changes while training: networks, optimisers, random state, step."""

    pictures: Pictures

    def __init__(
        self,
        config: TrainConfig,
        run_dir: Path,
        store: PixelStore,
        team: Team,
        device: torch.device,
    ) -> None:
        # What is trained, on what, and for how long.
        preset = config.preset
        self.config, self.preset, self.run_dir, self.device = config, preset, run_dir, device
        self.team = team
        self.order = Order(len(store), preset.batch, config.seed, team)
        self.steps = config.epochs * self.order.steps_per_epoch
        self.tick_steps = config.tick_every(self.steps)
        self.step = self.logged = 0

        # Both networks, drawn from a stream of their own, whatever is drawn elsewhere.
        rng = random_stream(config.seed, "weights")
        self.generator = Generator(preset)
        self.discriminator = Discriminator(preset)
        initialise(self.generator, rng)
        initialise(self.discriminator, rng)
        # The latents that every grid and every sample of the result shows, as half precision has
        # them, so that they are published as they are and in half the bytes.
        fixed_rng = random_stream(config.seed, "fixed_z")
        self.generator.fixed_z = draw_latents(preset, FIXED_LATENTS, fixed_rng).half().float()
        if preset.classes:
            self.generator.fixed_labels = torch.arange(FIXED_LATENTS) % preset.classes
        # What changes them, on the device.
        self.updates = Updates(
            self.generator.to(device),
            self.discriminator.to(device),
            precision=choose_precision(config.precision, device),
            compiled=choose_compile(config.compile, device, self.steps),
            team=team,
        )
        if config.sync_batch_norm:
            team.synchronise_norms(self.generator, self.discriminator)
        # What goes on from step to step, and into the state.
        # On the processor, so that the latents are the same on every device.
        self.latent_rng = random_stream(config.seed, "latents")
        self.watch = FilterWatch(self.generator)
        self.best_rate = 0.0
        self._restart_clock()

    @classmethod
    def open(cls, config: TrainConfig, run_dir: Path, team: Team, device: torch.device) -> _Run:
        """Start a run, or continue the one whose state lies in `run_dir`."""
        # A refusal comes before anything in the folder is touched.
        store = PixelStore.open(config.data, config.split)
        _check_data(store, config)
        run = cls(config, run_dir, store, team, device)
        saved = _load_common_state(run_dir, team)
        if saved is not None:
            run._restore(*saved)
        elif device.type == "cpu":
            _LOG.info("%s: its number of threads is %d", run_dir, choose_threads())
        # The log goes on from the state, not from where a killed run wrote last.
        kept = [line for line in read_log(run_dir) if line["step"] <= run.step]
        run.logged = kept[-1]["step"] if kept else 0
        team.wait()  # all have read the log and states before the leader changes them
        if team.leads:
            write_log(run_dir, kept)  # what a killed run wrote after its last save comes again
            remove_half_files(run_dir)
        # Only the pictures that D will see are read.
        shown = filter(run._shows_pictures, range(run.step, run.steps))
        run.pictures = open_pictures(store, run.order, run.device, config.loading, shown)
        run._restart_clock()
        return run

    def agree(self, wish: Callable[[], bool]) -> bool:
        """Ask `wish`; where several train, all follow the first who wishes, every few steps."""
        if self.team.size == 1:
            return wish()
        return self.step % _AGREE_STEPS == 0 and self.team.any(wish())

    # One minibatch.

    def update(self) -> None:
        """Take one minibatch and update G, D or both, as the schedule says."""
        self._set_learning_rate()
        # G sees the labels of the minibatch whose turn it is, and no pictures.
        labels = self.pictures.labels(self.step) if self.preset.classes else None
        z = self._draw_latents()
        if not self._shows_pictures(self.step):
            self.updates.update_generator(z, labels)
        else:
            images = from_pixels(self.pictures.pixels(self.step), self.preset)
            if self.preset.schedule == "both":
                self.updates.update_both(images, z, labels)
            else:
                self.updates.update_discriminator(images, z, labels)
        self.step += 1

    def _shows_pictures(self, step: int) -> bool:
        """Whether D learns at a step: of alternating updates, the first is G's."""
        return self.preset.schedule == "both" or step % 2 == 1

    def _draw_latents(self) -> Tensor:
        """This process's share of a minibatch of latents, of which all draw the whole."""
        z = draw_latents(self.preset, self.preset.batch, self.latent_rng)[self.order.share]
        return z.to(self.device, non_blocking=True)

    def _set_learning_rate(self) -> None:
        """That of this step's epoch, for both Adams."""
        rate = self.config.learning_rate_in(self.step // self.order.steps_per_epoch)
        for _, _, optimiser in self._halves():
            optimiser.learning_rate = rate

    # Between minibatches: here, and only here, the host waits for the device.

    def tick(self) -> Tick:
        """Read the losses, look at the fixed z, and log both."""
        self._require_finite()
        # What has happened since the last tick.
        d_loss, g_loss = self.updates.mean_losses()
        seconds = max(time.monotonic() - self.clock_began, 1e-9)
        minibatches = self.step - self.clock_step
        shown = self.step if self.preset.schedule == "both" else self.step // 2
        # How the fixed z look now; looking changes what the next look compares with.
        watched = self.watch.state()
        fixed_z_spread, oscillating_filters = self.watch.look()
        # The line, for the log and for who is told.
        tick = Tick(
            step=self.step,
            steps=self.steps,
            epoch=self.step / self.order.steps_per_epoch,
            images_seen=shown * self.preset.batch,
            d_loss=d_loss,
            g_loss=g_loss,
            fixed_z_spread=fixed_z_spread,
            oscillating_filters=oscillating_filters,
            images_per_second=minibatches * self.preset.batch / seconds,
        )
        self.logged = self.step
        if self.team.leads:
            with (self.run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(tick)) + "\n")
        self._mind_rate(tick.images_per_second)
        # The next tick begins at nothing.
        if self.step % self.tick_steps == 0:
            self.updates.restart_sums()
        else:  # the run's last, between two ticks: the state stays what a longer run has here
            self.watch.restore(watched)
        self._restart_clock()
        return tick

    def _mind_rate(self, rate: float) -> None:
        """Say when threads wait for cores that others took since the run began.

        One thread alone has at least its share of the best rate that all of them had.
        """
        threads = torch.get_num_threads()
        if self.device.type == "cpu" and threads > 1 and rate < self.best_rate / threads / 2:
            _LOG.warning(
                "%s: %.3g pictures a second by step %d, less than half of what one of its %d "
                "threads had alone: other processes keep the cores busy",
                *(self.run_dir, rate, self.step, threads),
            )
        self.best_rate = max(self.best_rate, rate)

    def _restart_clock(self) -> None:
        """Count minibatches and seconds from here on: the rate is that of training alone."""
        self.clock_began, self.clock_step = time.monotonic(), self.step

    def _require_finite(self) -> None:
        """Stop before what is not finite is logged, saved or published."""
        culprit = self.updates.culprit()
        if culprit is not None:
            raise DivergedError(
                f"{self.run_dir}: {culprit} is not finite by step {self.step}; no update was made "
                "since and the last save is kept: lower the learning rate or take another seed"
            )

    def snapshot(self, epoch: int) -> None:
        """Keep G as it is after this epoch, ready to sample, a grid of its fixed z, the state."""
        self._require_finite()
        self._fix_statistics()
        if self.team.leads:
            weights, grid = snapshot_files(self.run_dir, epoch)
            for path in (weights, grid):
                path.parent.mkdir(parents=True, exist_ok=True)
            save_snapshot(self._drawing, weights)
            write_png(grid, self._drawing.fixed_grid())
        self._drawing.train()
        self.save(epoch)  # last: a run that goes on from this state has the snapshot
        self._restart_clock()

    def finish(self) -> None:
        """Write both networks to result/, G with its sampling statistics and fixed latents."""
        self._fix_statistics()
        if self.team.leads:
            save_network(self._drawing, self.run_dir / RESULT / "generator")
            save_network(self.discriminator, self.run_dir / RESULT / "discriminator")

    @property
    def _drawing(self) -> Generator:
        """The generator that a run leaves: the one that learns, or the average of its weights."""
        average = self.updates.average
        return self.generator if average is None else average.generator

    def _fix_statistics(self) -> None:
        estimate_sampling_statistics(self._drawing, seed=self.config.seed)

    def save(self, epoch: int | None = None) -> None:
        """Write the state atomically; a resume continues with the next minibatch."""
        self._require_finite()
        if not self.team.leads:
            return
        # Everything from which the next step follows.
        tensors: State = {
            "latent_rng": self.latent_rng.get_state(),
            "loss_sums": self.updates.loss_sums,
        }
        for prefix, network, optimiser in self._halves():
            tensors |= {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
            tensors |= adam_state(optimiser, network, f"{prefix}_adam")
        tensors |= {f"watch.{name}": value for name, value in self.watch.state().items()}
        if self.updates.average is not None:
            average = self.updates.average.state()
            tensors |= {f"average.{name}": value for name, value in average.items()}
        self._flush_log()
        # What must be equal where it is gone on from.
        facts = {
            "step": self.step,
            "loss_counts": self.updates.counts,
            "config": self.config.identity(),
            "threads": torch.get_num_threads(),
            "processes": self.team.size,
        }
        save_state(self.run_dir, tensors, facts, epoch)

    def _flush_log(self) -> None:
        """The log's lines must outlive a power cut as the state that follows them does."""
        path = self.run_dir / LOG_FILE
        if path.exists():
            with path.open("rb") as log:
                os.fsync(log.fileno())

    def _restore(self, tensors: State, facts: dict[str, Any]) -> None:
        wanted = json.loads(json.dumps(self.config.identity()))
        if facts["config"] != wanted:
            differences = describe_differences(facts["config"], wanted)
            raise UserError(f"{self.run_dir}: its state is of another run: {differences}")
        # The same bits take the same split of sums over threads.
        if self.device.type == "cpu" and "threads" in facts:  # no older state says it
            self._compute_as(facts["threads"], facts["processes"])
        for prefix, network, optimiser in self._halves():
            network.load_state_dict(_below(tensors, f"{prefix}."))
            load_adam_state(optimiser, network, f"{prefix}_adam", tensors)
        # The rest of what goes on from step to step.
        self.watch.restore(_below(tensors, "watch."))
        if self.updates.average is not None:
            self.updates.average.restore(_below(tensors, "average."))
        try:
            self.latent_rng.set_state(tensors["latent_rng"])
        except RuntimeError:  # a GPU's own state, as earlier versions saved it
            raise UserError(
                f"{self.run_dir}: its state is of a version that drew latents on the GPU; delete "
                f"{STATES}/ to start anew"
            ) from None
        self.updates.loss_sums = tensors["loss_sums"].to(self.device)
        self.updates.counts = list(facts["loss_counts"])
        self.step = facts["step"]

    def _compute_as(self, threads: int, processes: int) -> None:
        """Split the work as the state's processes did, as far as that is ours to choose."""
        if processes == self.team.size:
            go_on_with_threads(threads, self.run_dir)
        elif self.team.leads:
            _LOG.warning(
                "%s: its number of processes was %d and becomes %d: its last bits become others",
                *(self.run_dir, processes, self.team.size),
            )

    def _halves(self) -> Iterator[tuple[str, Generator | Discriminator, Adam]]:
        yield "generator", self.generator, self.updates.g_adam
        yield "discriminator", self.discriminator, self.updates.d_adam


def _load_common_state(run_dir: Path, team: Team) -> tuple[State, dict[str, Any]] | None:
    """The state that all of a team see: a shared folder may show a host an older one for a while.

    Raises:
        UserError: They do not see the same one.
    """
    for _ in range(_STALE_SECONDS):
        saved = load_state(run_dir)
        if team.all_have(-1 if saved is None else saved[1]["step"]):
            return saved
        time.sleep(1)
    raise UserError(f"{run_dir}: not all hosts see the same state there; is it one shared folder?")


def snapshot_files(run_dir: Path, epoch: int) -> tuple[Path, Path]:
    """Where a run keeps G as it was after an epoch: its weights, and a grid of its fixed z."""
    name = f"epoch_{epoch:04d}"
    weights = run_dir / RESULT / "generator" / "snapshots" / f"{name}.safetensors"
    return weights, run_dir / "grids" / f"{name}.png"


def read_log(run_dir: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's log, oldest first, as `Tick` has them; none before it began."""
    path = run_dir / LOG_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def write_log(run_dir: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write a run's log anew, atomically."""
    with open_atomic(run_dir / LOG_FILE) as stream:
        stream.write("".join(f"{json.dumps(line)}\n" for line in lines).encode())


def _below(state: State, prefix: str) -> State:
    return {key[len(prefix) :]: t for key, t in state.items() if key.startswith(prefix)}


def _check_data(store: PixelStore, config: TrainConfig) -> None:
    preset = config.preset
    channels, height, width = preset.image
    if store.shape != (height, width, channels):
        raise UserError(
            f"{config.data}: pictures are {store.shape}, preset {preset.name} "
            f"takes {(height, width, channels)}"
        )
    if len(store) < preset.batch:
        raise UserError(
            f"{config.data}: {len(store)} pictures do not fill one minibatch of {preset.batch}"
        )
    if preset.classes and not ((store.labels >= 0) & (store.labels < preset.classes)).all():
        raise UserError(
            f"{config.data}: preset {preset.name} needs a label from 0 to "
            f"{preset.classes - 1} for every picture"
        )
