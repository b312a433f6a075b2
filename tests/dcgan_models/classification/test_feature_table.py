"""Feature tables: what is written is found again, mapped and not read; memory is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from checkout import CHECKOUT
from fixture_types import Refused
from made_up_features import Features, columns, made_up, write

from dcgan_models.classification.feature_table import (
    COLUMNS_FILE,
    FEATURES_FILE,
    FeatureTable,
    feature_schema,
    write_feature_table,
)


def test_a_table_of_one_record_batch_comes_back(tmp_path: Path) -> None:
    features = made_up(50, 48)
    write(tmp_path, features)
    table = FeatureTable.open(tmp_path)
    assert len(table) == 50
    assert table.features.dtype == np.float16
    np.testing.assert_array_equal(table.features, features)
    assert not table.features.flags.writeable
    assert table.keys.to_pylist() == [f"picture {i} ü" for i in range(50)]
    assert table.labels.tolist() == [i % 5 - 1 for i in range(50)]
    assert table.rows("test").tolist() == list(range(0, 50, 3))
    assert table.columns.equals(columns(48))
    assert sorted(path.name for path in tmp_path.iterdir()) == [COLUMNS_FILE, FEATURES_FILE]


def test_record_batches_do_not_depend_on_the_blocks(tmp_path: Path) -> None:
    features = made_up(50, 32)
    for block in (1, 16, 50):
        write(tmp_path, features, block=block, batch_bytes=16 * 64)
        table = FeatureTable.open(tmp_path)
        assert [len(part) for part in table.parts] == [16, 16, 16, 2]
        np.testing.assert_array_equal(np.concatenate(list(table.parts)), features)
    with pytest.raises(ValueError, match="4 record batches"):
        _ = table.features


def test_gathered_rows_come_in_the_order_asked(tmp_path: Path) -> None:
    features = made_up(50, 32)
    write(tmp_path, features, batch_bytes=16 * 64)
    table = FeatureTable.open(tmp_path)
    rows = [49, 0, 15, 16, 16, 31, 32, 47, 48, 3]
    np.testing.assert_array_equal(table.gather(rows), features[rows])
    assert table.gather([]).shape == (0, 32)
    for bad in ([-1], [50]):
        with pytest.raises(IndexError):
            table.gather(bad)


def test_the_file_is_plain_arrow(tmp_path: Path) -> None:
    """Any Arrow reader opens it: types, nulls and descriptions, and no compression."""
    features = made_up(20, 16)
    write(tmp_path, features)
    table = pa.ipc.open_file(tmp_path / FEATURES_FILE).read_all()
    assert table.schema.equals(feature_schema(16), check_metadata=True)
    assert table.schema.field("features").type == pa.list_(
        pa.field("item", pa.float16(), nullable=False), 16
    )
    assert table["label"].null_count == 4
    assert features.tobytes() in (tmp_path / FEATURES_FILE).read_bytes()
    assert pq.read_table(tmp_path / COLUMNS_FILE).equals(columns(16))


def test_opening_allocates_nothing_for_features(tmp_path: Path) -> None:
    features = made_up(4000, 4096)  # 33 MB
    write(tmp_path, features, block=500, batch_bytes=8 << 20)
    before = pa.total_allocated_bytes()
    table = FeatureTable.open(tmp_path)
    views = [part[:, ::7] for part in table.parts]
    assert len(views) == 4
    assert pa.total_allocated_bytes() - before < 1 << 20
    assert float(views[0][0, 1]) == float(features[0, 7])
    # The views keep the file mapped when everything else is gone.
    del table
    (tmp_path / FEATURES_FILE).unlink()
    np.testing.assert_array_equal(views[-1][-1], features[-1, ::7])


_MEMORY = """
import sys
from pathlib import Path
import numpy as np, psutil, pyarrow as pa
from dcgan_models.classification.feature_table import *
from dcgan_models.classification.feature_table import COLUMNS_SCHEMA
assert "torch" not in sys.modules
folder, count, n = Path(sys.argv[1]), 16384, 4096
numbers = np.arange(count, dtype=np.int32)
columns = pa.Table.from_arrays([pa.array(numbers)] * 5, schema=COLUMNS_SCHEMA)
block = np.ones((64, count), np.float16)
process = psutil.Process()
def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as lines:
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
def write(n):
    write_feature_table(folder, columns, (block for _ in range(n // 64)), keys=["k"] * n,
        labels=np.zeros(n, np.int64), splits=["train"] * n, batch_bytes=16 << 20)
write(64)
before = peak()
write(n)
print(peak() - before)
before = process.memory_info().rss
table = FeatureTable.open(folder)
first = table.parts[0][0].sum()
print(process.memory_info().rss - before)
"""


def test_memory_is_a_record_batch_to_write_and_nothing_to_open(tmp_path: Path) -> None:
    """134 MB of features in record batches of 17 MB, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=CHECKOUT,
    )
    writing, opening = map(int, done.stdout.split())
    assert writing < 50e6
    assert opening < 30e6


# --- What is refused --------------------------------------------------------------------------


def test_blocks_that_do_not_fit_leave_no_table(tmp_path: Path) -> None:
    write(tmp_path, made_up(5, 16))
    good = made_up(10, 16)

    def attempt(blocks: list[Features]) -> None:
        write_feature_table(
            tmp_path,
            columns(16),
            iter(blocks),
            keys=list("abcdefghij"),
            labels=np.zeros(10, np.int64),
            splits=["train"] * 10,
            batch_bytes=64,
        )

    for blocks in (
        [good[:4]],
        [good, good[:1]],
        [good[:, :15]],
        [good.astype(np.float32)],  # type: ignore[list-item]
    ):
        with pytest.raises(ValueError, match=r"rows of features|a block is"):
            attempt(blocks)
        assert [path.name for path in tmp_path.iterdir()] == [COLUMNS_FILE]


def test_a_failing_stream_leaves_no_table(tmp_path: Path) -> None:
    def failing() -> Iterator[Features]:
        yield made_up(4, 16)
        raise RuntimeError("the network is gone")

    with pytest.raises(RuntimeError, match="network is gone"):
        write_feature_table(
            tmp_path,
            columns(16),
            failing(),
            keys=list("abcdefgh"),
            labels=np.zeros(8, np.int64),
            splits=["train"] * 8,
            batch_bytes=64,
        )
    assert [path.name for path in tmp_path.iterdir()] == [COLUMNS_FILE]


def test_a_folder_that_is_missing_is_refused(tmp_path: Path, refused: Refused) -> None:
    with refused(str(tmp_path / "none"), "cannot be written"):
        write(tmp_path / "none", made_up(5, 16))
