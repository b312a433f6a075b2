"""What tables still say of what was removed: in none of them a name, an address or a maker."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from picture_servers import Bench, Server, jpeg, picture, status, wanted

from dcgan_assets.sources.faces.boxes import BOX_SCHEMA, FACE_SCHEMA
from dcgan_assets.sources.web.download.packing import MANIFEST_SCHEMA
from dcgan_assets.sources.web.removed_rows import forget_removed
from dcgan_assets.sources.web.search.address_table import ADDRESS_SCHEMA, SEARCH_SCHEMA
from dcgan_assets.sources.web.search.people import PEOPLE_SCHEMA

TABLES = (
    PEOPLE_SCHEMA,
    ADDRESS_SCHEMA,
    SEARCH_SCHEMA,
    MANIFEST_SCHEMA,
    FACE_SCHEMA,
    BOX_SCHEMA,
)
# What a removed row may still say; everything else of text tells who or what it was.
STAYS = {"key", "photo", "uri", "status", "reason", "detail", "search", "source", "licence"}
STAYS |= {"mime", "detector", "detector_version", "split", "pixels_sha256"}
VALUES = {
    pa.string(): "secret",
    pa.int32(): 7,
    pa.int64(): 7,
    pa.float64(): 7.0,
    pa.bool_(): True,
    pa.date32(): dt.date(1950, 1, 2),
}


def row(schema: pa.Schema, reason: str | None) -> dict[str, Any]:
    return {**{field.name: VALUES[field.type] for field in schema}, "reason": reason}


@pytest.mark.parametrize("schema", TABLES)
def test_a_removed_row_tells_nobody(schema: pa.Schema) -> None:
    reasons = [None, "removed", "removed: person (line 2 of the removal list)", "removed once"]
    before = pa.Table.from_pylist([row(schema, reason) for reason in reasons], schema=schema)
    after = forget_removed(before)
    assert after.schema.equals(schema, check_metadata=True)
    after.validate(full=True)
    rows = after.to_pylist()
    assert [rows[0], rows[3]] == [before.to_pylist()[0], before.to_pylist()[3]]
    for gone in rows[1:3]:
        assert {name for name, value in gone.items() if value == "secret"} <= STAYS
        for name in STAYS & gone.keys() - {"reason"}:
            assert gone[name] == "secret"
    none = before.filter(pa.array([True, False, False, True]))
    assert forget_removed(none) is none
    assert forget_removed(schema.empty_table()).num_rows == 0


def test_nothing_is_left_of_a_removed_picture_in_a_shard(tmp_path: Path) -> None:
    """By its content, so that the address under which it was found twice goes as well."""
    digest = hashlib.sha256(jpeg(1)).hexdigest()
    extra = pa.schema([("page", pa.string()), ("rank", pa.int64())])
    with Server(
        {"/1": picture(jpeg(1)), "/2": picture(jpeg(2))}, default=status(404)
    ).running() as (server):
        found = {"page": "https://wiki.test/1", "rank": 4}
        pictures = [
            wanted(server.url("/1"), "a", "ab" * 20, extra=found),
            wanted(server.url("/1"), "b", extra=found),
            wanted(server.url("/2"), "c", extra=found),
        ]
        for _ in range(2):  # as it was fetched, and as it is in the ledger
            rows = Bench(tmp_path).run(
                pictures, server, extra=extra, is_removed=lambda one, sha256: sha256 == digest
            )
            for key in "ab":
                said = {name: value for name, value in rows[key].items() if value not in (None, "")}
                assert said == {
                    "key": key,
                    "status": "rejected",
                    "reason": "removed",
                    "licence": "CC BY-SA 4.0",
                    "rank": 4,
                }
            assert rows["c"]["address"] == server.url("/2")
            assert rows["c"]["page"] == "https://wiki.test/1"
