"""What is there to be reported: published results, networks and data sets, read from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_assets.assets.pictures.shards import read_origin
from dcgan_assets.engine import metadata as shown
from dcgan_assets.engine.results import RESULT_FILE, Result
from dcgan_assets.engine.store import Meta
from dcgan_models.data import DATASET_FILE
from dcgan_models.files import read_json

_NETWORK_FILE = "network.json"  # of dcgan_models.networks, which loads torch


@dataclass(frozen=True)
class Made:
    """A published asset.

    Attributes:
        result: Its result.json, where it has one.
        preset: Of a generator, the preset that it was trained by, as plain values.
        dataset: Of a data set, the content of dataset.json.
        origin: Of pictures, what they say of where they are from (`read_origin`).
        pictures: Its PNG files, by name.
        pages: Its HTML files, by name: what is there to be opened.
    """

    key: str
    meta: Meta
    result: Result | None
    preset: Mapping[str, Any] | None
    dataset: Mapping[str, Any] | None
    origin: bool | None
    pictures: Mapping[str, Path]
    pages: tuple[str, ...] = ()

    @property
    def stand_in(self) -> bool | None:
        """Whether the data are not the paper's; None where the asset does not say."""
        return self.origin if self.result is None else self.result.stand_in

    @property
    def trained_from(self) -> str:
        """Of a generator, the candidate that was published, with its seed; else nothing."""
        candidates = [
            f"{label}, seed {made.seed}"
            for label, made in sorted(self.meta.inputs.items())
            if made.seed is not None
        ]
        return ", ".join(candidates)

    def told(self, name: str) -> Any:
        """A value of the metadata that the UI shows, or None."""
        text = self.meta.metadata.get(name)
        return None if text is None else shown.decode({name: text}).get(name)


def gather(found: Mapping[str, tuple[Path, Meta]]) -> dict[str, Made]:
    """Read what is published.

    Args:
        found: Folders and records by key.
    """
    return {key: _read(key, folder, meta) for key, (folder, meta) in found.items()}


def _read(key: str, folder: Path, meta: Meta) -> Made:
    network = folder / _NETWORK_FILE
    dataset = folder / DATASET_FILE
    return Made(
        key=key,
        meta=meta,
        result=Result.read(folder) if (folder / RESULT_FILE).exists() else None,
        preset=read_json(network)["preset"] if network.exists() else None,
        dataset=read_json(dataset) if dataset.exists() else None,
        origin=read_origin(folder),
        pictures={path.name: path for path in sorted(folder.glob("*.png"))},
        pages=tuple(path.name for path in sorted(folder.glob("*.html"))),
    )
