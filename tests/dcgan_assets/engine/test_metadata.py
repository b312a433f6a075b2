"""What the UI is given: pictures that fit, schemas, tables, and the same again from a record."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from dcgan_assets.engine.metadata import (
    THUMBNAIL_BYTES,
    decode,
    encode,
    table,
    table_schema,
    thumbnail,
    thumbnail_of,
)


def pixels_of(value: dg.MarkdownMetadataValue) -> Any:
    """The picture inside a markdown value, decoded."""
    assert value.md_str is not None
    start = value.md_str.index("base64,") + len("base64,")
    content = base64.b64decode(value.md_str[start:-1], validate=True)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
        return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thumbnail_of_little_is_the_picture(channels: int) -> None:
    ramp = np.tile(np.linspace(0, 255, 40).astype(np.uint8)[:, None], (24, 1, channels))
    pixels = ramp.reshape(24, 40, channels)
    value = thumbnail(pixels, "digits")
    assert value.md_str is not None
    assert value.md_str.startswith("![digits](data:image/jpeg;base64,")
    found = pixels_of(value).reshape(pixels.shape).astype(int)
    assert np.abs(found - pixels).mean() < 3


def test_a_thumbnail_is_shrunk_until_it_fits() -> None:
    # Noise cannot be compressed: 1.1 MB as PNG.
    pixels = np.random.default_rng(0).integers(0, 256, (500, 750, 3), dtype=np.uint8)
    value = thumbnail(pixels, "noise")
    assert value.md_str is not None
    assert len(value.md_str) < THUMBNAIL_BYTES + 100
    height, width, _ = pixels_of(value).shape
    assert height * width > 5_000
    assert width / height == pytest.approx(1.5, abs=0.03)


def test_a_file_has_a_thumbnail_under_its_name(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[..., 1] = 200
    Image.fromarray(pixels).save(tmp_path / "figure.png")
    value = thumbnail_of(tmp_path / "figure.png")
    assert value.md_str is not None
    assert value.md_str.startswith("![figure.png](")
    assert np.abs(pixels_of(value).astype(int) - pixels).max() < 6


def test_an_arrow_schema_with_its_descriptions() -> None:
    schema = pa.schema(
        [
            pa.field("key", pa.string(), nullable=False, metadata={"description": "Its name."}),
            pa.field("label", pa.int64()),
        ]
    )
    columns = table_schema(schema).schema.columns
    assert [(c.name, c.type, c.description, c.constraints.nullable) for c in columns] == [
        ("key", "string", "Its name.", False),
        ("label", "int64", None, True),
    ]


def test_rows_as_a_table_with_dashes_for_nothing() -> None:
    value = table([{"references": "GAN", "error %": 6.28}, {"references": "x", "error %": None}])
    assert [dict(record.data) for record in value.records] == [
        {"references": "GAN", "error %": 6.28},
        {"references": "x", "error %": "–"},  # noqa: RUF001
    ]
    assert [column.name for column in value.schema.columns] == ["references", "error %"]


def test_a_record_gives_back_what_was_shown() -> None:
    values: dict[str, Any] = {
        "flag": True,
        "count": 3,
        "share": 0.25,
        "words": "kept the champion",
        "picture": thumbnail(np.zeros((2, 2, 1), np.uint8), "x"),
        "table": table([{"a": 1}]),
        "schema": table_schema(pa.schema([("a", pa.int64())])),
    }
    texts = json.loads(json.dumps(encode(values)))
    assert decode(texts) == {
        **values,
        "flag": dg.MetadataValue.bool(True),
        "count": dg.MetadataValue.int(3),
        "share": dg.MetadataValue.float(0.25),
        "words": dg.MetadataValue.text("kept the champion"),
    }


def test_only_metadata_comes_out_of_a_record() -> None:
    """A record is a file that anyone may have written: other serialised objects are dropped."""
    texts = encode({"count": 3})
    texts["other"] = dg.serialize_value(dg.AssetKey("x"))
    assert set(decode(texts)) == {"count"}
