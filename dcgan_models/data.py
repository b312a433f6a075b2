"""Pictures on disk, opened for training: uint8 shards and the Parquet index that describes them.

A data set is a folder with `dataset.json`, which names an index (Parquet, a row a picture: key,
shard, row, label, split) and the `.npy` shards, each uint8 (n, height, width, channels). The
shards may lie in another folder: a training set copies no pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dcgan_models.arrays import map_array
from dcgan_models.errors import UserError
from dcgan_models.fields import read_description
from dcgan_models.files import write_json
from dcgan_models.pixels import Pixels, averaged
from dcgan_models.tables import arrow_words, read_parquet

if TYPE_CHECKING:
    import torch

DATASET_FILE = "dataset.json"
_BLOCK_BYTES = 64 << 20
_COLUMNS = pa.schema(
    {"key": "string", "shard": "int64", "row": "int64", "label": "int64", "split": "string"}
)


@dataclass(frozen=True)
class PixelStore:
    """The pictures of one split, memory-mapped; a `torch.utils.data.Dataset` by its shape.

    A DataLoader takes it as it is, and a worker process opens the files itself: nothing is copied
    to it but where they lie.

    Attributes:
        shards: Memory maps, uint8 (n_i, height, width, channels).
        shard, row: int64 (n,): where picture i lies.
        labels: int64 (n,), -1 where there is none.
        keys: The pictures' keys, in the same order.
        transform: Of a picture that is taken by its row, uint8 (channels, height, width), such as
            one of `torchvision.transforms.v2`; `gather` and training are without it.
    """

    shards: Sequence[Pixels]
    shard: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    keys: Sequence[str]
    transform: Callable[[Any], Any] | None = None

    @classmethod
    def open(
        cls,
        folder: str | Path,
        split: str | None = None,
        *,
        transform: Callable[[Any], Any] | None = None,
    ) -> PixelStore:
        """Open a data set folder.

        Args:
            folder: Holds `dataset.json`.
            split: Only the rows of this split; all rows by default.
            transform: Of a picture that is taken by its row.

        Raises:
            UserError: A file is missing or does not fit the description, or the split is empty.

        Examples:
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
            transform=transform,
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

    def __getitem__(self, row: int) -> tuple[Any, int]:
        """One picture, uint8 (channels, height, width) or what `transform` makes of it; its label.

        The label is -1 where there is none.

        Raises:
            IndexError: There is no such row.
        """
        import torch

        picture = torch.from_numpy(self.gather([row])[0]).permute(2, 0, 1).contiguous()
        return picture if self.transform is None else self.transform(picture), int(self.labels[row])

    def __getstate__(self) -> dict[str, Any]:
        """What another process is given: of a file its path, where NumPy would copy the pixels."""
        return {**self.__dict__, "shards": [_path_or_array(shard) for shard in self.shards]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        shards = [_map_shard(part) if isinstance(part, Path) else part for part in state["shards"]]
        self.__dict__.update({**state, "shards": shards})

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
            self.transform,
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
        """All pictures of the split as one uint8 tensor (n, height, width, channels).

        A device gets them by blocks: the processor's memory never holds more than one.
        """
        # Here: the code location reads this module, and each of Dagster's processes would pay.
        import torch

        pixels = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=device)
        step = max(1, _BLOCK_BYTES // math.prod(self.shape))
        for first in range(0, len(self), step):
            rows = np.arange(first, min(first + step, len(self)))
            pixels[first : first + len(rows)].copy_(torch.from_numpy(self.gather(rows)))
        return pixels


def write_dataset(folder: Path, *, index: str, shards: Sequence[str], **facts: Any) -> None:
    """Write `dataset.json`: the index and shards (paths relative to the folder) and any facts.

    Examples:
        >>> write_dataset(Path("digits"), index="index.parquet", shards=["shard.npy"])
        >>> len(PixelStore.open("digits"))
        128
    """
    write_json(
        folder / DATASET_FILE, {"format": 1, "index": index, "shards": list(shards), **facts}
    )


def write_smaller(store: PixelStore, side: int, folder: Path, split: str = "train") -> None:
    """Write a store's pictures, averaged down, as a data set of one shard and one split.

    Args:
        store: Square pictures whose side is a multiple of the other.
        side: Of the pictures that are written.
        folder: Filled.
        split: Of all of them.
    """
    from numpy.lib.format import open_memmap

    shard = open_memmap(
        folder / "pixels.npy", "w+", np.uint8, (len(store), side, side, store.shape[2])
    )
    step = max(1, _BLOCK_BYTES // math.prod(store.shape))
    for first in range(0, len(store), step):
        rows = np.arange(first, min(first + step, len(store)))
        shard[rows] = averaged(store.gather(rows), side)
    shard.flush()
    n = len(store)
    columns = [store.keys, np.zeros(n, np.int64), np.arange(n), store.labels, [split] * n]
    index = pa.table(dict(zip(_COLUMNS.names, columns, strict=True)), _COLUMNS)
    pq.write_table(index, folder / "index.parquet")
    write_dataset(folder, index="index.parquet", shards=["pixels.npy"])


def _describe(folder: Path) -> Any:
    content = read_description(folder / DATASET_FILE, "data set")
    match content:
        case {"index": str(), "shards": [_, *_] as shards} if all(type(s) is str for s in shards):
            return content
    raise UserError(
        f"{folder / DATASET_FILE}: `index` (a path) and `shards` (a list of paths) are needed"
    )


def _map_shard(path: Path) -> Pixels:
    try:
        shard = map_array(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a whole .npy shard ({error})") from None
    if shard.dtype != np.uint8 or shard.ndim != 4:
        raise UserError(f"{path}: a shard is uint8 (n, height, width, channels)")
    return shard


def _path_or_array(shard: Pixels) -> Path | Pixels:
    # A slice of a file is not the file: its base is another array.
    if isinstance(shard, np.memmap) and not isinstance(shard.base, np.ndarray) and shard.filename:
        return Path(shard.filename)
    return shard


def _read_index(path: Path, split: str | None) -> pa.Table:
    try:
        index = read_parquet(path, columns=_COLUMNS.names).cast(_COLUMNS)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a readable index ({arrow_words(error)})") from None
    kept = pc.is_valid(index.column("row"))
    if split is not None:
        kept = pc.and_(kept, pc.equal(index.column("split"), split))
    return index.filter(kept)


def _integers(index: pa.Table, column: str) -> npt.NDArray[np.int64]:
    values = index.column(column).fill_null(-1).to_numpy()
    # A copy: Arrow's own memory is read-only, which torch does not take.
    return np.array(values, dtype=np.int64, copy=True)
