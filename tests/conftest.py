"""What tests of both packages share: one thread for torch, small data sets, one-line errors."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

# Read when torch is first imported, which no conftest does. Results are compared bit for bit,
# here and with subprocesses, and sums depend on the number of threads.
os.environ["OMP_NUM_THREADS"] = "1"

# pytest puts tests/ on the path, where tests/dcgan_models would pass for the package itself.
sys.path.insert(0, str(Path(__file__).parents[1]))

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused, WritePictures
from hypothesis import HealthCheck, settings

from dcgan_assets.engine.terminal import Finding
from dcgan_assets.engine.torch_findings import torch_asked, torch_findings
from dcgan_assets.sources.reading.items import forget_listings
from dcgan_assets.sources.reading.workers import close_workers
from dcgan_models.errors import UserError

# A script's background job ignores Ctrl-C, and so would every process started by a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine; with CI set, hypothesis draws the same
# examples every time.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


# What takes long comes first: files are handed to the processes whole, in this order, so that none
# is still at one of them when the other has nothing left to do.
LONGEST = (
    *("e2e/test_new_pictures.py", "e2e/test_two_machines.py", "e2e/test_celery.py"),
    *("e2e/test_ui.py", "e2e/test_dvc.py", "e2e/test_ticks.py"),
    *("e2e/test_processes.py", "e2e/test_hosts.py"),
    "e2e/test_command_line.py",
    *("e2e/test_ui_faults.py", "e2e/test_ui_live.py"),
    *("e2e/test_examples.py", "e2e/test_annotate.py", "e2e/test_dvc_experiments.py"),
    *("e2e/test_own_pictures_under_dvc.py", "e2e/test_report.py", "e2e/test_set_up.py"),
    *("hostile/test_web_ui.py", "dcgan_assets/engine/test_submitting.py"),
    *("docs/test_pictures.py", "hostile/test_full_disks.py", "hostile/test_degenerate_groups.py"),
    *("dcgan_assets/assets/publishing/test_quality.py", "hostile/test_killed_commands.py"),
    *("dcgan_assets/engine/test_running.py", "dcgan_assets/engine/test_instance.py"),
    *("dcgan_assets/engine/test_faults.py", "dcgan_assets/dvc/test_register.py"),
    *("dcgan_assets/dvc/test_reproduce.py", "dcgan_assets/dvc/test_commit.py"),
    *("dcgan_assets/cli/test_new_group.py", "dcgan_models/training/test_kill.py"),
    *("dcgan_models/training/test_team.py", "dcgan_models/training/test_training.py"),
    *("hostile/test_first_commands.py", "dcgan_assets/engine/versions/test_code.py"),
    *(
        "dcgan_assets/assets/internals/test_bad_networks.py",
        "dcgan_models/metrics/test_intervals.py",
    ),
)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The second process walks folders backwards, so that in a new clone each compiles half.

    Its tests end in the same order: they are sorted when all are there.
    """
    report = yield
    if isinstance(collector, pytest.Directory) and os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
        report.result.reverse()
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests, a million objects, stay to the end: nothing looks for garbage in them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """Else libraries tell at the end of what was not freed."""
    gc.unfreeze()


@pytest.hookimpl(trylast=True)  # what is deselected does not count
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of `LONGEST`, then those with the most tests."""
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONGEST)}
    missing = [path for path in ranks if not path.exists()]
    assert not missing, missing
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (ranks.get(item.path, len(ranks)), -sizes[item.path], item.path))


@pytest.fixture
def fresh_listings() -> Iterator[None]:
    """Sources list anew what they read: a process remembers a listing, and a test may change it."""
    forget_listings()
    yield
    forget_listings()


@pytest.fixture(scope="module")
def no_workers_left() -> Iterator[None]:
    """The worker processes that read pictures end with the module that started them."""
    yield
    close_workers()


@pytest.fixture(scope="module")
def few_statistics() -> Iterator[None]:
    """Statistics of what is published come of 3 minibatches, not of 100, in this process alone.

    They take two thirds of a training of twelve minibatches.
    """
    from dcgan_models.networks import estimate_sampling_statistics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate_sampling_statistics, "__defaults__", (3,))
        yield


@pytest.fixture(scope="session")
def _torch_found() -> list[Finding]:
    with torch_asked() as asked:
        return torch_findings(asked)


@pytest.fixture
def torch_asked_once(_torch_found: list[Finding], monkeypatch: pytest.MonkeyPatch) -> None:
    """What doctor found about torch once stands for later questions: asking takes two seconds."""
    monkeypatch.setattr("dcgan_assets.cli.doctor.torch_asked", nullcontext)
    monkeypatch.setattr("dcgan_assets.cli.doctor.torch_findings", lambda asked: _torch_found)


@pytest.fixture(scope="session")
def refused() -> Refused:
    """`with refused("state.safetensors", "batch"):` a `UserError` of one line with these words."""

    @contextmanager
    def check(*words: str) -> Iterator[None]:
        with pytest.raises(UserError) as caught:
            yield
        line = str(caught.value)
        assert "\n" not in line
        for word in words:
            assert word in line

    return check


@pytest.fixture(scope="session")
def write_pictures() -> WritePictures:
    """Write pictures (n, h, w, c) as a data set folder; keywords replace columns of the index."""

    def write(
        folder: Path,
        pixels: npt.NDArray[Any],
        *,
        shards: int = 1,
        split: str | list[str] = "train",
        **columns: Any,
    ) -> Path:
        from dcgan_models.data import write_dataset

        folder.mkdir(parents=True, exist_ok=True)
        names, places = [], []
        for number, rows in enumerate(np.array_split(np.arange(len(pixels)), shards)):
            names.append(f"shard_{number:03d}.npy")
            np.save(folder / names[-1], pixels[rows])
            places += [(number, row) for row in range(len(rows))]
        n = len(places)
        index = {
            "key": [f"picture_{i}" for i in range(n)],
            "shard": [shard for shard, _ in places],
            "row": [row for _, row in places],
            "label": [i % 10 for i in range(n)],
            "split": [split] * n if isinstance(split, str) else split,
        }
        pq.write_table(pa.table({**index, **columns}), folder / "index.parquet")
        write_dataset(folder, index="index.parquet", shards=names)
        return folder

    return write
