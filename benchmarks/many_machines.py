"""Three million pictures on many machines, simulated: `python -m benchmarks.many_machines`.

The graph's stages are cut into runs as Dagster launches them: a run a shard, and each waits for
what it reads. Machines take runs from one queue. What all of them share gives each run its turn:
the sites of the web, whose politeness no number of machines changes, and the disk that holds the
source. Rates are those of docs/benchmarks.md and docs/scale.md; what nobody measured is an option.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Machine A of docs/benchmarks.md, two cores.
CORES = 2
INGEST_A_SECOND = 3_745.0  # pictures, both cores
BOXES_CORE_SECONDS = 0.155  # a photograph, both cascades
AUTOENCODER_SECONDS = 50_000 * 77 / 480
HASHES_A_SECOND = 97_000.0
NEAR_CODES_SECONDS = 10.0
# Seconds by which a run that a queue launched took longer than in the process that planned it. Runs
# of 0.3 s went through two machines every 0.89 and 3.56 s, which leaves the queue itself 0.06 s.
ENGINES = {"celery": 1.4, "ray": 6.7}
DISPATCH_SECONDS = 0.06
# What there is of everything.
LSUN_PICTURES, LSUN_BYTES = 3_033_042, 46e9
PHOTOS, PHOTO_BYTES = 3_000_000, 100e3
SHARDS = 64
SITE_BITS_A_SECOND = 25e6  # upload.wikimedia.org's own limit


@dataclass(frozen=True)
class Stage:
    """An asset: so many runs, each of which waits for what it reads.

    Attributes:
        seconds: Of one machine, for all runs together.
        after: Stages that a run reads: the same shard where both have as many, else the whole.
        shared: What all machines share that it needs: `sites`, `disk`.
        shared_seconds: For how long, for all runs together.
        places: Runs of it that may be at work at once; the pool's limit.
    """

    name: str
    seconds: float
    shards: int = 1
    after: tuple[str, ...] = ()
    shared: str | None = None
    shared_seconds: float = 0.0
    places: int | None = None


@dataclass
class Course:
    """How a simulated graph went.

    Attributes:
        end: Seconds until all of it is made.
        ends: The same of each stage.
        busy: Machine-seconds in which something was computed or launched.
        waited: Machine-seconds for which runs held a machine and waited for what is shared.
    """

    end: float = 0.0
    ends: dict[str, float] = field(default_factory=dict)
    busy: float = 0.0
    waited: float = 0.0


def simulate(
    stages: Sequence[Stage], machines: int, overhead: float = 0.0, dispatch: float = 0.0
) -> Course:
    """Let machines take runs from a queue, the stage that is listed first before others.

    Args:
        stages: Each after those that it reads.
        overhead: Seconds of a machine that each run takes beyond its work.
        dispatch: Seconds of the one queue for each run, whatever the number of machines.

    Returns:
        What it came to.
    """
    by_name = {stage.name: stage for stage in stages}
    waiting = [
        (place, shard) for place, stage in enumerate(stages) for shard in range(stage.shards)
    ]
    done: dict[tuple[str, int], float] = {}
    at_work: dict[str, list[float]] = {stage.name: [] for stage in stages}
    free, shared_free = [0.0] * machines, dict[str, float]()
    queue_free, course = 0.0, Course()
    while waiting:
        # The first machine that is free takes the run that can begin first.
        begins = {
            run: max(_ready(by_name, stages[run[0]], run[1], done), _place(stages, run, at_work))
            for run in waiting
        }
        now = max(free[0], queue_free)
        run = min(waiting, key=lambda one: (max(begins[one], now), one))
        stage, began = stages[run[0]], max(begins[run], now)
        waiting.remove(run)
        heapq.heappop(free)
        queue_free = began + dispatch
        work = dispatch + overhead + stage.seconds / stage.shards
        end = began + work
        if stage.shared is not None:
            turn = max(shared_free.get(stage.shared, 0.0), began)
            shared_free[stage.shared] = turn + stage.shared_seconds / stage.shards
            end = max(end, shared_free[stage.shared])
        heapq.heappush(free, end)
        done[stage.name, run[1]] = end
        at_work[stage.name].append(end)
        course.ends[stage.name] = max(course.ends.get(stage.name, 0.0), end)
        course.busy += work
        course.waited += end - began - work
    course.end = max(course.ends.values())
    return course


def _ready(
    by_name: Mapping[str, Stage], stage: Stage, shard: int, done: Mapping[tuple[str, int], float]
) -> float:
    """When all that a run reads is made; infinite as long as some of it is not even begun."""
    latest = 0.0
    for name in stage.after:
        read = by_name[name].shards
        shards = (shard,) if read == stage.shards else range(read)
        latest = max(latest, *(done.get((name, each), float("inf")) for each in shards))
    return latest


def _place(
    stages: Sequence[Stage], run: tuple[int, int], at_work: Mapping[str, list[float]]
) -> float:
    """When its pool has a place for a run."""
    stage = stages[run[0]]
    ends = sorted(at_work[stage.name])
    full = stage.places is not None and len(ends) >= stage.places
    return ends[-stage.places] if full and stage.places else 0.0


# --- The paper's two large sets -------------------------------------------------------------


def lsun(disk_bits_a_second: float) -> tuple[Stage, ...]:
    """LSUN's bedrooms, from the database on a shared disk to what is a duplicate of what."""
    images = Stage(
        "images",
        LSUN_PICTURES / INGEST_A_SECOND,
        SHARDS,
        shared="disk",
        shared_seconds=LSUN_BYTES * 8 / disk_bits_a_second,
    )
    return (
        images,
        Stage("dedup_autoencoder", AUTOENCODER_SECONDS, after=("images",)),
        Stage("hashes", LSUN_PICTURES / HASHES_A_SECOND, after=("dedup_autoencoder",)),
        Stage("manifest", NEAR_CODES_SECONDS, after=("hashes",)),
    )


def faces(sites: int = 1) -> tuple[Stage, ...]:
    """Photographs from the web and the faces on them, as shards that go on by themselves.

    Args:
        sites: That hold equally many of the photographs and are asked side by side.
    """
    polite = PHOTOS * PHOTO_BYTES * 8 / SITE_BITS_A_SECOND / sites
    return (
        Stage("photos", 0.0, SHARDS, shared="sites", shared_seconds=polite, places=1),
        Stage("face_boxes", PHOTOS * BOXES_CORE_SECONDS / CORES, SHARDS, after=("photos",)),
    )


def table(machines: Sequence[int], engine: str, disk: float = 1.0, sites: int = 1) -> list[str]:
    """A row of Markdown for each number of machines, and the head.

    Args:
        engine: Of `ENGINES`.
        disk: Gbit/s of the shared disk.
        sites: As for `faces`.
    """
    queue = (ENGINES[engine], DISPATCH_SECONDS)
    lines = [
        "| machines | `images` | to `manifest` | core-hours "
        "| `photos` | `face_boxes` | core-hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for number in machines:
        rooms = simulate(lsun(disk * 1e9), number, *queue)
        people = simulate(faces(sites), number, *queue)
        lines.append(
            f"| {number} | {rooms.ends['images'] / 60:.1f} min | {rooms.end / 3600:.2f} h "
            f"| {rooms.busy * CORES / 3600:.1f} | {people.ends['photos'] / 3600:.1f} h "
            f"| {people.end / 3600:.1f} h | {people.busy * CORES / 3600:.0f} |"
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, default="ray")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--disk", type=float, default=1.0, help="Gbit/s of the shared disk")
    parser.add_argument("--sites", type=int, default=1, help="that hold the photographs")
    asked = parser.parse_args()
    print("\n".join(table(asked.machines, asked.engine, asked.disk, asked.sites)))


if __name__ == "__main__":
    main()
