"""What a caller from Python hands over: taken in every form that means it, else one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fixture_types import Refused
from small_networks import generator, small

from dcgan_models.arguments import label_rows, latent_rows, whole_number
from dcgan_models.classification.svm import L2SVM, draw_labelled
from dcgan_models.metrics.extractor import random_extractor
from dcgan_models.metrics.frechet import frechet_distance, moments
from dcgan_models.metrics.similarity import mean_similarity
from dcgan_models.metrics.wasserstein import sliced_wasserstein
from dcgan_models.neighbours.nearest import flat_pixels, nearest_neighbour_errors
from dcgan_models.networks import Generator, fix_statistics, untrained_discriminator


@pytest.fixture(scope="module")
def digits() -> Generator:
    """A small conditional generator: ten classes, z of 100."""
    return generator("mnist28")


@pytest.fixture(scope="module")
def rooms() -> Generator:
    """A small generator without classes."""
    return generator("svhn32")


Z = np.random.default_rng(0).uniform(-1, 1, (3, 100)).astype(np.float32)
PICTURES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
ROWS = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


# --- Counts and seeds -----------------------------------------------------------------------


# torch holds these, and computes almost nothing in them.
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


@pytest.mark.parametrize(
    "value",
    [
        *(0, 3, np.int64(3), np.uint8(3), np.array(3), np.array(3, np.uint64), torch.tensor(3)),
        *(torch.tensor(3, dtype=dtype) for dtype in UNSIGNED),
    ],
    ids=repr,
)
def test_integers_of_all_kinds_are_counts(value: Any, digits: Generator) -> None:
    number = whole_number(value, "n")
    assert type(number) is int
    assert number == int(value)
    assert digits.sample(value, 0).shape == (number, 28, 28, 1)


@pytest.mark.parametrize(
    "value",
    [
        *(-1, 2**63, True, np.True_, torch.tensor(True), 2.0, 2.5, float("nan"), "3", None, [3]),
        *(np.array([1, 2]), np.float32(2), torch.tensor([1, 2]), np.uint64(2**64 - 1)),
        torch.tensor(2**63, dtype=torch.uint64),
    ],
    ids=repr,
)
def test_what_is_no_count_is_refused(value: Any, digits: Generator, refused: Refused) -> None:
    with refused("n is ", "a whole number from 0 to 2^63 - 1 is needed"):
        digits.sample(value, 0)
    with refused("seed is ", "a whole number from 0"):
        digits.sample(2, value)
    with refused("batch is ", "a whole number from 1"):
        digits.sample(2, 0, batch=value)


def test_no_pictures_are_an_empty_array(digits: Generator, rooms: Generator) -> None:
    for network, labels in ((digits, []), (rooms, None)):
        channels, height, width = network.preset.image
        for drawn in (network.sample(0, 1), network.draw(Z[:0], labels)):
            assert drawn.shape == (0, height, width, channels)
            assert drawn.dtype == np.uint8


# --- Latents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "z",
    [Z, torch.from_numpy(Z), Z.astype(np.float64), Z.tolist(), np.asfortranarray(Z)],
    ids=["array", "tensor", "float64", "lists", "by columns"],
)
def test_latents_in_any_form_are_the_same_pictures(z: Any, rooms: Generator) -> None:
    np.testing.assert_array_equal(rooms.draw(z), rooms.draw(torch.from_numpy(Z)))


def test_whole_numbers_and_read_only_arrays_are_latents(rooms: Generator) -> None:
    whole = np.ones((2, 100), np.int64)
    whole.setflags(write=False)
    np.testing.assert_array_equal(rooms.draw(whole), rooms.draw(torch.ones(2, 100)))


@pytest.mark.parametrize("dtype", UNSIGNED, ids=str)
def test_latents_of_unsigned_numbers_are_those_numbers(dtype: Any, rooms: Generator) -> None:
    whole = np.arange(200, dtype=str(dtype).removeprefix("torch.")).reshape(2, 100)
    whole[0, 0] = np.iinfo(whole.dtype).max  # which no signed number of as many bits is
    expected = torch.from_numpy(whole.astype(np.float32))
    for z in (whole, torch.from_numpy(whole)):
        assert torch.equal(latent_rows(z, rooms.preset), expected)
    np.testing.assert_array_equal(rooms.draw(torch.from_numpy(whole)), rooms.draw(expected))


@pytest.mark.parametrize(
    ("z", "words"),
    [
        (Z[0], r"latents are (100,); preset svhn32 needs numbers (n, 100)"),
        (Z[:, :50], "latents are (3, 50)"),
        (Z[None], "latents are (1, 3, 100)"),
        (np.where(np.arange(3)[:, None] == 1, np.nan, Z), "row 1 holds a value not finite"),
        (np.where(np.arange(3)[:, None] == 2, np.inf, Z), "row 2 holds a value not finite"),
        (Z > 0, "latents: ndarray; preset svhn32 needs numbers (n, 100)"),
        (Z + 1j, "latents: ndarray"),
        (Z.astype(str), "latents: ndarray"),
        ([[1.0] * 100, [1.0]], "latents: list"),
        (None, "latents: NoneType"),
        ("z", "latents: str"),
        (3, "latents are ()"),
    ],
)
def test_what_is_no_latent_is_refused(
    z: Any, words: str, rooms: Generator, refused: Refused
) -> None:
    with refused(words):
        rooms.draw(z)
    with refused(words):
        latent_rows(z, rooms.preset)


# --- Labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        *([7, 0, 9], (7, 0, 9), np.array([7, 0, 9], np.uint8), torch.tensor([7, 0, 9]).int()),
        *(np.array([7, 0, 9], dtype) for dtype in (np.uint16, np.uint32, np.uint64)),
        *(torch.tensor([7, 0, 9], dtype=dtype) for dtype in UNSIGNED),
    ],
    ids=lambda labels: f"{type(labels).__name__} {getattr(labels, 'dtype', '')}",
)
def test_labels_in_any_form_are_the_same_pictures(labels: Any, digits: Generator) -> None:
    expected = digits.draw(torch.from_numpy(Z), torch.tensor([7, 0, 9]))
    np.testing.assert_array_equal(digits.draw(Z, labels), expected)
    np.testing.assert_array_equal(
        digits.sample(3, 5, labels), digits.sample(3, 5, torch.tensor([7, 0, 9]))
    )


@pytest.mark.parametrize(
    "labels",
    [
        *([7], [7, 8, 9, 1], 7, [[7, 8, 9]], [-1, 2, 3], [10, 2, 3], [1.5, 2, 3]),
        *([True, False, True], ["a", "b", "c"], [float("nan"), 1, 2], [], [1, None, 2]),
        *(torch.tensor([1, 2, 10], dtype=dtype) for dtype in UNSIGNED),
        *(np.array([1, 2, 2**64 - n], np.uint64) for n in (1, 2**63, 2**63 - 1)),
        torch.tensor([1, 2, 2**64 - 1], dtype=torch.uint64),
    ],
    ids=repr,
)
def test_what_is_no_label_is_refused(labels: Any, digits: Generator, refused: Refused) -> None:
    with refused("labels: 3 integers from 0 to 9 are needed"):
        digits.sample(3, 0, labels)
    with refused("labels: 3 integers from 0 to 9 are needed"):
        digits.draw(Z, labels)


def test_labels_are_there_where_there_are_classes_and_nowhere_else(
    digits: Generator, rooms: Generator, refused: Refused
) -> None:
    with refused("labels: 3 integers"):
        digits.draw(Z)
    with refused("preset svhn32 has no labels"):
        rooms.draw(Z, [1, 2, 3])
    assert label_rows(None, 3, rooms.preset) is None


# --- The measures and the SVM ---------------------------------------------------------------


@pytest.mark.parametrize(
    "pictures",
    [None, PICTURES.tolist(), torch.from_numpy(PICTURES), PICTURES.astype(np.float32), PICTURES[0]],
    ids=["nothing", "lists", "tensor", "float32", "a picture"],
)
def test_what_are_no_pictures_is_one_line_to_each_measure(pictures: Any, refused: Refused) -> None:
    with refused("real pictures"):
        sliced_wasserstein(pictures, PICTURES)
    with refused("pictures for MS-SSIM"):
        mean_similarity(pictures)
    with refused("pictures for the extractor"):
        random_extractor().features(pictures)
    discriminator = untrained_discriminator(small("svhn32"), PICTURES, 0)
    with refused("pictures"):
        fix_statistics(discriminator, pictures)


@pytest.mark.parametrize(
    "pictures", [None, PICTURES[:0], PICTURES.astype(np.float32), torch.from_numpy(PICTURES)]
)
def test_rows_are_made_of_uint8_pictures_alone(pictures: Any, refused: Refused) -> None:
    with refused("a uint8 array (n, ...) is needed"):
        flat_pixels(pictures)


@pytest.mark.parametrize(
    "features",
    [None, ROWS[:1], ROWS[0], ROWS * np.nan, ROWS.astype(int), ROWS.astype(str), ROWS[:, :0]],
    ids=["nothing", "one row", "a row", "NaN", "integers", "texts", "no columns"],
)
def test_what_are_no_features_is_one_line(features: Any, refused: Refused) -> None:
    with refused("features"):
        moments(features)


def test_features_of_two_extractors_are_not_compared(refused: Refused) -> None:
    with refused("moments of 5 and of 4 features"):
        frechet_distance(moments(ROWS), moments(ROWS[:, :4]))


def test_neighbours_are_sought_for_tensors(refused: Refused) -> None:
    with refused("no tensors"):
        nearest_neighbour_errors(ROWS, np.arange(12), [])  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, -1, 2.5, True, None, "2"], ids=repr)
def test_a_share_of_each_class_is_a_whole_number(count: Any, refused: Refused) -> None:
    with refused("from 1 up is needed" if not isinstance(count, int) or count is True else "least"):
        draw_labelled(np.arange(12) % 2, count, 0)


@pytest.mark.parametrize("cost", [0, -1.0, float("nan"), "1", None], ids=repr)
def test_the_cost_is_a_number_above_0(cost: Any, refused: Refused) -> None:
    with refused("C is ", "a finite number above 0"):
        L2SVM(C=cost).fit(ROWS, np.arange(12) % 2)
