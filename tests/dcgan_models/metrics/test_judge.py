from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from fixture_types import Refused

from dcgan_assets.sources.drawn import rooms
from dcgan_models.metrics.judge import (
    Judge,
    JudgeConfig,
    agree,
    blurred,
    intersection_over_union,
    load_judge,
    save_judge,
    train_judge,
)
from dcgan_models.pixels import Pixels

NAMES = [factor.name.removeprefix("factor.") for factor in rooms.FACTORS]
QUICK = JudgeConfig(updates=150, batch=32)


@cache
def drawn(first: int, n: int) -> tuple[Pixels, dict[str, npt.NDArray[Any]]]:
    """Small rooms, and what is to be seen on them."""
    pictures = np.stack([rooms.draw(3, number, 32) for number in range(first, first + n)])
    seen = [dict(zip(NAMES, rooms.seen_in(3, n), strict=True)) for n in range(first, first + n)]
    boxes = [(np.nan,) * 4 if one["window_box"] is None else one["window_box"] for one in seen]
    return pictures, {
        "window": np.array([one["window"] for one in seen]),
        "light": np.array([one["light"] for one in seen], float),
        "window_box": np.array(boxes, float),
    }


@pytest.fixture(scope="module")
def judge() -> Judge:
    return train_judge(*drawn(0, 1200), QUICK)


def test_it_reads_pictures_that_it_never_saw(judge: Judge) -> None:
    pictures, values = drawn(5000, 300)
    window, light, box = agree(judge, pictures, values)
    assert (window.n, light.n, box.n) == (300, 300, int(values["window"].sum()))
    assert window.right / window.n > 0.93
    assert light.error < 0.25
    assert box.error > 0.4


def test_it_is_no_better_than_chance_where_nothing_is_to_be_learned() -> None:
    pictures, values = drawn(0, 400)
    shuffled = np.random.default_rng(0).permutation(values["window"])
    judge = train_judge(pictures, {"window": shuffled}, QUICK)
    (found,) = agree(judge, *(drawn(5000, 300)[0], {"window": drawn(5000, 300)[1]["window"]}))
    most = max(values["window"].mean(), 1 - values["window"].mean())
    assert found.right / found.n < most + 0.06


def test_a_seed_gives_the_same_judge_whatever_was_drawn_before() -> None:
    pictures, values = drawn(0, 100)
    config = JudgeConfig(updates=3, batch=8, seed=4)
    one = train_judge(pictures, values, config).read(pictures)
    torch.rand(3)
    other = train_judge(pictures, values, config).read(pictures)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_readings_are_in_their_ranges(judge: Judge) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    read = judge.read(noise)
    assert read["window"].shape == (20,)
    assert read["window_box"].shape == (20, 4)
    for name in ("window", "window_box"):
        assert 0 <= read[name].min() <= read[name].max() <= 1


def test_a_picture_is_read_without_its_neighbours(judge: Judge) -> None:
    pictures, _ = drawn(0, 5)
    whole, alone = judge.read(pictures), judge.read(pictures[2:3])
    assert all(np.allclose(whole[name][2], alone[name][0], atol=1e-5) for name in whole)


def test_a_loaded_judge_is_the_saved_one(judge: Judge, tmp_path: Path) -> None:
    save_judge(judge, tmp_path / "judge")
    loaded = load_judge(tmp_path / "judge")
    assert loaded.factors == judge.factors
    pictures, _ = drawn(0, 5)
    one, other = judge.read(pictures), loaded.read(pictures)
    # Kernels are kept in half precision.
    assert all(np.allclose(one[name], other[name], atol=0.01) for name in one)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(side=48), "not the description of a judge"),
        (lambda content: content.update(factors=[]), "not the description of a judge"),
        (lambda content: content.pop("side"), "side"),
        (lambda content: content["factors"][0].update(kind="colour"), "kind"),
        (lambda content: content["factors"].pop(), "has shape"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    judge: Judge,
    tmp_path: Path,
    refused: Refused,
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    save_judge(judge, tmp_path)
    content = json.loads((tmp_path / "judge.json").read_text())
    change(content)
    (tmp_path / "judge.json").write_text(json.dumps(content))
    with refused(str(tmp_path), words):
        load_judge(tmp_path)


def test_no_judge_is_one_line(tmp_path: Path, refused: Refused) -> None:
    with refused(f"{tmp_path}: no judge here"):
        load_judge(tmp_path)


@pytest.mark.parametrize(
    ("pictures", "values", "words"),
    [
        (np.zeros((9, 48, 48, 3), np.uint8), {"window": np.zeros(9, bool)}, "48 wide"),
        (np.zeros((9, 32, 32, 3), np.uint8), {"window": np.zeros(8, bool)}, "8 values of window"),
        (np.zeros((9, 32, 32, 3), np.uint8), {"window": np.ones(9, bool)}, "on every picture"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    refused: Refused, pictures: Pixels, values: dict[str, Any], words: str
) -> None:
    with refused(words):
        train_judge(pictures, values, QUICK)


def test_pictures_of_another_size_are_refused(judge: Judge, refused: Refused) -> None:
    with refused("it reads (32, 32, 3)"):
        judge.read(np.zeros((2, 64, 64, 3), np.uint8))


def test_intersection_over_union_by_hand() -> None:
    first = np.array([[0, 0, 0.4, 0.4], [0, 0, 0.2, 0.2], [0.1, 0.1, 0.3, 0.3]])
    second = np.array([[0.2, 0, 0.4, 0.4], [0.5, 0.5, 0.2, 0.2], [0.1, 0.1, 0.3, 0.3]])
    assert intersection_over_union(first, second) == pytest.approx([1 / 3, 0, 1])


def test_a_blur_keeps_the_mean() -> None:
    pixels = torch.rand(2, 3, 32, 32)
    soft = blurred(pixels, 4)
    assert soft.shape == pixels.shape
    assert float(soft.mean()) == pytest.approx(float(pixels.mean()), abs=0.01)
    assert float(soft.std()) < 0.5 * float(pixels.std())
