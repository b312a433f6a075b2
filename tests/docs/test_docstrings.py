"""The examples in docstrings, run in a folder with a small data set and the run of `train`'s."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
import re
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from checkout import CHECKOUT

from dcgan_models.data import PixelStore, write_dataset
from dcgan_models.networks import Generator
from dcgan_models.training import train

N = 128
# What the site's reference shows, in its order.
NAMES = re.findall(r"^::: (.+)$", (CHECKOUT / "docs/api.md").read_text("utf-8"), re.MULTILINE)


def run_example(thing: Any) -> doctest.TestResults:
    """Run what a docstring shows, and those of a class's methods, with its own module's names."""
    module = sys.modules[thing.__module__]
    failed = attempted = 0
    for example in doctest.DocTestFinder().find(thing, thing.__qualname__, globs=vars(module)):
        found = doctest.DocTestRunner().run(example)
        failed, attempted = failed + found.failed, attempted + found.attempted
    return doctest.TestResults(failed, attempted)


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
@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_it_shows(name: str) -> None:
    thing = pkgutil.resolve_name(name)
    assert thing.__doc__
    assert f"{thing.__module__}.{thing.__qualname__}" == name, "the place where it is defined"
    found = run_example(thing)
    assert found.failed == 0
    # A class may show itself in its methods, or be what a function takes or gives.
    assert found.attempted or inspect.isclass(thing), "an example is missing"


def test_a_dozen_functions_are_on_the_page_and_methods_count() -> None:
    assert sum(inspect.isfunction(pkgutil.resolve_name(name)) for name in NAMES) >= 12
    for method in (Generator.sample, PixelStore.open):
        assert ">>> " in (inspect.getdoc(method) or "")


def test_the_site_reads_the_docstrings() -> None:
    """griffe knows `Examples:`; any other word makes a paragraph of it."""
    for path in (CHECKOUT / "dcgan_models").rglob("*.py"):
        assert not re.search(r"^ *Example:$", path.read_text("utf-8"), re.MULTILINE), path
