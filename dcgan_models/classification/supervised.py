"""The supervised control of the SVHN experiment (section 5.2): D's architecture without the GAN.

"A purely supervised CNN with the same architecture on the same data", its settings found "via
random search over 64 hyperparameter trials" (after Bergstra & Bengio, 2012), has 28.87 % error on
the paper's validation split, where the L2-SVM on D's features has 22.48 % on the test split.

The network is the preset's D with one output unit for each class in the place of its logit, from
scratch, with softmax cross entropy and Adam on the labelled pictures alone. Batch norm's
statistics for the validation pictures are D's own: averages over the training pictures.

The paper does not give its search space; `trials.SPACE` is ours. No picture is augmented, because
none is in the paper. What the validation split chooses (the trial, and the epoch of each trial)
makes its error an optimistic one, as the paper's is.

Trials are kept in an Optuna study, `search.sqlite`. Trial k draws its settings, weights, order and
dropout from (seed, k) alone, so that a search that was killed and resumed has the same table.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from optuna.distributions import distribution_to_json
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the field's own name for it)

from dcgan_models.classification.trials import (
    SPACE,
    Trial,
    abandon,
    ask,
    finished_trials,
    open_study,
    tell,
    threads_of,
)
from dcgan_models.errors import UserError
from dcgan_models.machine import (
    Device,
    choose_device,
    go_on_with_threads,
    threads_given_back,
)
from dcgan_models.networks import (
    Block,
    Discriminator,
    fix_statistics,
    from_pixels,
    initialise,
    picture_batches,
)
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Preset
from dcgan_models.training.checkpoint import run_lock
from dcgan_models.training.streams import random_stream
from dcgan_models.training.updates import adam

Labels = npt.NDArray[np.int64]

# A trial looks at the validation split so many times, evenly over its epochs, and ends early
# after so many looks in a row that were no better than its best one.
_LOOKS, _PATIENCE = 10, 4

# What of a preset a trial depends on; the rest is G's, or drawn from SPACE.
_OF_THE_PRESET = (
    "image discriminator affine norm_eps init_std leak beta2 adam_eps".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        trials: In order of their numbers; fewer than were asked for if it was stopped.
        finished: Whether all are there.
        threads: Of torch's, with so many the trials were computed.
    """

    trials: tuple[Trial, ...]
    finished: bool
    threads: int

    @property
    def best(self) -> Trial:
        """The trial with the lowest validation error, the first of several.

        Raises:
            ValueError: No trial is finished.
        """
        return min(self.trials, key=lambda trial: trial.validation_error)


class Classifier(Discriminator):
    """D with a unit for each class in the place of its one logit; no bias, like the authors' D."""

    def __init__(self, preset: Preset, classes: int) -> None:
        """Build it.

        Args:
            preset: An unconditional one.
            classes: At least 2.
        """
        super().__init__(preset)
        layer, shape = preset.discriminator[-1], preset.discriminator_shapes()[-2]
        inputs = math.prod(shape) if layer.op == "dense" else shape[0]
        self.blocks[-1] = Block(replace(layer, out=classes), inputs, preset)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n, classes) of pictures (n, channels, height, width), scaled as G draws."""
        return self.run(images, None).flatten(1)

    def logits_with_dropout(self, images: Tensor, share: float, rng: torch.Generator) -> Tensor:
        """Logits with a share of the output layer's inputs dropped, the others scaled up."""
        *hidden, output = self.blocks
        x = images
        for block in hidden:
            x = block(x, None)
        kept = torch.rand(x.shape, generator=rng, device=x.device) >= share
        logits: Tensor = output(x * kept / (1 - share), None)
        return logits.flatten(1)


def search(
    images: Pixels,
    labels: npt.ArrayLike,
    validation_images: Pixels,
    validation_labels: npt.ArrayLike,
    *,
    preset: Preset,
    folder: Path,
    trials: int = 64,
    epochs: int = 100,
    seed: int = 0,
    device: Device = "auto",
    progress: Callable[[Trial], None] = lambda trial: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """Search for the best training settings at random, or go on with such a search.

    A trial that was not finished is begun again and leaves nothing in the result. On a CPU the
    trials are the same bits however often the search was interrupted: it goes on with the number
    of threads that it began with. More trials may be asked for later.

    Args:
        images: uint8 (n, height, width, channels), the labelled pictures (`svm.draw_labelled`).
        labels: Integers (n,) from 0, every class present.
        validation_images: uint8 (m, height, width, channels).
        validation_labels: Integers (m,), of the same classes.
        preset: Whose D it is: svhn32 in the paper.
        folder: The run's own; receives `search.sqlite`.
        trials: Trials in all, those already there included.
        epochs: Passes over the labelled pictures, at most.
        seed: Of everything that is drawn.
        device: cpu, cuda, or auto.
        progress: Called after every trial of this call.
        should_stop: Asked before every minibatch; True ends the call.

    Returns:
        The finished trials, at most `trials` of them.

    Raises:
        UserError: A count is below 1, pictures or labels do not fit, there is one class only, or
            the folder holds another search, a damaged one, or one at work.
    """
    # A refusal comes before anything in the folder is touched.
    for name, count in (("trials", trials), ("epochs", epochs)):
        if count < 1:
            raise UserError(f"{name} is {count}; allowed are whole numbers from 1")
    data = _Data.check(images, labels, validation_images, validation_labels, preset)
    chosen = choose_device(device)
    identity = _identity(preset, data, epochs, seed)
    with run_lock(folder), threads_given_back(), open_study(folder, identity) as study:
        if chosen.type == "cpu":
            go_on_with_threads(threads_of(study), folder)
        done = finished_trials(study)
        while len(done) < trials and not should_stop():
            # Optuna counts trials that were killed, too; ours are numbered by what is finished.
            started = ask(study, seed, len(done))
            trial = _train(
                data, preset, len(done), started.params, epochs, seed, chosen, should_stop
            )
            if trial is None:
                abandon(study, started)
                break
            tell(study, started, trial)
            done.append(trial)
            progress(trial)
        return SearchResult(
            tuple(done[:trials]), len(done) >= trials, threads=torch.get_num_threads()
        )


def error_of_trial(
    trial: Trial,
    images: Pixels,
    labels: npt.ArrayLike,
    test_images: Pixels,
    test_labels: npt.ArrayLike,
    *,
    preset: Preset,
    threads: int,
    seed: int = 0,
    device: Device = "auto",
    should_stop: Callable[[], bool] = lambda: False,
) -> float | None:
    """The error of a trial's network on pictures that had no say in what was chosen.

    The network is trained again up to its best epoch, with the search's number of threads: on a
    CPU it is the same network.

    Args:
        trial: Of a search, on the same pictures and with the same preset and seed.
        images, labels: As `search` was given them.
        test_images: uint8 (m, height, width, channels).
        test_labels: Integers (m,), of the same classes.
        preset, seed, device, should_stop: As for `search`.
        threads: Those of the search.

    Returns:
        The share of wrong answers, in [0, 1]; None if it was stopped.

    Raises:
        UserError: Pictures or labels do not fit.
    """
    data = _Data.check(images, labels, test_images, test_labels, preset)
    chosen = choose_device(device)
    with threads_given_back():
        torch.set_num_threads(threads)
        learning = _Learning.of_trial(data, preset, trial.number, trial.parameters, seed, chosen)
        for _ in range(trial.best_epoch):
            if learning.epoch(should_stop) is None:
                return None
        return _error(learning.network, data)


# --- What is trained on -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Data:
    """Pictures and labels that fit each other and the preset."""

    images: Pixels
    labels: Labels
    validation_images: Pixels
    validation_labels: Labels
    classes: int

    @classmethod
    def check(
        cls,
        images: Pixels,
        labels: npt.ArrayLike,
        validation_images: Pixels,
        validation_labels: npt.ArrayLike,
        preset: Preset,
    ) -> _Data:
        bare = Discriminator(preset)
        for pictures in (images, validation_images):
            picture_batches(bare, pictures, 1)  # refuses what does not fit, and reads nothing
        known = _check_labels(labels, len(images), "training")
        classes = int(known.max()) + 1
        missing = np.setdiff1d(np.arange(classes), known)
        if len(missing):
            raise UserError(
                f"training labels: class {missing[0]} of 0 to {classes - 1} has no example"
            )
        if classes < 2:
            raise UserError("training labels: all are 0: one class only, at least 2 are needed")
        judged = _check_labels(validation_labels, len(validation_images), "validation")
        if judged.max() >= classes:
            raise UserError(
                f"validation labels: {judged.max()} is out of range; the training pictures have "
                f"classes 0 to {classes - 1}"
            )
        return cls(images, known, validation_images, judged, classes)

    def digest(self) -> str:
        """SHA-256 of everything."""
        found = hashlib.sha256()
        for array in (self.images, self.labels, self.validation_images, self.validation_labels):
            found.update(f"{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


def _check_labels(labels: npt.ArrayLike, pictures: int, which: str) -> Labels:
    found = np.asarray(labels)
    if found.shape != (pictures,) or not np.issubdtype(found.dtype, np.integer):
        raise UserError(
            f"{which} labels are {found.dtype} {found.shape}; {pictures} whole numbers are needed, "
            "one for each picture"
        )
    whole = found.astype(np.int64)  # uint64 from 2^63 on becomes less than 0
    if whole.min() < 0:
        row = int((whole < 0).argmax())
        raise UserError(
            f"{which} labels: picture {row} has {found[row]}; allowed are 0 to 2^63 - 1"
        )
    return whole


# --- What identifies a search ------------------------------------------------------------------


def _identity(preset: Preset, data: _Data, epochs: int, seed: int) -> dict[str, Any]:
    """What must be equal for finished trials to belong to this search; plain JSON values."""
    content = preset.to_dict()
    identity = {
        "preset": {name: content[name] for name in _OF_THE_PRESET},
        "signed": preset.signed,
        "data": data.digest(),
        "epochs": epochs,
        "seed": seed,
        "space": {name: json.loads(distribution_to_json(SPACE[name])) for name in SPACE},
        "looks": [_LOOKS, _PATIENCE],
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity))
    return plain


# --- One trial --------------------------------------------------------------------------------


def _train(
    data: _Data,
    preset: Preset,
    number: int,
    parameters: dict[str, Any],
    epochs: int,
    seed: int,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> Trial | None:
    """Train one network; None if it was stopped."""
    learning = _Learning.of_trial(data, preset, number, parameters, seed, device)
    # Looks are few and spread over the epochs: each takes the whole of the validation pictures.
    looks = {math.ceil(epochs * look / _LOOKS) for look in range(1, _LOOKS + 1)}
    best, best_epoch, in_vain, loss = 1.0, 0, 0, math.nan
    for epoch in range(1, epochs + 1):
        reached = learning.epoch(should_stop)
        if reached is None:
            return None
        # A network that diverged keeps the best that it had before.
        loss = reached if math.isfinite(reached) else math.nan
        if math.isnan(loss):
            break
        if epoch not in looks:
            continue
        error = _error(learning.network, data)
        in_vain = 0 if error < best else in_vain + 1
        if error < best:
            best, best_epoch = error, epoch
        if in_vain == _PATIENCE:
            break
    return Trial(number, parameters, best, best_epoch, epoch, loss)


class _Learning:
    """A network, its Adam, and the chance that a trial uses.

    Attributes:
        network: What learns.
    """

    @classmethod
    def of_trial(
        cls,
        data: _Data,
        preset: Preset,
        number: int,
        parameters: Mapping[str, float],
        seed: int,
        device: torch.device,
    ) -> _Learning:
        """As a trial begins: all hangs on seed and number, so that begun again it is the same."""
        settings: dict[str, Any] = dict(parameters)
        dropout = settings.pop("dropout")
        network = Classifier(preset.with_overrides(**settings), data.classes)
        initialise(network, random_stream(seed, f"trial {number}/weights"))
        return cls(network.to(device), data, dropout, seed, number)

    def __init__(
        self, network: Classifier, data: _Data, dropout: float, seed: int, number: int
    ) -> None:
        self.network, self._dropout = network, dropout
        device = next(network.parameters()).device
        self._images = torch.tensor(data.images).to(device)
        self._labels = torch.from_numpy(data.labels).to(device)
        self._adam = adam(network)
        self._order = random_stream(seed, f"trial {number}/order")
        self._noise = random_stream(seed, f"trial {number}/dropout", device)

    def epoch(self, should_stop: Callable[[], bool]) -> float | None:
        """One pass over the pictures; the mean loss, or None if `should_stop` said so.

        A last minibatch that is not full, and whose statistics are noise, is left out; the order
        is new in each epoch, and so are the pictures that it would have had.
        """
        self.network.train()
        n, preset = len(self._labels), self.network.preset
        order = torch.randperm(n, generator=self._order).to(self._labels.device)
        batch = min(preset.batch, n)
        total = torch.zeros((), device=order.device)
        for rows in torch.split(order[: n - n % batch], batch):
            if should_stop():
                return None
            images = from_pixels(self._images[rows], preset)
            logits = self.network.logits_with_dropout(images, self._dropout, self._noise)
            loss = F.cross_entropy(logits, self._labels[rows])
            self._adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._adam.step()
            total += loss.detach()
        return total.item() / (n // batch)


@torch.inference_mode()
def _error(network: Classifier, data: _Data) -> float:
    """Share of wrong answers on the pictures that are not trained on."""
    fix_statistics(network, data.images)
    wrong, first = 0, 0
    for images in picture_batches(network, data.validation_images, 500):
        answers = network(images).argmax(dim=1).cpu().numpy()
        wrong += int((answers != data.validation_labels[first : first + len(answers)]).sum())
        first += len(answers)
    return wrong / first
