"""What the page draws, against the generator itself at latents worked out by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small_generator import publish_generator

from dcgan_assets.annotate.drawing import Drawing, _Turns
from dcgan_models import load_generator
from dcgan_models.internals.arithmetic import neighbours
from dcgan_models.networks import Generator

PICKS = {"a": (1, 2, 3), "b": (4,), "c": (5, 60)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawing")
    publish_generator(root, "lsun")
    return root / "models/lsun/generator"


@pytest.fixture(scope="module")
def drawing(generator: Generator) -> Drawing:
    return Drawing(generator)


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return load_generator(folder)


def z_of(generator: Generator, name: str) -> torch.Tensor:
    assert generator.fixed_z is not None
    return torch.stack([generator.fixed_z[i] for i in PICKS[name]]).mean(0)


def test_samples_are_those_of_the_fixed_latents(drawing: Drawing, generator: Generator) -> None:
    assert generator.fixed_z is not None
    expected = generator.draw(generator.fixed_z[30:50])
    assert expected.std() > 20, "a generator whose pictures differ"
    np.testing.assert_allclose(drawing.samples(30, 50).astype(int), expected.astype(int), atol=1)


def test_arithmetic_is_that_of_the_means(drawing: Drawing, generator: Generator) -> None:
    z = z_of(generator, "a") - z_of(generator, "b") + z_of(generator, "c")
    drawn = drawing.arithmetic("a - b + c", PICKS)
    assert len(drawn) == 9
    expected = generator.draw(neighbours(z, 0.25, torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(drawn.astype(int), expected.astype(int), atol=1)
    (mean,) = drawing.mean("a", PICKS)
    (expected_mean,) = generator.draw(z_of(generator, "a")[None])
    np.testing.assert_allclose(mean.astype(int), expected_mean.astype(int), atol=1)


def test_a_walk_begins_and_ends_at_its_samples(drawing: Drawing) -> None:
    walk = drawing.walk(7, 8).astype(int)
    np.testing.assert_allclose(walk[[0, -1]], drawing.samples(7, 9).astype(int), atol=1)
    assert len(walk) == 9


def test_the_turn_vector_leads_from_left_to_right(drawing: Drawing, generator: Generator) -> None:
    assert generator.fixed_z is not None
    turn = drawing.turn("a", "c", PICKS, 9).astype(int)
    assert len(turn) == 11
    vector = z_of(generator, "c") - z_of(generator, "a")
    expected = generator.draw(
        torch.stack([generator.fixed_z[9] + t * vector for t in (-1, 0, 0.2, 1)])
    )
    np.testing.assert_allclose(turn[[0, 5, 6, 10]], expected.astype(int), atol=1)


def test_a_conditional_generator_keeps_the_label(tmp_path: Path) -> None:
    publish_generator(tmp_path, "mnist", "mnist28")
    generator = load_generator(tmp_path / "models/mnist/generator")
    drawing = Drawing(generator)
    assert generator.fixed_z is not None
    expected = generator.draw(generator.fixed_z[[3]], torch.tensor([3]))
    np.testing.assert_allclose(drawing.samples(3, 4).astype(int), expected.astype(int), atol=1)
    np.testing.assert_allclose(drawing.walk(3, 5)[:1].astype(int), expected.astype(int), atol=1)
    np.testing.assert_allclose(
        drawing.mean("three", {"three": [3]}).astype(int), expected.astype(int), atol=1
    )


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
        until = time.monotonic() + 60
        while len(turns._changed._waiters) < 3 and time.monotonic() < until:  # type: ignore[attr-defined]
            threading.Event().wait(0.001)
        assert order == []
    for thread in threads:
        thread.join(60)
    assert order == ["urgent", "patient", "patient"]
