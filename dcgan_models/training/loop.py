"""The training loop: two networks, one minibatch at a time, stoppable and resumable at any step.

It does what the authors' code did (mnist/train_cond_dcgan.py, faces/train_uncond_dcgan.py):
alternating updates on different minibatches, real and generated pictures through D as separate
batches, the non-saturating loss for G. On CPU a run is a function of its configuration: stopped
anywhere and resumed, it ends in the same bits.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.files import open_atomic
from dcgan_models.grids import Pixels, tile, write_png
from dcgan_models.networks import (
    Discriminator,
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    from_pixels,
    initialise,
    save_network,
    save_weights,
)
from dcgan_models.presets import Preset
from dcgan_models.training.checkpoint import (
    State,
    adam_state,
    describe_differences,
    load_adam_state,
    load_state,
    run_lock,
    save_state,
)
from dcgan_models.training.config import TrainConfig, choose_device, choose_precision

LOG_FILE = "log.jsonl"
RESULT = "result"
FIXED_LATENTS = 1024
_GRID_COLUMNS = 10
_GRID_PICTURES = 100


@dataclass(frozen=True)
class Tick:
    """A line of the log.

    Attributes:
        step, steps: Minibatches done, and of the whole run.
        epoch: Passes of the loader done, with a fraction.
        images_seen: Real pictures that D was shown.
        d_loss, g_loss: Means since the last tick, in nats: -log D(x) - log(1 - D(G(z))) and
            -log D(G(z)); None where no such update fell between.
        images_per_second: Pictures of the loader since the last tick.
    """

    step: int
    steps: int
    epoch: float
    images_seen: int
    d_loss: float | None
    g_loss: float | None
    images_per_second: float


class DivergedError(UserError):
    """A loss or a weight became NaN or infinite; the state of the last save is on disk."""


def train(
    config: TrainConfig,
    run_dir: Path,
    on_tick: Callable[[Tick], None] = lambda tick: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train, or go on where an earlier call stopped.

    Args:
        config: The run. A state in `run_dir` must have been saved by the same configuration.
        run_dir: Receives config.json, state.safetensors, log.jsonl, grids/ and, at the end,
            result/generator and result/discriminator.
        on_tick: Called after every `tick_steps` minibatches and after the last.
        should_stop: Asked before every minibatch; True saves the state and returns.

    Returns:
        True when training is finished, False when it was stopped.

    Raises:
        UserError: Another process trains here, the saved state is damaged or of another
            configuration, the data do not fit, or (`DivergedError`) a loss or a weight is not
            finite.
    """
    with run_lock(run_dir):
        run = _Run.open(config, run_dir)
        config.write(run_dir)  # not before: a run that is refused leaves the folder as it was
        saved_at = time.monotonic()
        while run.step < run.steps:
            if should_stop():
                run.save()
                return False
            run.update()
            if run.step % config.tick_steps == 0 or run.step == run.steps:
                on_tick(run.tick())
            epoch, position = divmod(run.step, run.steps_per_epoch)
            if position == 0 and epoch in config.snapshots:
                run.snapshot()
            if time.monotonic() - saved_at > config.save_seconds:
                run.save()
                saved_at = time.monotonic()
        run.save()
        run.finish()
        return True


class _Run:
    """Everything that changes while training: networks, optimisers, random state, step."""

    def __init__(self, config: TrainConfig, run_dir: Path, store: PixelStore) -> None:
        preset, device = config.preset, choose_device(config.device)
        self.config, self.preset, self.run_dir, self.device = config, preset, run_dir, device
        self.precision = choose_precision(config.precision, device)
        self.pixels = store.to_device(device)
        self.labels = torch.from_numpy(store.labels).to(device) if preset.classes else None
        self.steps_per_epoch = len(store) // preset.batch
        self.steps = config.epochs * self.steps_per_epoch
        self.step = 0
        self.epoch_order = (-1, torch.empty(0))

        rng = random_stream(config.seed, "weights")
        self.generator = Generator(preset)
        self.discriminator = Discriminator(preset)
        initialise(self.generator, rng)
        initialise(self.discriminator, rng)
        fixed_rng = random_stream(config.seed, "fixed_z")
        self.generator.fixed_z = draw_latents(preset, FIXED_LATENTS, fixed_rng)
        if preset.classes:
            self.generator.fixed_labels = torch.arange(FIXED_LATENTS) % preset.classes
        self.generator.to(device)
        self.discriminator.to(device)
        self.g_optimiser = _adam(self.generator, preset)
        self.d_optimiser = _adam(self.discriminator, preset)
        self.latent_rng = random_stream(config.seed, "latents", device)

        self.losses: dict[str, list[Tensor]] = {"d_loss": [], "g_loss": []}
        self._restart_clock()

    @classmethod
    def open(cls, config: TrainConfig, run_dir: Path) -> _Run:
        """Start a run, or continue the one whose state lies in `run_dir`."""
        store = PixelStore.open(config.data, config.split)
        _check_data(store, config)
        run = cls(config, run_dir, store)
        saved = load_state(run_dir)
        if saved is not None:
            run._restore(*saved)
        run._rewind_log()
        return run

    # One minibatch.

    def update(self) -> None:
        """Take one minibatch and update G, D or both, as the schedule says."""
        self._set_learning_rate()
        images, labels = self._next_minibatch()
        if self.preset.schedule == "both":
            drawn = self._draw(labels)
            self._update_discriminator(images, drawn.detach(), labels)
            self._update_generator(drawn, labels)
        elif self.step % 2 == 0:
            self._update_generator(self._draw(labels), labels)
        else:
            with torch.no_grad():
                drawn = self._draw(labels)
            self._update_discriminator(images, drawn, labels)
        self.step += 1

    def _update_discriminator(self, images: Tensor, drawn: Tensor, labels: Tensor | None) -> None:
        # Two passes: batch norm must not mix the statistics of real and generated pictures.
        with self._autocast():
            real, fake = self.discriminator(images, labels), self.discriminator(drawn, labels)
        # -log sigmoid(x) is softplus(-x); on logits it cannot saturate.
        loss = F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()
        self._descend(self.d_optimiser, loss)
        self.losses["d_loss"].append(loss.detach())

    def _update_generator(self, drawn: Tensor, labels: Tensor | None) -> None:
        # D is passed through, not learned: its weight gradients would be thrown away.
        self.discriminator.requires_grad_(False)
        with self._autocast():
            fake = self.discriminator(drawn, labels)
        loss = F.softplus(-fake.float()).mean()
        self._descend(self.g_optimiser, loss)
        self.discriminator.requires_grad_(True)
        self.losses["g_loss"].append(loss.detach())

    def _draw(self, labels: Tensor | None) -> Tensor:
        z = draw_latents(self.preset, self.preset.batch, self.latent_rng)
        with self._autocast():
            drawn: Tensor = self.generator(z, labels)
        return drawn

    def _descend(self, optimiser: torch.optim.Adam, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _autocast(self) -> torch.autocast:
        enabled = self.precision is torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def _set_learning_rate(self) -> None:
        """Constant for `epochs`, then down by lr / decay_epochs after each epoch."""
        past = self.step // self.steps_per_epoch - self.preset.epochs
        rate = self.preset.learning_rate
        if past > 0:
            rate *= 1 - past / self.preset.decay_epochs
        for optimiser in (self.g_optimiser, self.d_optimiser):
            optimiser.param_groups[0]["lr"] = rate

    def _next_minibatch(self) -> tuple[Tensor, Tensor | None]:
        """Pictures without replacement, in an order that depends on seed and step alone.

        The last pictures of an epoch that fill no minibatch are left out; others each time.
        """
        epoch, position = divmod(self.step, self.steps_per_epoch)
        if self.epoch_order[0] != epoch:
            rng = random_stream(self.config.seed, f"order/{epoch}")
            order = torch.randperm(len(self.pixels), generator=rng).to(self.device)
            self.epoch_order = (epoch, order)
        batch = self.preset.batch
        rows = self.epoch_order[1][position * batch : (position + 1) * batch]
        labels = None if self.labels is None else self.labels[rows]
        return from_pixels(self.pixels[rows], self.preset), labels

    # Between minibatches.

    def tick(self) -> Tick:
        """Read the losses, the one time that the host waits for the device, and log them."""
        self._require_finite()
        means = {
            name: float(torch.stack(values).mean()) if values else None
            for name, values in self.losses.items()
        }
        seconds = max(time.monotonic() - self.clock_began, 1e-9)
        minibatches = self.step - self.clock_step
        shown = self.step if self.preset.schedule == "both" else self.step // 2
        tick = Tick(
            step=self.step,
            steps=self.steps,
            epoch=self.step / self.steps_per_epoch,
            images_seen=shown * self.preset.batch,
            images_per_second=minibatches * self.preset.batch / seconds,
            **means,
        )
        with (self.run_dir / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(tick)) + "\n")
        self.losses = {"d_loss": [], "g_loss": []}
        self._restart_clock()
        return tick

    def _restart_clock(self) -> None:
        """Count minibatches and seconds from here on: the rate is that of training alone."""
        self.clock_began, self.clock_step = time.monotonic(), self.step

    def _require_finite(self) -> None:
        """Stop before a loss or weight that is not finite is logged, saved or published."""
        values = {name: torch.stack(losses) for name, losses in self.losses.items() if losses}
        for prefix, network, _ in self._halves():
            values |= {f"{prefix}.{name}": w for name, w in network.named_parameters()}
        for name, value in values.items():
            if not bool(value.isfinite().all()):
                raise DivergedError(
                    f"{self.run_dir}: {name} is not finite by step {self.step}; "
                    "the last save is kept"
                )

    def snapshot(self) -> None:
        """Keep G as it is after this epoch, ready to sample, and a grid of its fixed z."""
        self._require_finite()
        name = f"epoch_{self.step // self.steps_per_epoch:04d}"
        folder = self.run_dir / RESULT / "generator" / "snapshots"
        folder.mkdir(parents=True, exist_ok=True)
        self._fix_statistics()
        save_weights(self.generator, folder / f"{name}.safetensors")
        (self.run_dir / "grids").mkdir(exist_ok=True)
        write_png(self.run_dir / "grids" / f"{name}.png", fixed_grid(self.generator))
        self.generator.train()
        self._restart_clock()

    def finish(self) -> None:
        """Write both networks to result/, G with its sampling statistics and fixed latents."""
        self._fix_statistics()
        save_network(self.generator, self.run_dir / RESULT / "generator")
        save_network(self.discriminator, self.run_dir / RESULT / "discriminator")

    def _fix_statistics(self) -> None:
        estimate_sampling_statistics(self.generator, seed=self.config.seed)

    def save(self) -> None:
        """Write the state atomically; a resume continues with the next minibatch."""
        self._require_finite()
        tensors: State = {"latent_rng": self.latent_rng.get_state()}
        for prefix, network, optimiser in self._halves():
            tensors |= {f"{prefix}.{name}": value for name, value in network.state_dict().items()}
            tensors |= adam_state(optimiser, network, f"{prefix}_adam")
        for name, values in self.losses.items():
            tensors[f"pending.{name}"] = torch.stack(values) if values else torch.empty(0)
        save_state(
            self.run_dir,
            tensors,
            {"step": self.step, "config": self.config.identity()},
        )

    def _restore(self, tensors: State, facts: dict[str, Any]) -> None:
        wanted = json.loads(json.dumps(self.config.identity()))
        if facts["config"] != wanted:
            differences = describe_differences(facts["config"], wanted)
            raise UserError(f"{self.run_dir}: its state is of another run: {differences}")
        for prefix, network, optimiser in self._halves():
            start = f"{prefix}."
            network.load_state_dict(
                {key[len(start) :]: t for key, t in tensors.items() if key.startswith(start)}
            )
            load_adam_state(optimiser, network, f"{prefix}_adam", tensors)
        self.latent_rng.set_state(tensors["latent_rng"])
        self.step = facts["step"]
        self.losses = {
            name: list(tensors[f"pending.{name}"].to(self.device)) for name in self.losses
        }
        self._restart_clock()

    def _halves(self) -> Iterator[tuple[str, Generator | Discriminator, torch.optim.Adam]]:
        yield "generator", self.generator, self.g_optimiser
        yield "discriminator", self.discriminator, self.d_optimiser

    def _rewind_log(self) -> None:
        """Drop lines that a killed run wrote after its last save: they will come again."""
        path = self.run_dir / LOG_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and _step_of(line) <= self.step]
        with open_atomic(path) as stream:
            stream.write("".join(f"{line}\n" for line in kept).encode())


def _step_of(line: str) -> int:
    return int(json.loads(line)["step"])


def random_stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Give each use of chance its own stream, so that one more draw here moves nothing there."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


def _adam(network: torch.nn.Module, preset: Preset) -> torch.optim.Adam:
    """Adam as section 4 sets it, with the l2 coupled: added to the gradient, moments and all."""
    return torch.optim.Adam(
        network.parameters(),
        lr=preset.learning_rate,
        betas=(preset.beta1, preset.beta2),
        eps=preset.adam_eps,
        weight_decay=preset.l2,
        fused=True,
    )


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


def fixed_grid(generator: Generator) -> Pixels:
    """The first fixed latents as one picture, uint8 (height, width, channels), ten a row."""
    z, labels = generator.fixed_z, generator.fixed_labels
    assert z is not None  # noqa: S101  (every trained generator carries them)
    first = slice(_GRID_PICTURES)
    pictures = generator.draw(z[first], None if labels is None else labels[first])
    return tile(pictures, _GRID_COLUMNS)
