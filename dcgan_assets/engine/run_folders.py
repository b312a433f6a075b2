"""Folders below `runs/` in which trainings work, known by their configuration.

A folder's name is a hash of the code and the configuration of its training, so that it tells
whether today's code would go on in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan_assets.engine.live_training import Session, training_page
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.versions.code import code_version
from dcgan_models.errors import UserError

if TYPE_CHECKING:  # torch
    from dcgan_models.training import TrainConfig
    from dcgan_models.training.beginning import Beginning, EarlierRun


def training_folders(group: Path) -> Iterator[EarlierRun]:
    """The trainings in a group's folder below `runs/`; what else lies there is passed over."""
    from dcgan_models.training import TrainConfig, train
    from dcgan_models.training.beginning import EarlierRun
    from dcgan_models.training.config import CONFIG_FILE

    for config_file in sorted(group.glob(f"*/{CONFIG_FILE}")):
        folder = config_file.parent
        try:
            config = TrainConfig.read(folder)
        except UserError:
            continue  # another kind of work, or of another version: not known, not touched
        version = code_version(train, config.identity())
        yield EarlierRun(folder, config, same_code=folder.name == version[: len(folder.name)])


def open_run(work: Work, config: TrainConfig) -> tuple[Path, Beginning]:
    """The folder of a training, and where it begins there; see `begin_run`.

    The page that follows it is named in the run's events.
    """
    from dcgan_models.training import train
    from dcgan_models.training.beginning import begin_run, steps_per_epoch
    from dcgan_models.training.config import CONFIG_FILE

    run_dir = work.run_dir(train, config.identity())
    others = [run for run in training_folders(run_dir.parent) if run.run_dir != run_dir]
    others.sort(key=lambda run: -(run.run_dir / CONFIG_FILE).stat().st_mtime)
    beginning = begin_run(config, run_dir, others)
    per_epoch = steps_per_epoch(config)
    session = Session(
        asset=work.step.key,
        run=work.context.run.run_id,
        began=round(beginning.epoch * per_epoch),
        steps=config.epochs * per_epoch,
        batch=config.preset.batch,
    )
    config.write(run_dir)  # the folder's name is a hash of the configuration: it fits
    session.write(run_dir)
    work.follow(training_page(session.asset, run_dir), session.words)
    return run_dir, beginning


def where_it_begins(work: Work, config: TrainConfig, beginning: Beginning) -> str:
    """A line for the terminal: what a training goes on from, or why it does not."""
    if beginning.run_dir is None:
        return f"{work.step.key}: begins; no earlier run of {config.preset.name} is there"
    folder = beginning.run_dir.relative_to(work.root).as_posix()
    if beginning.reason:
        return f"{work.step.key}: begins anew: {folder} {beginning.reason}"
    if beginning.epoch == config.epochs:
        return f"{work.step.key}: all of it is trained in {folder}"
    return f"{work.step.key}: goes on from epoch {beginning.epoch:.6g} of {folder}"
