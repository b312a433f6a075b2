"""The simulation of many machines, against what can be worked out by hand."""

from __future__ import annotations

import pytest
from checkout import CHECKOUT

from benchmarks.many_machines import Stage, faces, lsun, simulate, table


@pytest.mark.parametrize(("machines", "rounds"), [(1, 12), (4, 3), (5, 3), (12, 1), (20, 1)])
def test_equal_shards_are_made_in_rounds(machines: int, rounds: int) -> None:
    course = simulate([Stage("images", 120.0, 12)], machines, overhead=2.0)
    assert course.end == pytest.approx(rounds * 12.0)
    assert course.busy == pytest.approx(12 * 12.0)
    assert course.waited == 0


def test_one_machine_does_all_one_after_another() -> None:
    stages = [Stage("a", 10.0, 5), Stage("b", 20.0, 5, ("a",)), Stage("c", 7.0, after=("b",))]
    assert simulate(stages, 1, overhead=1.0).end == pytest.approx(10 + 20 + 7 + 11 * 1.0)


def test_a_shard_waits_for_its_own_and_one_in_one_piece_for_all() -> None:
    stages = [Stage("a", 8.0, 4), Stage("b", 12.0, 4, ("a",)), Stage("whole", 5.0, after=("b",))]
    course = simulate(stages, 4)
    assert course.ends == pytest.approx({"a": 2.0, "b": 5.0, "whole": 10.0})
    # With two machines: a a | a a | b b | b b | whole
    assert simulate(stages, 2).end == pytest.approx(2 + 2 + 3 + 3 + 5)


def test_the_queue_launches_one_after_another() -> None:
    """With a machine for each run the last one begins when the queue has launched all others."""
    course = simulate([Stage("images", 8.0, 8)], 8, dispatch=3.0)
    assert course.end == pytest.approx(8 * 3.0 + 1.0)


@pytest.mark.parametrize("machines", [1, 4, 64])
def test_what_is_shared_is_no_faster_with_more_machines(machines: int) -> None:
    course = simulate([Stage("photos", 0.0, 8, shared="sites", shared_seconds=800.0)], machines)
    assert course.end == pytest.approx(800.0)
    # Who came together waits for the others' turns.
    together = min(machines, 8)
    assert course.waited >= 800.0
    assert course.waited == pytest.approx(
        100.0 * sum(min(turn, together) for turn in range(1, 9)), rel=1e-9
    )


def test_a_pool_of_one_place_leaves_machines_to_others() -> None:
    photos = Stage("photos", 0.0, 4, shared="sites", shared_seconds=40.0, places=1)
    boxes = Stage("boxes", 80.0, 4, ("photos",))
    course = simulate([photos, boxes], 5)
    assert course.waited == pytest.approx(40.0), "one machine at a time"
    assert course.end == pytest.approx(40.0 + 20.0), "the last shard of photos, then its boxes"


def test_the_paper_ends_where_arithmetic_says() -> None:
    alone = simulate(lsun(1e12), 1)
    assert alone.ends["images"] / 60 == pytest.approx(13.5, abs=0.1)  # docs/scale.md
    polite = simulate(faces(), 1000).ends["photos"] / 3600
    assert polite == pytest.approx(3e6 * 100e3 * 8 / 25e6 / 3600)
    assert simulate(faces(sites=4), 1000).ends["photos"] / 3600 == pytest.approx(polite / 4)


def test_the_page_has_the_table() -> None:
    page = (CHECKOUT / "docs/scale.md").read_text("utf-8")
    for line in table([1, 2, 4, 8, 16, 64], "ray"):
        assert line in page
