"""The examples in docstrings, run in a folder with a small data set and the run of `train`'s."""

from __future__ import annotations

import doctest
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dcgan_models.classification.features import feature_blocks
from dcgan_models.classification.svm import L2SVM
from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.dedup.autoencoder import train_autoencoder
from dcgan_models.neighbours.nearest import nearest_neighbour_errors
from dcgan_models.networks import Generator, load_discriminator, load_generator
from dcgan_models.presets import preset
from dcgan_models.training import train

N = 128


def run_example(thing: Any) -> doctest.TestResults:
    """Run what a docstring shows, with the names of its own module."""
    names = dict(vars(sys.modules[thing.__module__]))
    (example,) = doctest.DocTestFinder(recurse=False).find(thing, thing.__name__, globs=names)
    return doctest.DocTestRunner().run(example)


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "digits").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (N, 28, 28, 1), dtype=np.uint8)
    np.save(folder / "digits/shard.npy", pixels)
    rows = np.arange(N)
    columns = {"key": [str(n) for n in rows], "shard": rows * 0, "row": rows, "label": rows % 10}
    pq.write_table(pa.table({**columns, "split": ["train"] * N}), folder / "digits/index.parquet")
    write_dataset(folder / "digits", index="index.parquet", shards=["shard.npy"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_example(train) == doctest.TestResults(failed=0, attempted=4)
        yield


@pytest.mark.usefixtures("_trained")
@pytest.mark.parametrize(
    "thing",
    [
        *(preset, PixelStore.open, load_generator, load_discriminator, Generator.sample),
        *(feature_blocks, L2SVM, nearest_neighbour_errors, train_autoencoder),
    ],
    ids=lambda thing: thing.__qualname__,
)
def test_an_example_gives_what_it_shows(thing: Any) -> None:
    found = run_example(thing)
    assert found.attempted > 0
    assert found.failed == 0
