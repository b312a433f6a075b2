"""What every made workspace shows on its pages: each figure once, by the address of its file."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg

from dcgan_assets.engine.metadata import THUMBNAIL_BYTES, decode
from dcgan_assets.engine.served_results import FIGURES
from dcgan_models.files import read_json

_ADDRESS = re.compile(r"\]\(/([^)]+\.png)\)")


def check_shown_figures(root: Path) -> None:
    """Every picture of a result is shown, with words; what is embedded is a thumbnail."""
    metas = list((root / "results").glob("*/*/_meta.json"))
    assert metas
    for path in (*metas, *(root / "models").glob("*/*/_meta.json")):
        record = read_json(path)
        told = decode(record["metadata"])
        figures = str(told[FIGURES].value) if FIGURES in told else ""
        pictures = {name for name in record["files"] if name.endswith(".png") and "/" not in name}
        place = path.parent.relative_to(root).as_posix()
        addresses = _ADDRESS.findall(figures)
        assert sorted(addresses) == sorted(f"{place}/{name}" for name in pictures), place
        for name in pictures:
            assert re.search(rf"^{re.escape(name)}: \S", figures, re.MULTILINE), (place, name)
        embedded = [
            value.md_str or ""
            for value in told.values()
            if isinstance(value, dg.MarkdownMetadataValue) and "base64" in (value.md_str or "")
        ]
        assert all(len(text) < THUMBNAIL_BYTES + 200 for text in embedded), place
        transient = record["key"].split("/")[1].endswith(("candidate", "quality"))
        assert not embedded or transient or place.startswith("models/"), place
