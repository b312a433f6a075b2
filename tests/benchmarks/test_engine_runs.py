"""The parts of a run, from the events that Dagster writes."""

from __future__ import annotations

from benchmarks.engine_runs import PARTS, parts_of, table

EVENTS = [
    ("PIPELINE_ENQUEUED", 10.0),
    ("PIPELINE_STARTING", 12.0),
    ("PIPELINE_START", 13.0),
    ("STEP_START", 13.5),
    ("STEP_SUCCESS", 20.0),
    ("PIPELINE_SUCCESS", 20.25),
]


def test_the_parts_add_up_to_the_whole() -> None:
    parts = parts_of(EVENTS)
    assert parts == {
        "queue": 2.0,
        "handed over": 1.0,
        "begun": 0.5,
        "work": 6.5,
        "ended": 0.25,
    }
    assert sum(parts.values()) == EVENTS[-1][1] - EVENTS[0][1]


def test_a_run_that_was_not_queued_has_fewer_parts() -> None:
    assert set(parts_of(EVENTS[2:])) < set(PARTS)


def test_median_and_extremes() -> None:
    slow = [(kind, 3 * when) for kind, when in EVENTS]
    lines = table([parts_of(EVENTS), parts_of(slow)])
    assert lines[0].startswith("2 runs")
    assert "work: 13.00 (6.50 to 19.50)" in lines
    assert lines[-1] == "all but queue and work: 3.50 (1.75 to 5.25)"
