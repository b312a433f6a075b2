"""The latents behind what the page draws, by closed forms and by the generator itself."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fixture_types import Refused
from small_generator import SAMPLES, publish_generator

from dcgan_assets.annotate.drawing import Drawing, _Turns, line, neighbours, read_expression
from dcgan_models import load_generator
from dcgan_models.networks import Generator

PICKS = {"a": (1, 2, 3), "b": (4,), "c": (5, 60)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawing")
    publish_generator(root, "lsun")
    return root / "models/lsun/generator"


@pytest.fixture(scope="module")
def drawing(folder: Path) -> Drawing:
    return Drawing(folder)


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return load_generator(folder)


def z_of(generator: Generator, name: str) -> torch.Tensor:
    assert generator.fixed_z is not None
    return torch.stack([generator.fixed_z[i] for i in PICKS[name]]).mean(0)


def test_expressions() -> None:
    assert read_expression("a") == [(1, "a")]
    assert read_expression(" -a+ b_2 -c") == [(-1, "a"), (1, "b_2"), (-1, "c")]


@pytest.mark.parametrize("text", ["", "  ", "a b", "a - ", "a * b", "a - - b", "(a)", "2 a", "a,b"])
def test_expressions_that_are_refused(text: str, refused: Refused) -> None:
    with refused("expression", "joined by + and -" if text.strip() else "empty"):
        read_expression(text)


def test_neighbours_are_within_a_quarter() -> None:
    z = np.linspace(-1, 1, 100, dtype=np.float32)
    noise = neighbours(z) - z
    assert not noise[4].any()
    others = np.delete(noise, 4, 0)
    assert np.abs(others).max() <= 0.25 + 1e-6
    assert 0.13 < others.std() < 0.16  # uniform: 0.25 / sqrt(3)
    assert len(np.unique(others[:, 0])) == 8
    np.testing.assert_array_equal(neighbours(z), neighbours(z))


def test_a_line_has_both_its_ends() -> None:
    a, b = np.zeros(3, np.float32), np.array([1, 2, -4], np.float32)
    np.testing.assert_allclose(line(a, b, 5), np.outer([0, 0.25, 0.5, 0.75, 1], b))


def test_samples_are_those_of_the_fixed_latents(drawing: Drawing, generator: Generator) -> None:
    assert len(drawing) == SAMPLES
    assert generator.fixed_z is not None
    expected = generator.draw(generator.fixed_z[30:50])
    assert expected.std() > 20, "a generator whose pictures differ"
    np.testing.assert_allclose(drawing.samples(30, 50).astype(int), expected.astype(int), atol=1)


def test_arithmetic_is_that_of_the_means(drawing: Drawing, generator: Generator) -> None:
    z = z_of(generator, "a") - z_of(generator, "b") + z_of(generator, "c")
    drawn = drawing.arithmetic("a - b + c", PICKS.__getitem__)
    assert len(drawn) == 9
    expected = generator.draw(torch.from_numpy(neighbours(z.numpy())))
    np.testing.assert_allclose(drawn.astype(int), expected.astype(int), atol=1)
    (mean,) = drawing.mean(PICKS["a"])
    (expected_mean,) = generator.draw(z_of(generator, "a")[None])
    np.testing.assert_allclose(mean.astype(int), expected_mean.astype(int), atol=1)


def test_a_walk_begins_and_ends_at_its_samples(drawing: Drawing) -> None:
    walk = drawing.walk(7, 8).astype(int)
    np.testing.assert_allclose(walk[[0, -1]], drawing.samples(7, 9).astype(int), atol=1)
    assert len(walk) == 9


def test_the_turn_vector_leads_from_left_to_right(drawing: Drawing, generator: Generator) -> None:
    assert generator.fixed_z is not None
    turn = drawing.turn(PICKS["a"], PICKS["c"], 9).astype(int)
    assert len(turn) == 11
    vector = z_of(generator, "c") - z_of(generator, "a")
    expected = generator.draw(
        torch.stack([generator.fixed_z[9] + t * vector for t in (-1, 0, 0.2, 1)])
    )
    np.testing.assert_allclose(turn[[0, 5, 6, 10]], expected.astype(int), atol=1)


def test_a_conditional_generator_keeps_the_label(tmp_path: Path) -> None:
    publish_generator(tmp_path, "mnist", "mnist28")
    drawing = Drawing(tmp_path / "models/mnist/generator")
    generator = load_generator(tmp_path / "models/mnist/generator")
    assert generator.fixed_z is not None
    expected = generator.draw(generator.fixed_z[[3]], torch.tensor([3]))
    np.testing.assert_allclose(drawing.samples(3, 4).astype(int), expected.astype(int), atol=1)
    np.testing.assert_allclose(drawing.walk(3, 5)[:1].astype(int), expected.astype(int), atol=1)
    np.testing.assert_allclose(drawing.mean([3]).astype(int), expected.astype(int), atol=1)


def test_no_latents_no_page(tmp_path: Path, refused: Refused) -> None:
    publish_generator(tmp_path, "lsun")
    (tmp_path / "models/lsun/generator/fixed_z.npy").unlink()
    with refused("fixed_z.npy"):
        Drawing(tmp_path / "models/lsun/generator")


def test_who_is_in_a_hurry_goes_first() -> None:
    turns, order = _Turns(), []

    def patient() -> None:
        with turns.patient():
            order.append("patient")

    def urgent() -> None:
        with turns.urgent():
            order.append("urgent")

    threads = [threading.Thread(target=work) for work in (patient, patient, urgent)]
    with turns.urgent():
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while len(turns._changed._waiters) < 3 and time.monotonic() < until:  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["urgent", "patient", "patient"]
