"""Where the time of an engine's runs goes: `python -m benchmarks.engine_runs ASSET` in a workspace.

Reads Dagster's records of the last runs that made something, wherever they ran, and says for each
part of them the median, the least and the most. What is not `work` is what the engine costs; but
what was handed over may have waited there for a free place, so the least says more than the median.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from dcgan_assets.engine.instance import HOST_TAG
from dcgan_assets.engine.submitting import PLACE_TAG

# Each part and the events of a run between which it lies, in their order.
PARTS = {
    "queue": ("PIPELINE_ENQUEUED", "PIPELINE_STARTING"),
    "handed over": ("PIPELINE_STARTING", "PIPELINE_START"),
    "begun": ("PIPELINE_START", "STEP_START"),
    "work": ("STEP_START", "STEP_SUCCESS"),
    "ended": ("STEP_SUCCESS", "PIPELINE_SUCCESS"),
}


def parts_of(events: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Seconds of each part of a run.

    Args:
        events: Their types and times; the first of a type counts.
    """
    at: dict[str, float] = {}
    for kind, when in events:
        at.setdefault(kind, when)
    return {
        name: at[end] - at[start] for name, (start, end) in PARTS.items() if {start, end} <= set(at)
    }


def table(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """A line for each part, of all runs together, and one for what the engine costs."""
    lines = [f"{len(runs)} runs, seconds: median (least to most)"]
    for name in PARTS:
        lines.append(_line(name, [run[name] for run in runs]))
    cost = [run["handed over"] + run["begun"] + run["ended"] for run in runs]
    return [*lines, _line("all but queue and work", cost)]


def _line(name: str, seconds: Sequence[float]) -> str:
    least, most = min(seconds), max(seconds)
    return f"{name}: {statistics.median(seconds):.2f} ({least:.2f} to {most:.2f})"


def main() -> None:
    """Print the table, how many runs each machine had, and how long all took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("asset", help="whose runs, as lsun/images")
    parser.add_argument("--runs", type=int, default=200, help="how many of the last ones")
    asked = parser.parse_args()
    found: list[dict[str, float]] = []
    hosts, times = Counter[str](), list[float]()
    with dg.DagsterInstance.get() as instance:
        done = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])
        for run in instance.get_runs(done, limit=asked.runs):
            if not run.tags.get(PLACE_TAG, "").startswith(asked.asset):
                continue
            logs = [
                (entry.dagster_event.event_type_value, entry.timestamp)
                for entry in instance.all_logs(run.run_id)
                if entry.dagster_event
            ]
            parts = parts_of(logs)
            if set(parts) == set(PARTS):
                found.append(parts)
                hosts[run.tags.get(HOST_TAG, "?")] += 1
                times += [when for _, when in logs]
    if not found:
        parser.exit(1, f"no run of {asked.asset} that an engine launched has ended well\n")
    print("\n".join(table(found)))
    print(f"{max(times) - min(times):.1f} s from the first to the last; {dict(hosts)}")


if __name__ == "__main__":
    main()
