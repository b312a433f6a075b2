"""Forgetting to draw certain objects: section 6.3.1 and Figure 6 of the paper.

Somebody draws boxes around an object, windows in the paper, on samples of G. Each position of a
layer's maps is an example, its activations over all maps are the features: logistic regression
learns which positions lie on the object. The maps to which it gives a weight greater than zero
are dropped, set to zero at all positions, and G draws new samples without them.

Layers go by their row in G's table, from 1. "The second highest convolution layer" is by default
the second row that has maps, counted from z, 512 maps of 8x8 for `lsun64`: the paper calls the
layer next to z the highest, and it drops some 200 maps, more than the 128 of the row before the
picture. Activations are taken after batch norm and ReLU, what the next row sees, where zero is
what a map says of a place that has nothing for it.

Of positions (the paper is silent): each stands for the cell of the picture that it covers in an
even division. It is on the object if the centre of its cell lies in a box; of a box so small that
it holds no centre, the cell that holds the box's own centre is. Negatives are drawn among cells
that no box touches, in the same pictures, and as many in each as it has positives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dcgan_models.errors import UserError
from dcgan_models.internals.boxes import Box, Change, box_change, check_boxes, on_object, touched
from dcgan_models.internals.exemplars import check_latents
from dcgan_models.networks import Generator, to_pixels
from dcgan_models.pixels import Pixels
from dcgan_models.presets import Preset

Mask = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

_BATCH = 256
_FOLDS = 5


@dataclass(frozen=True)
class Examples:
    """What logistic regression learns from: a row a position.

    Attributes:
        activations: float32 (m, maps).
        on_object: bool (m,).
        pictures: int64 (m,), the sample each comes from.
    """

    activations: npt.NDArray[np.float32]
    on_object: Mask
    pictures: Integers


@dataclass(frozen=True)
class ObjectMaps:
    """The maps of a layer that draw an object, as logistic regression sees it.

    Attributes:
        layer: Row of G's table, from 1.
        weights: float64 (maps,), of the regression on all examples.
        maps: int64, those with a weight greater than zero, ascending.
        positives, negatives: Examples.
        pictures: Samples that the examples come from.
        accuracy: Share of examples that a regression which saw none of their picture gets right.
        folds: The same in each of the parts into which the pictures were dealt.
        chance: What the larger class alone would give.
    """

    layer: int
    weights: npt.NDArray[np.float64]
    maps: Integers
    positives: int
    negatives: int
    pictures: int
    accuracy: float
    folds: tuple[float, ...]
    chance: float


@dataclass(frozen=True)
class Forgotten:
    """Figure 6, its control, and what changed where boxes were drawn.

    Attributes:
        found: The maps that were dropped.
        before, after: uint8 (n, height, width, channels), new samples, with and without them.
        control: The same samples without as many maps drawn at random among all of the layer.
        change: In the pictures with boxes, of dropping the maps that were found.
        control_changes: Likewise, of each draw of random maps.
    """

    found: ObjectMaps
    before: Pixels
    after: Pixels
    control: Pixels
    change: Change
    control_changes: tuple[Change, ...]


def forget_object(
    generator: Generator,
    z: Tensor,
    boxes: Sequence[Box],
    new_z: Tensor,
    *,
    layer: int | None = None,
    labels: Tensor | None = None,
    new_labels: Tensor | None = None,
    C: float = 1.0,
    controls: int = 10,
    seed: int = 0,
) -> Forgotten:
    """Find an object's maps, and draw new samples with and without them.

    Args:
        generator: With sampling statistics.
        z: (n, z_dim), what drew the samples that boxes were drawn on.
        boxes: Around one kind of object, any.
        new_z: (m, z_dim), what to draw with and without the maps.
        layer: Row of G's table, from 1; the second with maps by default.
        labels, new_labels: (n,) and (m,) int64, for a conditional preset.
        C: Inverse weight of the regression's L2 penalty; 1 is scikit-learn's default.
        controls: How many times as many random maps are dropped, at least once.
        seed: Of the negatives and of the random maps.

    Raises:
        UserError: As `find_object_maps`; no map has a weight greater than zero; no controls.
    """
    if controls < 1:
        raise UserError(f"{controls} draws of random maps: at least 1 is needed")
    layer = second_highest_layer(generator.preset) if layer is None else layer
    found = find_object_maps(generator, z, boxes, layer=layer, labels=labels, C=C, seed=seed)
    if not len(found.maps):
        raise UserError(
            f"layer {layer}: no map has a weight greater than zero; boxes on more pictures, or "
            "another layer, may help"
        )
    # What was boxed is drawn again: there, the change is measured inside the boxes and outside.
    shown = sorted({box.picture for box in boxes})
    moved = [replace(box, picture=shown.index(box.picture)) for box in boxes]
    some_z, some_labels = z[shown], None if labels is None else labels[shown]

    # The control: as many maps, drawn at random among all of the layer.
    rng = np.random.default_rng(seed)
    draws = [rng.choice(len(found.weights), len(found.maps), False) for _ in range(controls)]
    choices: list[npt.ArrayLike] = [[], found.maps, *draws]
    whole, *others = draw_without_each(generator, some_z, choices, layer, some_labels)
    change, *control_changes = (box_change(whole, other, moved) for other in others)
    before, after, control = draw_without_each(generator, new_z, choices[:3], layer, new_labels)
    return Forgotten(found, before, after, control, change, tuple(control_changes))


# --- Layers -------------------------------------------------------------------------------------


def map_layers(preset: Preset) -> dict[int, tuple[int, int, int]]:
    """The rows of G's table, from 1, that have maps: (maps, height, width); not the picture."""
    shapes = preset.generator_shapes()[1:-1]
    return {
        row: (shape[0], shape[1], shape[2])
        for row, shape in enumerate(shapes, 1)
        if len(shape) == 3
    }


def second_highest_layer(preset: Preset) -> int:
    """The paper's layer: the second row with maps, counted from z; 2 for `lsun64`.

    Raises:
        UserError: There are fewer than two.
    """
    rows = list(map_layers(preset))
    if len(rows) < 2:
        raise UserError(f"preset {preset.name}: its generator has {len(rows)} layers with maps")
    return rows[1]


def _check_layer(preset: Preset, layer: int) -> tuple[int, int, int]:
    known = map_layers(preset)
    if layer not in known:
        named = ", ".join(f"{row} ({m} of {h}x{w})" for row, (m, h, w) in known.items()) or "none"
        raise UserError(f"layer {layer} of preset {preset.name}; layers with maps are: {named}")
    return known[layer]


# --- From boxes to examples ---------------------------------------------------------------------


def collect_examples(
    generator: Generator,
    z: Tensor,
    boxes: Sequence[Box],
    *,
    layer: int,
    labels: Tensor | None = None,
    seed: int = 0,
) -> Examples:
    """Activations of a layer at positions on the object, and at random ones off it.

    Raises:
        UserError: A layer without maps; z of another length, or no statistics; no boxes, or one
            that is empty, lies outside its picture or names a picture without z; boxes on one
            picture alone, or none that leaves a position untouched.
    """
    # A refusal comes before anything is drawn.
    _, *grid = _check_layer(generator.preset, layer)
    _, *image = generator.preset.image
    _check_latents(generator, z)
    check_boxes(boxes, len(z), (image[0], image[1]))
    # The features: each position's activations over all maps of the layer.
    rng = np.random.default_rng(seed)
    shown = sorted({box.picture for box in boxes})
    chosen = None if labels is None else labels[shown]
    maps = layer_activations(generator, z[shown], layer, chosen).numpy()
    vectors, answers, pictures = [], [], []
    for picture, activations in zip(shown, maps, strict=True):
        # On the object: inside a box. Off it: what no box so much as touches.
        sides = (grid[0], grid[1]), (image[0], image[1])
        own = [box for box in boxes if box.picture == picture]
        inside = np.logical_or.reduce([on_object(box, *sides) for box in own])
        near = np.logical_or.reduce([touched(box, *sides) for box in own])
        # As many of both in each picture, so that no picture's look answers for the object.
        positives, free = np.flatnonzero(inside), np.flatnonzero(~(inside | near))
        negatives = rng.choice(free, min(len(positives), len(free)), replace=False)
        flat = activations.reshape(len(activations), -1).T
        vectors.append(flat[np.concatenate([positives, negatives])])
        answers.append(np.arange(len(positives) + len(negatives)) < len(positives))
        pictures.append(np.full(len(answers[-1]), picture))
    # Accuracy needs a picture to learn from and another to be judged on.
    found = Examples(*(np.concatenate(parts) for parts in (vectors, answers, pictures)))
    if len(shown) < 2 or found.on_object.all():
        raise UserError(
            f"boxes on {len(shown)} pictures, {int((~found.on_object).sum())} positions off the "
            "object: at least 2 pictures are needed, and boxes that leave some of them free"
        )
    return found


def _check_latents(generator: Generator, z: Tensor) -> None:
    check_latents(z, generator.preset)
    if not generator.has_statistics:
        raise UserError("this generator has no sampling statistics: it cannot draw single z")


# --- Logistic regression ------------------------------------------------------------------------


def find_object_maps(
    generator: Generator,
    z: Tensor,
    boxes: Sequence[Box],
    *,
    layer: int,
    labels: Tensor | None = None,
    C: float = 1.0,
    seed: int = 0,
) -> ObjectMaps:
    """Learn which of a layer's maps speak for an object.

    Accuracy is measured on pictures that the regression did not see: neighbouring positions of
    one picture are alike, and dealing positions instead would flatter it.

    Raises:
        UserError: As `collect_examples`.
    """
    from sklearn.model_selection import GroupKFold

    examples = collect_examples(generator, z, boxes, layer=layer, labels=labels, seed=seed)
    x, y = examples.activations, examples.on_object
    # Folds of whole pictures, as even as can be: five of them, or one a picture.
    pictures = len(np.unique(examples.pictures))
    right = np.zeros(len(y), bool)
    folds = []
    for train, test in GroupKFold(min(_FOLDS, pictures)).split(x, y, examples.pictures):
        weights, intercept = _fit(x[train], y[train], C)
        right[test] = (x[test] @ weights + intercept > 0) == y[test]
        folds.append(float(right[test].mean()))
    # The maps that are dropped are those of a regression on all examples.
    weights, _ = _fit(x, y, C)
    positives = int(y.sum())
    return ObjectMaps(
        layer=layer,
        weights=weights,
        maps=np.flatnonzero(weights > 0),
        positives=positives,
        negatives=len(y) - positives,
        pictures=pictures,
        accuracy=float(right.mean()),
        folds=tuple(folds),
        chance=max(Counter(y.tolist()).values()) / len(y),
    )


def _fit(x: npt.NDArray[np.float32], y: Mask, C: float) -> tuple[npt.NDArray[np.float64], float]:
    """Weights and intercept; a map that is the same everywhere has a weight of exactly zero.

    The signs of weights decide: hence Newton's method, which settles them, and a shift that makes
    the column of such a map zero. The intercept is not penalised, so a shift changes no weight.
    """
    from sklearn.linear_model import LogisticRegression

    if y.all() or not y.any():
        return np.zeros(x.shape[1]), 1.0 if y.all() else -1.0
    shifted = x.astype(np.float64) - x[0]
    model = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-8).fit(shifted, y)
    weights = model.coef_[0]
    return weights, float(model.intercept_[0] - weights @ x[0])


# --- G in two halves ----------------------------------------------------------------------------


@torch.inference_mode()
def layer_activations(
    generator: Generator, z: Tensor, layer: int, labels: Tensor | None = None
) -> Tensor:
    """What a layer's maps hold, after batch norm and activation: float32 (n, maps, h, w), on CPU.

    Raises:
        UserError: A layer without maps, z of another length, or no sampling statistics.
    """
    _check_layer(generator.preset, layer)
    _check_latents(generator, z)
    generator.eval()
    device = next(generator.parameters()).device
    return torch.cat(
        [
            generator.run(part.to(device), _on(device, labels, first), slice(layer)).cpu()
            for first, part in _parts(z)
        ]
    )


def draw_without(
    generator: Generator,
    z: Tensor,
    maps: npt.ArrayLike,
    layer: int,
    labels: Tensor | None = None,
) -> Pixels:
    """Draw pictures with some maps of a layer set to zero at all positions.

    Args:
        generator: With sampling statistics; it is not changed.
        z: (n, z_dim).
        maps: Numbers of maps, from 0; none of them is a plain drawing.
        layer: Row of G's table, from 1.
        labels: (n,) int64, for a conditional preset.

    Returns:
        uint8 (n, height, width, channels).

    Raises:
        UserError: A layer without maps, a map it does not have, z of another length, or no
            sampling statistics.
    """
    (pictures,) = draw_without_each(generator, z, [maps], layer, labels)
    return pictures


@torch.inference_mode()
def draw_without_each(
    generator: Generator,
    z: Tensor,
    choices: Sequence[npt.ArrayLike],
    layer: int,
    labels: Tensor | None = None,
) -> list[Pixels]:
    """Draw the same pictures without each of several choices of maps, as `draw_without` does.

    What lies before the layer is the same for all of them, and computed once.
    """
    # Refused here, because torch would take -1 for the last map.
    count, _, _ = _check_layer(generator.preset, layer)
    _check_latents(generator, z)
    dropped = [torch.tensor(np.asarray(maps, dtype=np.int64)) for maps in choices]
    for maps in dropped:
        if len(maps) and not (int(maps.min()) >= 0 and int(maps.max()) < count):
            raise UserError(f"maps {maps.tolist()}: layer {layer} has maps 0 to {count - 1}")
    # Up to the layer, the maps to zero, and on: new samples without them (Figure 6).
    generator.eval()
    device = next(generator.parameters()).device
    pictures: list[list[Tensor]] = [[] for _ in dropped]
    for first, part in _parts(z):
        condition = _on(device, labels, first)
        whole = generator.run(part.to(device), condition, slice(layer))
        for maps, own in zip(dropped, pictures, strict=True):
            x = whole.clone()
            x[:, maps.to(device)] = 0
            drawn = generator.run(x, condition, slice(layer, None))
            own.append(to_pixels(drawn, generator.preset).cpu())
    return [torch.cat(own).numpy() for own in pictures]


def _parts(z: Tensor) -> list[tuple[int, Tensor]]:
    return [(first, z[first : first + _BATCH]) for first in range(0, len(z), _BATCH)]


def _on(device: torch.device, labels: Tensor | None, first: int) -> Tensor | None:
    return None if labels is None else labels[first : first + _BATCH].to(device)
