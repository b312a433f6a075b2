"""The trials of a random search, on disk: an Optuna study that outlives its process.

Trial k's settings depend on (seed, k) alone, and only a trial that was finished is one: a search
that was killed and resumed has the same table as one that was left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from dcgan_models.errors import UserError
from dcgan_models.machine import choose_threads
from dcgan_models.training.checkpoint import describe_differences
from dcgan_models.training.streams import random_stream

SEARCH_FILE = "search.sqlite"

# Where the 64 trials are drawn from; but for dropout, the names are a preset's.
SPACE: Mapping[str, BaseDistribution] = {
    # Around the presets' 2e-4 and 5e-4, a factor of ten or more both ways: far too low and far too
    # high are inside. A learning rate acts by its magnitude, and so does l2.
    "learning_rate": FloatDistribution(2e-5, 1e-2, log=True),
    # From the paper's 0.5, which it chose for GANs, to Adam's usual 0.9.
    "beta1": FloatDistribution(0.5, 0.9),
    # The authors' 1e-5 and 2.5e-5, and up to where it rules the gradient: labels are few.
    "l2": FloatDistribution(1e-6, 1e-2, log=True),
    # 1,000 pictures are 62 to 7 updates an epoch; smaller ones make batch norm's statistics noise.
    "batch": CategoricalDistribution((16, 32, 64, 128)),
    # Of what the output layer reads. It changes no layer, and gives the control a fair chance
    # against a regularised SVM. At 0.5 (Srivastava et al., 2014) it is usual for such layers.
    "dropout": FloatDistribution(0.0, 0.6),
}


@dataclass(frozen=True)
class Trial:
    """One trial of a search: the settings of a network, and how it came out.

    Attributes:
        number: From 0; with the seed it says all that was drawn.
        parameters: Its point in `SPACE`.
        validation_error: The lowest share of wrong answers on the validation split, in [0, 1];
            1 where the loss was not finite before the first look.
        best_epoch: The epoch after which it was seen.
        epochs: Epochs trained.
        training_loss: Mean cross entropy of the last epoch, in nats; NaN where it was not finite.
    """

    number: int
    parameters: Mapping[str, float]
    validation_error: float
    best_epoch: int
    epochs: int
    training_loss: float


@contextmanager
def open_study(folder: Path, identity: dict[str, Any]) -> Iterator[optuna.Study]:
    """The folder's study, new or found there, which must be of the same search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / SEARCH_FILE
    url = URL.create("sqlite", database=str(path)).render_as_string()
    try:
        storage = optuna.storages.RDBStorage(url)
    except (DatabaseError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not the storage of a search ({reason}); delete it to begin anew"
        ) from None
    try:
        study = optuna.create_study(storage=storage, study_name="supervised", load_if_exists=True)
        saved = study.user_attrs.get("search")
        if saved is None:
            study.set_user_attr("search", identity)
        elif saved != identity:
            raise UserError(
                f"{path} holds another search: {describe_differences(saved, identity)}; use "
                "another folder or delete it"
            )
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def threads_of(study: optuna.Study) -> int:
    """The number of threads that a search began with; a new one takes what there is to have."""
    if "threads" not in study.user_attrs:
        study.set_user_attr("threads", choose_threads())
    return int(study.user_attrs["threads"])


def finished_trials(study: optuna.Study) -> list[Trial]:
    """The finished trials in order; any other is of a process that is gone, and is closed."""
    for lost in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(lost.number, state=TrialState.FAIL)
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [_trial(number, trial) for number, trial in enumerate(found)]


def ask(study: optuna.Study, seed: int, number: int) -> optuna.Trial:
    """Begin a trial whose parameters depend on the seed and its number alone."""
    own = random_stream(seed, f"trial {number}/parameters").initial_seed() % 2**32
    study.sampler = optuna.samplers.RandomSampler(own)
    return study.ask(dict(SPACE))


def abandon(study: optuna.Study, started: optuna.Trial) -> None:
    """Close a trial that was stopped; it is no part of the table."""
    study.tell(started, state=TrialState.FAIL)


def tell(study: optuna.Study, started: optuna.Trial, trial: Trial) -> None:
    """Store a trial; only the last of these writes makes it count."""
    for name in ("best_epoch", "epochs", "training_loss"):
        value = getattr(trial, name)
        started.set_user_attr(name, None if math.isnan(value) else value)
    study.tell(started, trial.validation_error)


def _trial(number: int, stored: FrozenTrial) -> Trial:
    loss = stored.user_attrs["training_loss"]
    return Trial(
        number,
        stored.params,
        float(stored.values[0]),
        stored.user_attrs["best_epoch"],
        stored.user_attrs["epochs"],
        math.nan if loss is None else loss,
    )
