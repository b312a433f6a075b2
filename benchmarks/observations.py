"""What telling Dagster of a training costs the training.

    python -m benchmarks.observations                                # the sample profile's digits
    python -m benchmarks.observations --section lsun.candidate
    python -m benchmarks.observations --profile paper --section lsun.candidate   # on a GPU

One training in one run of Dagster, on random pictures, with the records on disk as `dcgan` keeps
them. Every 50 minibatches the training tells its tick; the time between two of them is that of
training alone, the baseline of the same run. Each tick is told several times over, so that 1,000
are told in a training of seconds. Target: 1,000 observations cost at most 2%.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import options, report
from dcgan_assets.assets.catalogue import open_catalogue
from dcgan_assets.assets.training.candidate import _Reporter
from dcgan_assets.engine.catalogue import Catalogue
from dcgan_assets.engine.fingerprint import Order
from dcgan_assets.engine.instance import prepare_home
from dcgan_assets.engine.interrupts import StopFlag
from dcgan_assets.engine.making import Work
from dcgan_assets.engine.workspace import Workspace
from dcgan_assets.params.file import profile_text
from dcgan_assets.params.training import Candidate
from dcgan_models.data import write_dataset
from dcgan_models.presets import Preset
from dcgan_models.training import Tick, TrainConfig, train

_TARGET = 2.0
_TICK_STEPS = 50


def main() -> None:
    """Train, tell, and report what each took."""
    parser = options(str(__doc__).splitlines()[0], runs=20)
    parser.add_argument("--profile", default="sample")
    parser.add_argument("--section", default="mnist.candidate")
    parser.add_argument("--observations", type=int, default=1000, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="observations-") as folder:
        root = Path(folder)
        (root / "params.yaml").write_text(profile_text(arguments.profile), encoding="utf-8")
        catalogue = open_catalogue(Workspace(root))
        training, telling = measure(
            catalogue, arguments.section, arguments.runs, arguments.observations
        )
    share = statistics.mean(telling) / statistics.median(training)
    report(
        {
            "profile": arguments.profile,
            "section": arguments.section,
            "cost of an observation, % of the training between two": round(100 * share, 2),
            "target, %": _TARGET,
        },
        {
            f"{_TICK_STEPS} minibatches, ms": _milliseconds(training),
            "an observation, ms": _milliseconds(telling),
            "the last tenth of them, ms": _milliseconds(telling[-len(telling) // 10 :]),
        },
        arguments.json,
    )


def measure(
    catalogue: Catalogue, section: str, ticks: int, observations: int
) -> tuple[list[float], list[float]]:
    """Seconds of every stretch of training, and of every observation."""
    root = catalogue.workspace.root
    candidate: Any = catalogue.workspace.params.section(section)
    config = _config(candidate, root / "pictures", ticks)
    training: list[float] = []
    telling: list[float] = []

    def train_and_tell(context: Any) -> None:
        reporter = _Reporter(_work(catalogue, section, context), config.preset.batch, [])
        began = time.perf_counter()

        def on_tick(tick: Tick) -> None:
            nonlocal began
            training.append(time.perf_counter() - began)
            for number in range(observations // ticks):
                start = time.perf_counter()
                reporter.tick(replace(tick, step=tick.step + number))
                telling.append(time.perf_counter() - start)
            began = time.perf_counter()

        with reporter.bar:
            train(config, root / "run", on_tick)

    train_and_tell.__annotations__ = {}  # Dagster reads them, and not as text
    trained = dg.asset(key=section.split("."))(train_and_tell)
    prepare_home(catalogue.workspace)
    with dg.DagsterInstance.get() as instance:
        assert dg.materialize([trained], instance=instance).success
    return training[1:], telling  # the first stretch warms up


def _config(candidate: Candidate, data: Path, ticks: int) -> TrainConfig:
    """So many ticks of the section's training on random pictures."""
    chosen: Preset = candidate.resolved()
    n = chosen.batch * _TICK_STEPS
    _write_pictures(data, chosen, n)
    epochs = (ticks + 1) * 2 // (1 if chosen.schedule == "both" else 2)
    return TrainConfig(
        preset=replace(chosen, epochs=max(1, epochs), decay_epochs=0),
        data=str(data),
        seed=1,
        tick_steps=_TICK_STEPS,
        save_seconds=1e9,
        precision=candidate.precision,
        compile=candidate.compile,
    )


def _write_pictures(folder: Path, chosen: Preset, n: int) -> None:
    channels, side, _ = chosen.image
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "pixels.npy", rng.integers(0, 256, (n, side, side, channels), np.uint8))
    index = {
        "key": [str(row) for row in range(n)],
        "shard": np.zeros(n, np.int64),
        "row": np.arange(n),
        "label": np.arange(n) % (chosen.classes or 1),
        "split": ["train"] * n,
    }
    pq.write_table(pa.table(index), folder / "index.parquet")
    write_dataset(
        folder,
        index="index.parquet",
        shards=["pixels.npy"],
        n=n,
        shape=[side, side, channels],
        dtype="uint8",
        stand_in=True,
        splits={"train": n},
    )


def _work(catalogue: Catalogue, section: str, context: Any) -> Work:
    """What a step's function is given."""
    step = catalogue.by_key[section.replace(".", "/")]
    order = Order(step, None, (catalogue.artefact(step.key),), {}, "", 1, "")
    return Work(catalogue, order, {}, context, StopFlag())


def _milliseconds(seconds: list[float]) -> list[float]:
    return [1000 * s for s in seconds]


if __name__ == "__main__":
    main()
