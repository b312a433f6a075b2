"""Where a training begins: in its own folder, in that of a run of another budget, or anew.

Two runs that differ in their budget alone are one run, bit for bit, up to where the learning rate
or the end of the shorter one tells them apart. So a longer run goes on from what a shorter one
saved. Where it cannot, there is a reason to name.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_models.data import PixelStore
from dcgan_models.errors import UserError
from dcgan_models.presets import Preset, preset
from dcgan_models.training.checkpoint import (
    differences,
    load_state,
    read_state,
    run_lock,
    save_state,
    saved_states,
)
from dcgan_models.training.config import TrainConfig
from dcgan_models.training.loop import read_log, snapshot_files, write_log

_MOST_REASONS = 3
_SIDES = "generator", "discriminator"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierRun:
    """The folder of another run.

    Attributes:
        same_code: Whether the code that trained it is that of now.
    """

    run_dir: Path
    config: TrainConfig
    same_code: bool


@dataclass(frozen=True)
class Beginning:
    """Where a training begins.

    Attributes:
        epoch: Passes of the loader that are done already; 0 where it begins anew.
        run_dir: The folder that it goes on from; where it begins anew, the run that comes nearest,
            None where there is none of these networks.
        reason: What keeps it from going on from there, as what is said of that folder: `has
            another seed: 0, now 5`. Empty where it goes on.
    """

    epoch: float
    run_dir: Path | None
    reason: str = ""


def begin_run(config: TrainConfig, run_dir: Path, others: Sequence[EarlierRun]) -> Beginning:
    """Find the furthest state that belongs to a run, and bring it into the run's folder.

    With it come the log, the snapshots and the grids up to there, so that the folder is that of a
    run that nothing interrupted. The other folder stays as it is.

    Args:
        run_dir: Of the run, which need not exist.
        others: The runs to look at, the last one first.

    Raises:
        UserError: There are no data, another process trains in `run_dir`, or the disk is full.
    """
    per_epoch = steps_per_epoch(config)
    own = max((saved.step for saved in saved_states(run_dir)), default=0)
    # How far each other run is this one; else in what it differs.
    reasons: dict[Path, list[str]] = {}
    reachable: list[tuple[int, int, EarlierRun]] = []
    for other in others:
        if other.config.preset.name != config.preset.name:
            continue
        reasons[other.run_dir] = _what_differs(config, other)
        if not reasons[other.run_dir]:
            last, reason = _shared_steps(config, other, per_epoch)
            reasons[other.run_dir] = [reason]
            steps = [saved.step for saved in saved_states(other.run_dir) if saved.step <= last]
            reachable.append((max(steps, default=0), last, other))
    # The furthest first; one whose states are damaged gives way to the next.
    for step, last, other in sorted(reachable, key=lambda found: -found[0]):
        if step > own:
            try:
                reached = _take_over(config, run_dir, other, per_epoch, above=own, until=last)
                return Beginning(reached / per_epoch, other.run_dir)
            except _UnusableError as error:
                reasons[other.run_dir] = [str(error)]
    if own or not reasons:
        return Beginning(own / per_epoch, run_dir if own else None)
    # Nothing to go on from: the run that differs in the fewest things tells why.
    nearest = min(reasons, key=lambda folder: len(reasons[folder]))
    return Beginning(0, nearest, " and ".join(reasons[nearest][:_MOST_REASONS]))


def steps_per_epoch(config: TrainConfig) -> int:
    """Minibatches in a pass of the loader; 1 where the pictures do not fill one.

    Raises:
        UserError: There are no data.
    """
    return max(1, len(PixelStore.open(config.data, config.split)) // config.preset.batch)


class _UnusableError(Exception):
    """Why a run's folder cannot be gone on from after all."""


# --- What two runs share ----------------------------------------------------------------------


def _shared_steps(config: TrainConfig, other: EarlierRun, per_epoch: int) -> tuple[int, str]:
    """The last step up to which both are one run, and why no state up to there would do."""
    earlier = other.config
    both = min(config.epochs, earlier.epochs)
    rates = ((config.learning_rate_in(e), earlier.learning_rate_in(e)) for e in range(both))
    alike = next((epoch for epoch, (one, two) in enumerate(rates) if one != two), both)
    for epoch in sorted(config.snapshots):
        if epoch <= alike and not all(
            path.is_file() for path in snapshot_files(other.run_dir, epoch)
        ):
            why = f"kept no snapshot of epoch {epoch} and has no state from before"
            return epoch * per_epoch - 1, why
    if alike < both:
        why = f"has another learning rate from epoch {alike + 1} on and no state from before"
    elif earlier.epochs > config.epochs:
        why = f"is of {earlier.epochs} epochs and has no state of the first {config.epochs}"
    else:
        why = "has saved no state"
    return alike * per_epoch, why


def _what_differs(config: TrainConfig, other: EarlierRun) -> list[str]:
    """Everything but the budget in which the runs differ, in words."""
    saved, wanted = other.config.identity_but_budget(), config.identity_but_budget()
    words = []
    for key in _SIDES:
        del saved["preset"][key], wanted["preset"][key]
    image = saved["preset"].pop("image"), wanted["preset"].pop("image")
    if image[0] != image[1]:
        words.append(_another("size", image[0][-1], image[1][-1]))
    else:
        words += _other_layers(other.config.preset, config.preset)
    for key, (one, two) in differences(saved, wanted).items():
        if key == "data_version":
            words.append("has other pictures")
        else:
            words.append(_another(key.removeprefix("preset.").replace("_", " "), one, two))
    return words if other.same_code else [*words, "was trained by other code"]


def _another(what: str, saved: Any, wanted: Any) -> str:
    return f"has another {what}: {saved}, now {wanted}"


def _other_layers(saved: Preset, wanted: Preset) -> list[str]:
    """In which of G's and D's layers they differ: by widths, where they differ by these alone."""
    if all(getattr(saved, side) == getattr(wanted, side) for side in _SIDES):
        return []
    (g, d), (new_g, new_d) = ([_width(one, side) for side in _SIDES] for one in (saved, wanted))
    if None in (g, d, new_g, new_d):
        return ["has other layers"]
    words = [_another("width", g, new_g)] * (g != new_g)
    follows = g == d and new_g == new_d
    return words + [_another("discriminator width", d, new_d)] * (d != new_d and not follows)


def _width(chosen: Preset, side: str) -> float | None:
    """The roundest factor on the preset's channels that gives G's or D's layers, if any does."""
    plain = preset(chosen.name)
    if plain.image != chosen.image:
        plain = plain.with_overrides(size=chosen.image[-1])
    here, there = (max(x.out for x in getattr(one, side)[:-1]) for one in (chosen, plain))
    for digits in range(1, 9):
        width = float(f"{here / there:.{digits}g}")
        if getattr(plain.with_overrides(width=width), side) == getattr(chosen, side):
            return width
    return None


# --- Bringing it over -------------------------------------------------------------------------


def _take_over(
    config: TrainConfig, run_dir: Path, other: EarlierRun, per_epoch: int, *, above: int, until: int
) -> int:
    """Fill a run's folder with what another run has in common with it; the step reached.

    The state comes last: a folder without one is filled again.
    """
    with run_lock(run_dir), ExitStack() as stack:
        try:
            stack.enter_context(run_lock(other.run_dir))
            found = load_state(other.run_dir, above=above, until=until)
        except UserError as error:
            raise _UnusableError(f"cannot be gone on from ({error})") from None
        if found is None:  # it went on, or was cleared away, after it had been looked at
            raise _UnusableError("has no state any more that would do")
        tensors, facts = found
        step = int(facts["step"])
        snapshots = [epoch for epoch in config.snapshots if epoch * per_epoch <= step]
        _copy_log(config, run_dir, other, step, per_epoch)
        for epoch in snapshots:
            _copy_snapshot(run_dir, other.run_dir, epoch)
        _copy_kept_states(config, run_dir, other.run_dir, snapshots, step)
        kept_for = next((epoch for epoch in snapshots if epoch * per_epoch == step), None)
        save_state(run_dir, tensors, {**facts, "config": config.identity()}, kept_for)
    return step


def _copy_log(
    config: TrainConfig, run_dir: Path, other: EarlierRun, step: int, per_epoch: int
) -> None:
    """The lines up to a step, but for one that closed a shorter run between two ticks.

    A much longer run has more minibatches between two lines, from here on.
    """
    every = other.config.tick_every(other.config.epochs * per_epoch)
    shared = [
        {**line, "steps": config.epochs * per_epoch}
        for line in read_log(other.run_dir)
        if line["step"] <= step and line["step"] % every == 0
    ]
    write_log(run_dir, shared)


def _copy_snapshot(run_dir: Path, source: Path, epoch: int) -> None:
    for path, kept in zip(
        snapshot_files(run_dir, epoch), snapshot_files(source, epoch), strict=True
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, path)


def _copy_kept_states(
    config: TrainConfig, run_dir: Path, source: Path, snapshots: Sequence[int], before: int
) -> None:
    """Those of snapshot epochs, from which other budgets may go on some day."""
    for saved in saved_states(source):
        if saved.epoch in snapshots and saved.step < before:
            try:
                tensors, facts = read_state(saved.path)
            except UserError as error:
                _LOG.warning("%s; left out", error)
                continue
            save_state(run_dir, tensors, {**facts, "config": config.identity()}, saved.epoch)
