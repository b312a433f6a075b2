"""Feature tables that are damaged, cut short, or another one's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from made_up_features import columns, made_up, write

from dcgan_models.classification.feature_table import (
    COLUMNS_FILE,
    FEATURES_FILE,
    FeatureTable,
    feature_schema,
)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 100)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    table = pa.table({"column": [1, 2]})
    if path.name == COLUMNS_FILE:
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)


def without_rows(path: Path) -> None:
    if path.name == COLUMNS_FILE:
        pq.write_table(columns(0), path)
    else:
        with pa.ipc.new_file(path, feature_schema(16)):
            pass


@pytest.mark.parametrize("name", [FEATURES_FILE, COLUMNS_FILE])
@pytest.mark.parametrize(
    "damage", [Path.unlink, cut_short, halved, garbage, emptied, foreign, without_rows]
)
def test_a_damaged_table_is_refused(
    tmp_path: Path, refused: Refused, name: str, damage: Callable[[Path], None]
) -> None:
    write(tmp_path, made_up(5, 16))
    damage(tmp_path / name)
    with refused(str(tmp_path / name)):
        FeatureTable.open(tmp_path)


def test_columns_of_another_table_are_refused(tmp_path: Path, refused: Refused) -> None:
    write(tmp_path, made_up(5, 16))
    pq.write_table(columns(32), tmp_path / COLUMNS_FILE)
    with refused(FEATURES_FILE, "[16]", "[32]", COLUMNS_FILE):
        FeatureTable.open(tmp_path)
