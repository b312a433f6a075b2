"""Counting by judges whose answers are known: a generator and a judge made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fixture_types import Refused
from small_generator import small_generator

from dcgan_models.errors import UserError
from dcgan_models.internals.expressions import parse_expression
from dcgan_models.internals.judged import (
    Candidates,
    boxes_of,
    exemplar_order,
    having,
    judge_arithmetic,
    judge_turn,
    likelihoods,
)
from dcgan_models.internals.judged_walk import judge_walks
from dcgan_models.internals.picking import JudgePicker
from dcgan_models.metrics.judge import Factor, Judge
from dcgan_models.pixels import Pixels


def test_pictures_having_all_of_some_flags() -> None:
    read = {
        "smile": np.array([0.9, 0.9, 0.2, 0.6], np.float32),
        "glasses": np.array([0.1, 0.8, 0.1, 0.4], np.float32),
    }
    flags = {"smile": True, "glasses": False}
    assert having(read, flags).tolist() == [True, False, False, True]
    assert having(read, flags, 0.85).tolist() == [True, False, False, False]


class _ByBrightness(Judge):
    """Sees a smile where the left half is light, glasses where the right one is; yaw is between."""

    def __init__(self) -> None:
        flags = [Factor("smile", "flag"), Factor("glasses", "flag"), Factor("yaw", "number")]
        super().__init__(flags, 32, torch.nn.Identity())

    def read(self, pictures: Pixels) -> dict[str, np.ndarray]:  # type: ignore[override]
        grey = np.asarray(pictures, float).mean(axis=3)
        half = grey.shape[2] // 2
        left, right = (part.mean(axis=(1, 2)) for part in (grey[:, :, :half], grey[:, :, half:]))

        def likely(value: np.ndarray) -> np.ndarray:
            return (value > np.median(value)).astype(np.float32)

        return {
            "smile": likely(left),
            "glasses": likely(right),
            "yaw": (right - left).astype(np.float32),
        }


def test_arithmetic_is_counted_against_chance_and_pixels() -> None:
    generator, judge = small_generator(), _ByBrightness()
    terms = parse_expression("smile_glasses - nosmile_glasses + nosmile_noglasses")
    candidates = Candidates.draw(generator, judge, 400, seed=1)
    found = judge_arithmetic(generator, candidates, judge, terms, repeats=50, seed=1)
    assert found.expected == {"smile": True, "glasses": False}
    assert found.n == 50
    assert set(found.pool) == {"smile_glasses", "nosmile_glasses", "nosmile_noglasses"}
    for name in ("three", "one", "pixels", "samples"):
        assert found.pictures[name].shape[0] == 50
        counted = int(having(judge.read(found.pictures[name]), found.expected).sum())
        assert counted == {
            "three": found.three, "one": found.one, "pixels": found.pixels, "samples": found.chance,
        }[name]  # fmt: skip


def test_of_a_concept_that_hardly_any_sample_shows_the_likeliest_are_worked_with() -> None:
    class Never(_ByBrightness):
        def read(self, pictures: Pixels) -> dict[str, np.ndarray]:  # type: ignore[override]
            unlikely = np.linspace(0, 0.2, len(pictures), dtype=np.float32)
            return {**super().read(pictures), "glasses": unlikely}

    candidates = Candidates.draw(small_generator(), Never(), 50, seed=0)
    assert candidates.pool("glasses").tolist() == [*range(49, 37, -1)]
    assert len(candidates.pool("noglasses")) == 25  # those of less than a tenth


def test_exemplars_are_the_first_plain_ones_and_the_ends_of_a_number() -> None:
    factors = [Factor("smile", "flag"), Factor("yaw", "number")]
    read = {
        "smile": np.array([0.2, 0.95, 0.7, 0.99, 0.91], np.float32),
        "yaw": np.array([3, -9, 20, 0, 8], np.float32),
    }
    assert exemplar_order(factors, "smile", read).tolist() == [1, 3, 4, 2, 0]
    assert exemplar_order(factors, "highyaw", read).tolist() == [2, 4, 0, 3, 1]
    assert exemplar_order(factors, "lowyaw", read)[0] == 1
    assert exemplar_order(factors, "smile_highyaw", read)[0] == 2
    found = likelihoods(factors, "nosmile_lowyaw", read, read)
    assert found["smile"] == pytest.approx(1 - read["smile"])
    assert found["yaw"].tolist() == pytest.approx([0.4, 0.8, 0.0, 0.6, 0.2])


def test_a_box_that_no_judge_reads_is_refused(refused: Refused) -> None:
    with refused("no box of 'smile'", "those of: nothing"):
        boxes_of(_ByBrightness(), np.zeros((2, 32, 32, 3), np.uint8), "smile")


@pytest.mark.parametrize(
    ("likely", "boxed"),
    [
        ([0.1, 0.95, 0.2, 0.99, 0.91], [1, 3, 4]),
        ([0.1, 0.95, 0.2, 0.3, 0.0], [1, 3]),
        ([0.0, 0.0, 0.0, 0.0, 0.0], [0, 1]),
    ],
)
def test_boxes_are_on_those_that_plainly_have_it_or_the_two_likeliest(
    likely: list[float], boxed: list[int]
) -> None:
    class Boxes(Judge):
        def __init__(self) -> None:
            factors = [Factor("window", "flag"), Factor("window_box", "box", of="window")]
            super().__init__(factors, 32, torch.nn.Identity())

        def read(self, pictures: Pixels) -> dict[str, np.ndarray]:  # type: ignore[override]
            boxes = np.tile(np.array([0.5, 0.25, 0.25, 0.9], np.float32), (len(pictures), 1))
            return {"window": np.array(likely, np.float32), "window_box": boxes}

    found = boxes_of(Boxes(), np.zeros((5, 32, 32, 3), np.uint8), "window")
    assert [box.picture for box in found] == boxed
    assert (found[0].x, found[0].y, found[0].width, found[0].height) == (16, 8, 8, 24)


def test_the_turn_goes_from_those_judged_lowest_to_those_judged_highest() -> None:
    generator, judge = small_generator(), _ByBrightness()
    candidates = Candidates.draw(generator, judge, 300, seed=2)
    found = judge_turn(generator, candidates, judge, "yaw", rows=20)
    assert found.places.tolist() == pytest.approx(np.linspace(-1, 1, 11).tolist())
    assert found.values.shape == (20, 11)
    assert found.correlation.shape == (20,)
    # Any generator's samples turn some way; a vector against itself would turn them the other.
    assert found.values[:, -1].mean() > found.values[:, 0].mean()
    assert set(found.kept) == {"smile", "glasses"}
    assert all(0 <= share <= 1 for share in found.kept.values())


def test_a_walk_is_seen_frame_by_frame_and_a_fade_goes_between_the_same_pictures() -> None:
    class Halves(_ByBrightness):
        """Sees a smile in what is light, whatever else is looked at; half-light is undecided."""

        def read(self, pictures: Pixels) -> dict[str, np.ndarray]:  # type: ignore[override]
            level = np.asarray(pictures, np.float32).mean(axis=(1, 2, 3)) / 255
            return {"smile": level, "glasses": np.ones_like(level), "yaw": level}

    generator, judge = small_generator(), Halves()
    walk, fade = judge_walks(generator, judge, 3, steps=4, seed=1)
    for seen in (walk, fade):
        assert seen.pictures.shape[0] == 12
        likely = judge.read(seen.pictures)["smile"].reshape(3, 4)
        # Glasses are plain everywhere: half of the readings.
        expected = ((likely > 0.1) & (likely < 0.9)).mean(axis=1) / 2
        assert seen.undecided.tolist() == expected.tolist()
        there = likely > 0.5
        assert seen.changes.tolist() == (there[:, 1:] != there[:, :-1]).tolist()
    ends = slice(None, None, 4)
    np.testing.assert_allclose(
        walk.pictures[ends].astype(int), fade.pictures[ends].astype(int), atol=1
    )
    assert not np.array_equal(walk.pictures, fade.pictures)
    # No walk begins where another one ends, as the rows of Figure 4 do: they are independent.
    first, last = fade.pictures[::4].astype(float), fade.pictures[3::4].astype(float)
    goal = first + (last - first) * 4 / 3
    assert all(np.abs(goal[:-1] - first[1:]).mean(axis=(1, 2, 3)) > 3)


def test_a_judge_picks_what_the_other_reports() -> None:
    """Exemplars are chosen by the one, agreement is told by the other."""

    class Never(_ByBrightness):
        def read(self, pictures: Pixels) -> dict[str, np.ndarray]:  # type: ignore[override]
            return {name: np.zeros_like(v) for name, v in super().read(pictures).items()}

    samples = small_generator().sample(40, seed=3)
    picker = JudgePicker(_ByBrightness(), Never())
    picks = picker.concepts(samples, ["smile_noglasses"], 3)["smile_noglasses"]
    read = _ByBrightness().read(samples)
    assert all(read["smile"][row] and not read["glasses"][row] for row in picks)
    assert picker.agreement(samples[:2], "smile_noglasses", samples).tolist() == [0.5, 0.5]
    with pytest.raises(UserError, match="nothing is judged as 'hat'"):
        picker.concepts(samples, ["hat"], 3)
    with pytest.raises(UserError, match="41 exemplars a concept; allowed are 1 to 40"):
        picker.concepts(samples, ["smile"], 41)
