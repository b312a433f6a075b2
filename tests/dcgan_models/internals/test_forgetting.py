"""Forgetting an object, on a generator one of whose maps draws a known square."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused
from scipy.optimize import brentq
from scipy.special import expit
from torch import Tensor

from dcgan_models.internals.boxes import Box, box_change
from dcgan_models.internals.forgetting import (
    _fit,
    collect_examples,
    draw_without,
    find_object_maps,
    forget_object,
    layer_activations,
    map_layers,
    second_highest_layer,
)
from dcgan_models.networks import (
    Generator,
    draw_latents,
    estimate_sampling_statistics,
    initialise,
)
from dcgan_models.presets import Layer, Preset, preset

GRID, SIDE, MAPS = 4, 16, 6
SQUARE, BACKGROUND = 2, 4  # the maps that do something; the others are asleep
LAYER = 2


def square_generator() -> Generator:
    """z[p] > 0 puts a square at position p of the 4x4 grid; z[16] > 0 paints the background.

    Map 2 of layer 2 is the square: twice as bright where it is. Map 4 is background everywhere.
    """
    places = GRID * GRID
    network = Generator(
        Preset(
            name="square",
            source="this test",
            image=(1, SIDE, SIDE),
            z_dim=places + 1,
            epochs=1,
            generator=(
                Layer("dense", MAPS * places, act="relu", reshape=(MAPS, GRID, GRID)),
                Layer("deconv", MAPS, 1, act="relu"),
                Layer("deconv", 1, 4, 4, act="tanh"),
            ),
            discriminator=(Layer("dense", 1),),
        )
    )
    blocks: list[Any] = list(network.blocks)
    for block in blocks:
        block.weight.weight.data.zero_()
    rows = blocks[0].weight.weight.data.view(MAPS, places, places + 1)
    rows[SQUARE, :, :places] = torch.eye(places)
    rows[BACKGROUND, :, places] = 1.0
    blocks[1].weight.weight.data[:, :, 0, 0] = torch.eye(MAPS)
    blocks[2].weight.weight.data[SQUARE] = 2.0
    blocks[2].weight.weight.data[BACKGROUND] = -0.5
    return network


def squares(n: int, seed: int = 0) -> tuple[Tensor, list[Box]]:
    """Latents of n pictures with one square each, and the boxes around them."""
    rng = np.random.default_rng(seed)
    z, boxes = torch.full((n, GRID * GRID + 1), -1.0), []
    for picture, place in enumerate(rng.integers(GRID * GRID, size=n).tolist()):
        z[picture, place], z[picture, -1] = float(rng.uniform(0.5, 1)), 1.0
        y, x = divmod(place, GRID)
        boxes.append(Box(picture, 4.0 * x, 4.0 * y, 4.0, 4.0))
    return z, boxes


def lively(name: str) -> Generator:
    network = Generator(preset(name).with_overrides(width=0.05, batch=8))
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    estimate_sampling_statistics(network, seed=0, minibatches=4)
    return network


# --- The known square ---------------------------------------------------------------------------


def test_the_map_that_draws_the_square_is_found_and_no_other() -> None:
    z, boxes = squares(12)
    found = find_object_maps(square_generator(), z, boxes, layer=LAYER)
    assert found.maps.tolist() == [SQUARE]
    asleep_or_everywhere_the_same = [0, 1, 3, 5, BACKGROUND]
    assert (found.weights[asleep_or_everywhere_the_same] == 0).all()
    assert (found.positives, found.negatives, found.pictures) == (12, 12, 12)
    assert (found.accuracy, found.chance, len(found.folds)) == (1.0, 0.5, 5)


def test_without_its_map_the_square_is_gone_and_nothing_else_has_changed() -> None:
    z, boxes = squares(12)
    new_z, new_boxes = squares(9, seed=5)
    result = forget_object(square_generator(), z, boxes, new_z, layer=LAYER, controls=40)
    background = round((math.tanh(-0.5) + 1) * 127.5)
    assert (result.after == background).all()
    for box, picture in zip(new_boxes, result.before, strict=True):
        y, x = int(box.y), int(box.x)
        assert (picture[y : y + 4, x : x + 4] > 127).all()
        assert (picture == background).sum() == SIDE * SIDE - 16
    assert result.change.inside > 100
    assert result.change.outside == 0
    assert result.change.ratio == math.inf
    # One of six maps at random: asleep, the background or, by chance, the square.
    kinds = {(change.inside > 0, change.outside > 0) for change in result.control_changes}
    assert kinds == {(False, False), (True, True), (True, False)}
    assert result.control.shape == result.after.shape


def test_boxes_in_the_wrong_place_do_not_find_the_square() -> None:
    z, boxes = squares(12)
    wrong = [replace(box, x=(box.x + 8) % SIDE, y=(box.y + 4) % SIDE) for box in boxes]
    found = find_object_maps(square_generator(), z, wrong, layer=LAYER)
    assert SQUARE not in found.maps
    assert found.accuracy < 1


def test_held_out_accuracy_is_that_of_unseen_pictures() -> None:
    """Each picture marks the object by a map of its own: what is learnt from the others says
    nothing. Held-out positions of known pictures, in place of pictures, would all be right."""
    network = square_generator()
    blocks: list[Any] = list(network.blocks)
    blocks[0].weight.weight.data.zero_()
    rows = blocks[0].weight.weight.data.view(MAPS, GRID * GRID, -1)
    for picture in range(MAPS):
        rows[picture, [5, 6], picture] = 1.0
    boxes = [Box(picture, 4, 4, 8, 4) for picture in range(MAPS)]
    found = find_object_maps(network, torch.eye(MAPS, GRID * GRID + 1), boxes, layer=LAYER)
    assert found.maps.tolist() == list(range(MAPS))
    assert (found.positives, found.negatives) == (12, 12)
    assert found.folds == (0.5,) * 5
    assert (found.accuracy, found.chance) == (0.5, 0.5)


@pytest.mark.parametrize("C", [1.0, 0.01])
def test_the_weights_are_those_of_logistic_regression_with_an_l2_penalty(C: float) -> None:
    """At the minimum of C * loss + |w|^2 / 2 the weights are C * X^T (y - p)."""
    network = lively("lsun64")
    z = draw_latents(network.preset, 8, torch.Generator().manual_seed(1))
    boxes = [Box(i, 8 + i, 16, 20, 24) for i in range(8)]
    found = find_object_maps(network, z, boxes, layer=2, C=C, seed=3)
    examples = collect_examples(network, z, boxes, layer=2, seed=3)
    x, y = examples.activations.astype(float), examples.on_object
    scores = x @ found.weights
    # The intercept makes the mean of p that of y.
    intercept = brentq(lambda b: float((expit(scores + b) - y).sum()), -50, 50, xtol=1e-12)
    np.testing.assert_allclose(found.weights, C * x.T @ (y - expit(scores + intercept)), atol=1e-6)
    assert found.maps.tolist() == np.flatnonzero(found.weights > 0).tolist()


# --- Boxes and positions ------------------------------------------------------------------------


def test_examples_are_the_activations_at_their_places() -> None:
    """The box covers cells 1 and 2 of row 1 and touches a part of its right neighbour."""
    network = square_generator()
    z = torch.rand(3, 17, generator=torch.Generator().manual_seed(4))
    boxes = [Box(picture, 4, 4, 9, 4) for picture in (0, 2)]
    found = collect_examples(network, z, boxes, layer=LAYER)
    maps = layer_activations(network, z, LAYER)
    assert found.pictures.tolist() == [0] * 4 + [2] * 4
    assert found.on_object.tolist() == [True, True, False, False] * 2
    np.testing.assert_array_equal(found.activations[:2], maps[0, :, 1, 1:3].T)
    free = maps[2].flatten(1).T.numpy()[[i for i in range(16) if i not in (5, 6, 7)]]
    for vector in found.activations[6:]:
        assert (free == vector).all(axis=1).sum() == 1


def test_negatives_hang_on_the_seed() -> None:
    network = lively("lsun64")
    z = draw_latents(network.preset, 6, torch.Generator().manual_seed(1))
    boxes = [Box(picture, 8, 16, 20, 24) for picture in range(6)]

    def drawn(seed: int) -> Any:
        return collect_examples(network, z, boxes, layer=2, seed=seed).activations

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))


def test_a_box_that_leaves_less_than_it_holds() -> None:
    """Nine cells of 16 inside and three free ones: what is there is taken, and chance is 3/4."""
    network = square_generator()
    z = torch.rand(3, 17, generator=torch.Generator().manual_seed(4))
    boxes = [Box(picture, 0, 0, 12, 12.5) for picture in range(3)]
    found = collect_examples(network, z, boxes, layer=LAYER)
    # The lowest row is touched but for its last cell, which the right column goes on to.
    assert found.on_object.tolist() == ([True] * 9 + [False] * 4) * 3
    maps = find_object_maps(network, z, boxes, layer=LAYER)
    assert (maps.positives, maps.negatives) == (27, 12)
    assert maps.chance == pytest.approx(27 / 39)


@pytest.mark.parametrize("answer", [True, False])
def test_of_one_kind_alone_nothing_is_learnt(answer: bool) -> None:
    weights, intercept = _fit(np.ones((4, 3), np.float32), np.full(4, answer), 1.0)
    assert weights.tolist() == [0, 0, 0]
    assert (intercept > 0) == answer


def test_the_intercept_makes_the_mean_probability_that_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, (60, 4)).astype(np.float32)
    y = rng.random(60) < expit(x[:, 0] - 4)
    weights, intercept = _fit(x, y, 0.5)
    expected = expit(x.astype(float) @ weights + intercept)
    assert expected.mean() == pytest.approx(y.mean(), abs=1e-6)
    np.testing.assert_allclose(weights, 0.5 * x.T.astype(float) @ (y - expected), atol=1e-5)


# --- G in two halves ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lsun64", "mnist28", "svhn32", "torch64"])
def test_dropping_equals_cutting_the_weights_that_lead_out(name: str) -> None:
    network = lively(name)
    classes = network.preset.classes
    labels = torch.arange(5) % classes if classes else None
    z = draw_latents(network.preset, 5, torch.Generator().manual_seed(1))
    layer = second_highest_layer(network.preset)
    np.testing.assert_array_equal(
        draw_without(network, z, [], layer, labels), network.draw(z, labels)
    )
    without = draw_without(network, z, [0, 2], layer, labels)
    following: Any = network.blocks[layer]
    following.weight.weight.data[[0, 2]] = 0
    np.testing.assert_array_equal(without, network.draw(z, labels))


@pytest.mark.parametrize("name", ["lsun64", "mnist28"])
def test_batches_leave_no_seam(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lively(name)
    labels = torch.arange(7) if network.preset.classes else None
    z = draw_latents(network.preset, 7, torch.Generator().manual_seed(1))
    drawn = draw_without(network, z, [1], 2, labels)
    maps = layer_activations(network, z, 2, labels)
    monkeypatch.setattr("dcgan_models.internals.forgetting._BATCH", 3)
    again = draw_without(network, z, [1], 2, labels)
    assert np.abs(again.astype(int) - drawn).max() <= 1
    torch.testing.assert_close(layer_activations(network, z, 2, labels), maps)


def test_the_control_drops_as_many_maps_of_all_that_there_are() -> None:
    """By default of the paper's layer, and with what the seed draws."""
    network = lively("lsun64")
    z, new_z = (draw_latents(network.preset, n, torch.Generator().manual_seed(n)) for n in (6, 3))
    boxes = [Box(picture, 8, 16, 20, 24) for picture in (1, 2, 4, 5)]
    result = forget_object(network, z, boxes, new_z, controls=2, seed=3)
    single = forget_object(network, z, boxes, new_z, controls=1, seed=3)
    assert single.control_changes == result.control_changes[:1]
    found = result.found
    assert found.layer == 2
    assert found.pictures == 4
    rng = np.random.default_rng(3)
    draws = [rng.choice(len(found.weights), len(found.maps), replace=False) for _ in range(2)]
    np.testing.assert_array_equal(result.before, network.draw(new_z))
    np.testing.assert_array_equal(result.after, draw_without(network, new_z, found.maps, 2))
    np.testing.assert_array_equal(result.control, draw_without(network, new_z, draws[0], 2))
    shown, moved = z[[1, 2, 4, 5]], [replace(box, picture=i) for i, box in enumerate(boxes)]
    whole = draw_without(network, shown, [], 2)
    assert (result.change, *result.control_changes) == tuple(
        box_change(whole, draw_without(network, shown, maps, 2), moved)
        for maps in (found.maps, *draws)
    )


def test_the_layer_of_the_paper_is_the_second_from_z() -> None:
    shapes = map_layers(preset("lsun64"))
    assert shapes == {1: (1024, 4, 4), 2: (512, 8, 8), 3: (256, 16, 16), 4: (128, 32, 32)}
    assert second_highest_layer(preset("lsun64")) == 2
    assert second_highest_layer(preset("torch64")) == 2
    assert map_layers(preset("mnist28")) == {2: (128, 7, 7), 3: (64, 14, 14)}


def test_maps_that_are_wider_than_high() -> None:
    """A box goes by the sides of the maps, which need not be equal: its cell is row 2, column 3."""
    layers = (
        Layer("dense", 2 * 4 * 6, act="relu", reshape=(2, 4, 6)),
        Layer("deconv", 2, 1, act="relu"),
        Layer("deconv", 1, 4, 4, act="tanh"),
    )
    plain = square_generator().preset
    oblong = replace(plain, image=(1, 16, 24), generator=layers, z_dim=5)
    assert map_layers(oblong) == {1: (2, 4, 6), 2: (2, 4, 6)}
    network = Generator(oblong)
    initialise(network, torch.Generator().manual_seed(0))
    z = torch.rand(2, 5, generator=torch.Generator().manual_seed(4))
    found = collect_examples(network, z, [Box(i, 12, 8, 4, 4) for i in (0, 1)], layer=2)
    maps = layer_activations(network, z, 2)
    np.testing.assert_array_equal(found.activations[found.on_object], maps[:, :, 2, 3])


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([], ("no boxes",)),
        ([Box(0, 1, 1, 0, 4)], ("box 0 on picture 0", "empty", "0 wide")),
        ([Box(0, 1, 1, math.nan, 4)], ("box 0", "empty")),
        ([Box(0, 1, 1, 4, 4), Box(1, 14, 1, 4, 4)], ("box 1 on picture 1", "(18, 5)", "16x16")),
        ([Box(0, -1, 1, 4, 4)], ("beyond",)),
        ([Box(12, 1, 1, 4, 4)], ("picture 12", "0 to 11")),
        ([Box(0, 1, 1, 4, 4)], ("boxes on 1 pictures", "2 pictures")),
        ([Box(i, 0, 0, 16, 16) for i in range(3)], ("0 positions off",)),
    ],
)
def test_bad_boxes_are_refused(boxes: list[Box], words: tuple[str, ...], refused: Refused) -> None:
    with refused(*words):
        find_object_maps(square_generator(), squares(12)[0], boxes, layer=LAYER)


def test_other_bad_input_is_refused(refused: Refused) -> None:
    network, (z, boxes) = square_generator(), squares(12)
    with refused("layer 3", "1 (6 of 4x4), 2 (6 of 4x4)"):
        find_object_maps(network, z, boxes, layer=3)
    with refused("z is (12, 5)", "preset square", "(n, 17)"):
        find_object_maps(network, z[:, :5], boxes, layer=LAYER)
    for maps in ([6], [0, 6], [-1], [-1, 0]):
        with refused(f"maps {maps}", "0 to 5"):
            draw_without(network, z, maps, LAYER)
    with refused("0 draws", "at least 1"):
        forget_object(network, z, boxes, z, layer=LAYER, controls=0)
    with refused("mnist28_fc", "0 layers"):
        second_highest_layer(preset("mnist28_fc"))
    with refused("no sampling statistics"):
        bare = Generator(preset("svhn32").with_overrides(width=0.05))
        layer_activations(bare, torch.zeros(1, 100), 2)
    for block in network.blocks:
        block.weight.weight.data.zero_()  # type: ignore[union-attr]
    with refused("no map has a weight"):
        forget_object(network, z, boxes, z, layer=LAYER)
