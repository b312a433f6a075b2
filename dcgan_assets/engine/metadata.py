"""What the Dagster UI shows of an asset beside its figures: tables, schemas, thumbnails.

A figure is a file and is shown by its address (`served_results`). A thumbnail is for what is no
file, such as the first pictures of a data set, and for what is not on this disk: Dagster stores it
with every materialisation and hides it behind a link.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from dcgan_models.pixels import Pixels

THUMBNAIL_BYTES = 10_000
SUMMARY = "summary"
_EMBEDDED = "](data:image/"
_ROUGH = 70  # JPEG's quality where a picture is only a hint of the real one


def thumbnail(pixels: Pixels, about: str) -> dg.MarkdownMetadataValue:
    """A uint8 (height, width, channels) picture in Markdown, shrunk to `THUMBNAIL_BYTES` of text.

    Args:
        pixels: Grey or RGB.
        about: Alternative text.
    """
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    while True:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=_ROUGH, optimize=True)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) <= THUMBNAIL_BYTES:
            return dg.MetadataValue.md(f"![{about}](data:image/jpeg;base64,{encoded})")
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def thumbnail_of(path: Path) -> dg.MarkdownMetadataValue:
    """A figure's thumbnail, under its file's name."""
    from PIL import Image

    with Image.open(path) as image:
        return thumbnail(np.asarray(image.convert("RGB")), path.name)


def without_thumbnails(metadata: dict[str, str]) -> dict[str, str]:
    """Encoded metadata without the pictures that are in it."""
    return {key: text for key, text in metadata.items() if _EMBEDDED not in text}


def table_schema(schema: pa.Schema) -> dg.TableSchemaMetadataValue:
    """An Arrow schema as Dagster's, with the descriptions that fields carry."""
    columns = [
        dg.TableColumn(
            name=field.name,
            type=str(field.type),
            description=(field.metadata or {}).get(b"description", b"").decode() or None,
            constraints=dg.TableColumnConstraints(nullable=field.nullable),
        )
        for field in schema
    ]
    return dg.MetadataValue.table_schema(dg.TableSchema(columns=columns))


def table(rows: list[dict[str, Any]]) -> dg.TableMetadataValue:
    """Rows of plain values as a table in the UI; None is shown as a dash."""
    shown = [
        {key: "–" if value is None else value for key, value in row.items()}  # noqa: RUF001
        for row in rows
    ]
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in shown],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=key) for key in shown[0]]),
    )


def encode(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata as text for `_meta.json`, to be shown again when an asset is up to date."""
    values: dict[str, Any] = {
        key: value if isinstance(value, dg.MetadataValue) else _plain(value)
        for key, value in metadata.items()
    }
    return {key: dg.serialize_value(value) for key, value in values.items()}


def decode(texts: dict[str, str]) -> dict[str, dg.MetadataValue]:
    """Undo `encode`; what `encode` has not written is left out.

    The texts are data: Dagster builds only its own metadata classes.
    """
    values = {key: _deserialised(text) for key, text in texts.items()}
    return {key: value for key, value in values.items() if isinstance(value, dg.MetadataValue)}


def _deserialised(text: str) -> Any:
    try:
        return dg.deserialize_value(text)
    except Exception:
        return None


def _plain(value: Any) -> dg.MetadataValue:
    match value:
        case bool():
            return dg.MetadataValue.bool(value)
        case int():
            return dg.MetadataValue.int(value)
        case float():
            return dg.MetadataValue.float(value)
        case _:
            return dg.MetadataValue.text(str(value))


def summary(metadata: dict[str, str]) -> str:
    """The one-line summary within encoded metadata; empty where there is none."""
    found = decode({SUMMARY: metadata[SUMMARY]}) if SUMMARY in metadata else {}
    return str(found[SUMMARY].value) if found else ""


def verdict_words(verdicts: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Check results with the facts behind them, in one line; equal facts are said once."""
    by_facts: dict[str, list[str]] = {}
    for check, facts in verdicts:
        words = ", ".join(f"{name}: {value}" for name, value in facts.items())
        by_facts.setdefault(words, []).append(check)
    return "; ".join(f"{', '.join(checks)} ({words})" for words, checks in by_facts.items())
