"""Pictures on disk, opened for training: uint8 shards and the Parquet index that describes them.

A data set is a folder with `dataset.json`, which names an index (Parquet, a row a picture: key,
shard, row, label, split) and the `.npy` shards, each uint8 (n, height, width, channels). The
shards may lie in another folder: a training set copies no pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcgan_models.errors import UserError
from dcgan_models.files import read_json, write_json
from dcgan_models.pixels import Pixels

if TYPE_CHECKING:
    import torch

DATASET_FILE = "dataset.json"
_COLUMNS = pa.schema(
    {"key": "string", "shard": "int64", "row": "int64", "label": "int64", "split": "string"}
)


@dataclass(frozen=True)
class PixelStore:
    """The pictures of one split, memory-mapped.

    Attributes:
        shards: Memory maps, uint8 (n_i, height, width, channels).
        shard, row: int64 (n,): where picture i lies.
        labels: int64 (n,), -1 where there is none.
        keys: The pictures' keys, in the same order.
    """

    shards: Sequence[Pixels]
    shard: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    keys: Sequence[str]

    @classmethod
    def open(cls, folder: str | Path, split: str | None = None) -> PixelStore:
        """Open a data set folder.

        Args:
            folder: Holds `dataset.json`.
            split: Only the rows of this split; all rows by default.

        Raises:
            UserError: A file is missing or does not fit the description, or the split is empty.

        Example:
            >>> store = PixelStore.open("digits", split="train")
            >>> store.gather([0, 5, 2]).shape
            (3, 28, 28, 1)
        """
        folder = Path(folder)
        content = _describe(folder)
        shards = [_map_shard(folder / name) for name in content["shards"]]
        index = _read_index(folder / content["index"], split)
        if not len(index):
            raise UserError(f"{folder}: no pictures in split {split!r}")
        store = cls(
            shards=shards,
            shard=_integers(index, "shard"),
            row=_integers(index, "row"),
            labels=_integers(index, "label"),
            keys=index.column("key").to_pylist(),
        )
        store._check(folder)
        return store

    def _check(self, folder: Path) -> None:
        lengths = np.array([len(shard) for shard in self.shards])
        inside = (self.shard >= 0) & (self.shard < len(lengths)) & (self.row >= 0)
        if not inside.all() or (self.row >= lengths[self.shard]).any():
            raise UserError(f"{folder}: the index names pictures that the shards do not hold")
        if len({shard.shape[1:] for shard in self.shards}) != 1:
            raise UserError(f"{folder}: the shards hold pictures of different shapes")

    def __len__(self) -> int:
        return len(self.row)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of a picture."""
        height, width, channels = self.shards[0].shape[1:]
        return height, width, channels

    def subset(self, rows: npt.NDArray[np.int64]) -> PixelStore:
        """The pictures of some rows, in the order given."""
        return PixelStore(
            self.shards,
            self.shard[rows],
            self.row[rows],
            self.labels[rows],
            [self.keys[row] for row in rows.tolist()],
        )

    def gather(self, rows: npt.ArrayLike) -> Pixels:
        """Copy pictures out: uint8 (len(rows), height, width, channels), in the order asked."""
        rows = np.asarray(rows, dtype=np.int64)
        pixels = np.empty((len(rows), *self.shape), np.uint8)
        for number, shard in enumerate(self.shards):
            here = np.flatnonzero(self.shard[rows] == number)
            pixels[here] = shard[self.row[rows[here]]]
        return pixels

    def to_device(self, device: torch.device) -> torch.Tensor:
        """All pictures of the split as one uint8 tensor (n, height, width, channels)."""
        # Here: the code location reads this module, and each of Dagster's processes would pay.
        import torch

        return torch.from_numpy(self.gather(np.arange(len(self)))).to(device)


def write_dataset(folder: Path, *, index: str, shards: Sequence[str], **facts: Any) -> None:
    """Write `dataset.json`: the index and shards (paths relative to the folder) and any facts."""
    write_json(
        folder / DATASET_FILE, {"format": 1, "index": index, "shards": list(shards), **facts}
    )


def _describe(folder: Path) -> Any:
    try:
        content = read_json(folder / DATASET_FILE)
    except FileNotFoundError:
        raise UserError(f"{folder}: no data set here ({DATASET_FILE} is missing)") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / DATASET_FILE}: not readable ({error})") from None
    match content:
        case {"index": str(), "shards": [_, *_] as shards} if all(type(s) is str for s in shards):
            return content
    raise UserError(
        f"{folder / DATASET_FILE}: `index` (a path) and `shards` (a list of paths) are needed"
    )


def _map_shard(path: Path) -> Pixels:
    try:
        shard: Pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a whole .npy shard ({error})") from None
    if shard.dtype != np.uint8 or shard.ndim != 4:
        raise UserError(f"{path}: a shard is uint8 (n, height, width, channels)")
    return shard


def _read_index(path: Path, split: str | None) -> pa.Table:
    try:
        index = pq.read_table(path, columns=_COLUMNS.names).cast(_COLUMNS)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())  # Arrow's own texts run over many lines
        raise UserError(f"{path}: not a readable index ({reason})") from None
    kept = pc.is_valid(index.column("row"))
    if split is not None:
        kept = pc.and_(kept, pc.equal(index.column("split"), split))
    return index.filter(kept)


def _integers(index: pa.Table, column: str) -> npt.NDArray[np.int64]:
    values = index.column(column).fill_null(-1).to_numpy()
    # A copy: Arrow's own memory is read-only, which torch does not take.
    return np.array(values, dtype=np.int64, copy=True)
