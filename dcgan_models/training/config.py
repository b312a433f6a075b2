"""What a training run is: the resolved configuration, written beside the run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dcgan_models.errors import UserError
from dcgan_models.fields import check_fields
from dcgan_models.files import read_json, write_json
from dcgan_models.machine import Compile, Device, Precision
from dcgan_models.presets import Preset, preset

CONFIG_FILE = "config.json"
_TICK, _MOST_TICKS = 50, 200
Loading = Literal["auto", "resident", "streamed"]

# Where a run is computed, not what it computes: these may differ when a run goes on elsewhere.
# Precision counts as it was asked for: `auto` may become bf16 here and fp32 there.
_MACHINE_SETTINGS = ("data", "device", "loading", "save_seconds")
# How long a run is and what is kept on its way: of the preset, and of the run itself.
_BUDGET_OF_PRESET, _BUDGET_OF_RUN = ("epochs", "decay_epochs"), ("snapshots",)


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one training run, its preset resolved.

    Attributes:
        preset: Networks, optimiser and schedule, every override applied.
        data: Folder of the data set; `split` of it is trained on.
        data_version: Content hash of that data: a run never goes on with other pictures.
        seed: Of weights, order of the pictures and latents.
        snapshots: Epochs after which G is kept (the paper shows epochs 1 and 5).
        tick_steps: Minibatches between two lines of the log; by default as many as the run's
            length asks for (`tick_every`).
        device, precision: `auto` takes CUDA where there is one, bf16 where it is native.
        compile: Mode of torch.compile; `auto` compiles on CUDA, where kernels are launched from
            one recorded graph, if the run is long enough to earn the minute that it takes, and
            not on the processor, where it gains nothing.
        loading: Whether pictures stay on the device, are read ahead, or what fits (`auto`).
        sync_batch_norm: Of several processes, whether batch norm sees the whole minibatch
            (then their number does not matter) or each process's share.
        save_seconds: Least time between two saves of the state; also saved when stopped.
    """

    preset: Preset
    data: str
    seed: int
    data_version: str = ""
    split: str = "train"
    snapshots: tuple[int, ...] = ()
    tick_steps: int | None = None
    device: Device = "auto"
    precision: Precision = "auto"
    compile: Compile = "auto"
    loading: Loading = "auto"
    sync_batch_norm: bool = True
    save_seconds: float = 30.0

    @property
    def epochs(self) -> int:
        """Passes of the loader, those of the falling learning rate included."""
        return self.preset.epochs + self.preset.decay_epochs

    def tick_every(self, steps: int) -> int:
        """Minibatches between two lines of the log, in a run of so many.

        A line waits for the device and draws the fixed z: what it costs hangs on the network, not
        on the minibatch. So a run has 200 lines at most: 50 minibatches lie between two, or 100,
        200, 400 in longer runs. Fewer than 50 tell nothing of whether losses move.
        """
        if self.tick_steps is not None:
            return self.tick_steps
        doublings = max(0, math.ceil(math.log2(max(steps, 1) / (_MOST_TICKS * _TICK))))
        return _TICK << doublings

    def learning_rate_in(self, epoch: int) -> float:
        """The learning rate of both Adams in an epoch, counted from 0.

        Constant for `epochs`, then down by learning_rate / decay_epochs after each epoch.
        """
        past = epoch - self.preset.epochs
        rate = self.preset.learning_rate
        return rate * (1 - past / self.preset.decay_epochs) if past > 0 else rate

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return {**dataclasses.asdict(self), "preset": self.preset.to_dict()}

    def identity(self) -> dict[str, Any]:
        """What must be equal for a saved state to belong to this run."""
        content = self.to_dict()
        return {name: value for name, value in content.items() if name not in _MACHINE_SETTINGS}

    def identity_but_budget(self) -> dict[str, Any]:
        """What must be equal for two runs to be one run as far as their budgets agree."""
        content = self.identity()
        chosen = content.pop("preset")
        return {
            **{name: value for name, value in content.items() if name not in _BUDGET_OF_RUN},
            "preset": {n: value for n, value in chosen.items() if n not in _BUDGET_OF_PRESET},
        }

    def write(self, run_dir: Path) -> None:
        """Write `config.json` into the run's folder."""
        run_dir.mkdir(parents=True, exist_ok=True)
        write_json(run_dir / CONFIG_FILE, self.to_dict())

    @classmethod
    def read(cls, run_dir: Path) -> TrainConfig:
        """Read `config.json`; raise `UserError` on anything but a complete configuration."""
        path = run_dir / CONFIG_FILE
        try:
            content = read_json(path)
        except FileNotFoundError:
            raise UserError(f"{path} is missing: it holds preset, data and seed") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not readable JSON ({error})") from None
        return cls.from_dict(content, str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str) -> TrainConfig:
        """Build from plain values; `preset` may be a name or a whole preset."""
        check_fields(cls, content, where)
        ticks = content.get("tick_steps")
        if ticks is not None and ticks < 1:
            raise UserError(f"{where}: tick_steps is {content['tick_steps']}; allowed: from 1")
        given = content["preset"]
        try:
            resolved = preset(given) if isinstance(given, str) else Preset.from_dict(given)
            resolved.check()
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        snapshots = tuple(content.get("snapshots", ()))
        return cls(**{**content, "preset": resolved, "snapshots": snapshots})
