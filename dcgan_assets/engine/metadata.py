"""What the Dagster UI shows of an asset: thumbnails, loss curves, table schemas.

Dagster stores metadata with every materialisation, so pictures are kept under 200 KB.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from dcgan_models.pixels import Pixels

MAX_PICTURE_BYTES = 200_000
SUMMARY = "summary"


_PICTURE = re.compile(r"!\[([^\]]*)\]\(data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)\)")
_ROUGH = 70  # JPEG's quality where a picture is only a hint of the real one


def picture(pixels: Pixels, about: str) -> dg.MarkdownMetadataValue:
    """A uint8 (height, width, channels) picture as markdown, shrunk until it fits.

    Args:
        pixels: Grey or RGB.
        about: Alternative text.
    """
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    while True:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) <= MAX_PICTURE_BYTES:
            return dg.MetadataValue.md(f"![{about}](data:image/png;base64,{encoded})")
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4))


def picture_file(path: Path, about: str) -> dg.MarkdownMetadataValue:
    """A PNG on disk as markdown, as `picture` does."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return picture(pixels, about)


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


def thumbnails(metadata: dict[str, str], budget: int) -> dict[str, str]:
    """Encoded metadata with its pictures shrunk to `budget` bytes together.

    Args:
        metadata: From `encode`.
        budget: 0 leaves entries with pictures out.
    """
    markdown = {
        key: value.md_str
        for key, value in decode(metadata).items()
        if isinstance(value, dg.MarkdownMetadataValue) and _PICTURE.search(value.md_str or "")
    }
    small = {key: text for key, text in metadata.items() if key not in markdown}
    if budget == 0 or not markdown:
        return small
    share = budget // sum(len(_PICTURE.findall(text or "")) for text in markdown.values())
    for key, text in markdown.items():
        value = dg.MetadataValue.md(
            _PICTURE.sub(lambda found: _thumbnail(found, share), text or "")
        )
        small[key] = dg.serialize_value(value)
    return small


def _thumbnail(found: re.Match[str], budget: int) -> str:
    """An embedded picture as a JPEG that takes at most `budget` bytes as text."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(found[2]))).convert("RGB")
    while True:
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=_ROUGH, optimize=True)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        if len(encoded) <= budget:
            return f"![{found[1]}](data:image/jpeg;base64,{encoded})"
        # Twenty passes at most, from the largest picture that the UI shows.
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))


def encode(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata as text for `_meta.json`, to be shown again when an asset is memoised."""
    values: dict[str, Any] = {
        key: value if isinstance(value, dg.MetadataValue) else _plain(value)
        for key, value in metadata.items()
    }
    return {key: dg.serialize_value(value) for key, value in values.items()}


def decode(texts: dict[str, str]) -> dict[str, dg.MetadataValue]:
    """Undo `encode`. The texts are data: Dagster builds only its own metadata classes."""
    values: dict[str, Any] = {key: dg.deserialize_value(text) for key, text in texts.items()}
    return {key: value for key, value in values.items() if isinstance(value, dg.MetadataValue)}


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
