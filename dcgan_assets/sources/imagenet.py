"""ImageNet-1k (Russakovsky et al., 2015): 1.28 million training pictures, section 4.3 of the paper.

They come in two forms. One is a folder of class folders, `train/n01440764/n01440764_10026.JPEG`.
The other is the official archive, a tar of 1,000 tars of pictures, which is read in place: 138 GB
need not be unpacked. A picture has the same key, and lies in the same shard, in both.

What is wrong with the whole is said before the first picture is read. What is wrong with one
picture is a rejected row, as elsewhere; of a member of the official archive, which nobody edits,
only its content can be.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dcgan_assets.sources.archive import (
    TOO_LARGE,
    TarMember,
    damage_named,
    tar_headers,
    uncompressed_magic,
)
from dcgan_assets.sources.folder import Folder
from dcgan_assets.sources.reading.items import (
    MAX_PICTURE_BYTES,
    UNSTATED,
    Item,
    Location,
    Unread,
    in_shard,
    key_hashes,
    once_a_process,
    one_piece_version,
    safe_key,
)
from dcgan_models.errors import UserError
from dcgan_models.files import is_system_file

# Whose the pictures are ImageNet does not say; it gives them for research and teaching.
IMAGENET_ATTRIBUTION = "ImageNet (ILSVRC 2012), O. Russakovsky, J. Deng, H. Su and others"
CLASSES, PICTURES = 1_000, 1_281_167

# WordNet's number of a set of synonyms, the name of a class.
_SYNSET = re.compile(r"n\d{8}", re.ASCII)
_EXPECTED = (
    "ImageNet is expected: ILSVRC2012_img_train.tar, or a folder with a folder for each class, "
    "such as train/n01440764/ or n01440764/"
)


def imagenet(path: Path, workspace: Path | None = None) -> ImageNetTree | ImageNetTar:
    """The source that lies at a path: class folders, also below `train/`, or the tar of tars.

    Args:
        path: Of either.
        workspace: Whose DVC cache the class folders' symlinks may lead into.

    Raises:
        UserError: There is nothing.
    """
    if path.is_dir():
        train = path / "train"
        return ImageNetTree(train if train.is_dir() else path, workspace)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; {_EXPECTED}")
    return ImageNetTar(path)


# --- Class folders ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageNetTree:
    """A folder of class folders. The key is a picture's name relative to it.

    Files beside the class folders are rejected rows, and so is a class folder that cannot be
    listed: it stays a class, or the labels of all the others would move.

    Attributes:
        path: Holds `n01440764/` and so on.
        workspace: Whose DVC cache symlinks may lead into.
    """

    path: Path
    workspace: Path | None = None

    @property
    def stand_in(self) -> bool:
        """Whether these are fewer pictures than the paper's, or of other classes."""
        return _is_stand_in(len(self.classes), len(self._folder))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the class folders, sorted: 1,000 of the whole."""
        return _class_folders(self._folder)

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`; keys are dealt into shards by their hash."""
        _class_folders(self._folder)
        stray = Unread("not in a class folder")
        return [
            item if item.label is not None else replace(item, location=stray)
            for item in self._folder.items(shard, shards)
        ]

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`: names, sizes and times of modification; and the classes."""
        _class_folders(self._folder)
        return self._folder.version(shard, shards)

    @property
    def _folder(self) -> Folder:
        return Folder(self.path, self.workspace, labels=True, attribution=IMAGENET_ATTRIBUTION)


@once_a_process
def _class_folders(folder: Folder) -> tuple[str, ...]:
    """Names of the class folders, which all hold something; nothing else may be a folder."""
    root = folder.path
    try:
        with os.scandir(root) as entries:
            found = [entry for entry in entries if not is_system_file(entry.name)]
    except OSError as error:
        raise UserError(f"{root}: cannot be listed ({error.strerror})") from error
    classes = sorted(entry.name for entry in found if _SYNSET.fullmatch(entry.name))
    if not classes:
        raise UserError(f"{root}: no class folders here; {_EXPECTED}")
    for entry in found:
        name = safe_key(os.fsencode(entry.name))
        is_class = entry.name in classes
        if is_class and not entry.is_dir(follow_symlinks=False):
            raise UserError(f"{root}: {name} is a link or a file; a class is a folder of pictures")
        if entry.is_dir() and not is_class:
            raise UserError(f"{root}: folder {name} among the classes; {_EXPECTED}")
    empty = sorted(set(classes) - set(folder.classes))
    if empty:
        raise UserError(f"{root}: class {empty[0]} has no pictures; copy it again")
    return tuple(classes)


# --- The official archive ---------------------------------------------------------------------


@dataclass(frozen=True)
class ImageNetTar:
    """The tar of tars as ImageNet publishes it; nothing is unpacked.

    Its version is its size and time of modification, since it is written once: another archive
    changes every shard. To list it takes a read for each picture.

    Attributes:
        path: Of `ILSVRC2012_img_train.tar`.
    """

    path: Path

    @property
    def stand_in(self) -> bool:
        """Whether these are fewer pictures than the paper's, or of other classes."""
        listing = _listing(self.path)
        return _is_stand_in(len(listing.classes), len(listing.keys))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the inner tars, sorted: 1,000 of the whole."""
        return _listing(self.path).classes

    def items(self, shard: int, shards: int) -> list[Item]:
        """As `Source.items`; keys are dealt into shards by their hash."""
        listing = _listing(self.path)
        found = []
        for position in in_shard(listing.hashes, shard, shards).tolist():
            key, label = listing.keys[position], int(listing.labels[position])
            synset, _, name = key.partition("/")
            uri = f"{self.path.name}#{synset}.tar/{name}"
            location = listing.location(self.path, position)
            found.append(Item(key, uri, label, None, UNSTATED, IMAGENET_ATTRIBUTION, location))
        return found

    def version(self, shard: int, shards: int) -> str:
        """As `Source.version`. No header is read for it."""
        facts = self.path.stat()
        return one_piece_version(f"{facts.st_size}\0{facts.st_mtime_ns}", shard, shards)


@dataclass(frozen=True)
class _Listing:
    """Every picture, sorted by key; columns, because there are 1.3 million.

    Attributes:
        keys: `n01440764/n01440764_10026.JPEG`.
        labels: int64 (n,), indices into `classes`.
        offsets, sizes: int64 (n,), of the pictures' bytes in the outer tar.
        hashes: uint64 (n,), of the keys.
    """

    classes: tuple[str, ...]
    keys: list[str]
    labels: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]

    def location(self, path: Path, position: int) -> Location:
        size = int(self.sizes[position])
        if size > MAX_PICTURE_BYTES:
            return Unread(TOO_LARGE)
        return TarMember(path, int(self.offsets[position]), size)


@once_a_process
def _listing(path: Path) -> _Listing:
    class_tars = _class_tars(path)
    keys: list[str] = []
    counts: list[int] = []
    places: list[npt.NDArray[np.int64]] = []
    for synset, tar in class_tars.items():
        members = sorted(_class_members(f"{path}: {synset}.tar", tar).items())
        keys += [f"{synset}/{name}" for name, _ in members]
        places.append(np.array([place for _, place in members], np.int64))
        counts.append(len(members))
    offsets, sizes = np.concatenate(places).T
    labels = np.repeat(np.arange(len(counts)), counts)
    hashes = key_hashes(keys)
    return _Listing(tuple(class_tars), keys, labels, offsets, sizes, hashes)


def _class_tars(path: Path) -> dict[str, TarMember]:
    """The inner tars by the names of their classes, sorted; only their headers are read."""
    found: dict[str, TarMember] = {}
    with damage_named(path, "tar"):
        uncompressed_magic(path)
        for info in tar_headers(path):
            synset = info.name.removesuffix(".tar")
            if info.name == synset or not _SYNSET.fullmatch(synset):
                raise UserError(f"{path}: {_shown(info.name)} is no class's tar; {_EXPECTED}")
            if not info.isreg() or info.issparse():
                raise UserError(f"{path}: {info.name} is no plain file; get the archive again")
            if synset in found:
                raise UserError(f"{path}: {info.name} is there twice; get the archive again")
            found[synset] = TarMember(path, info.offset_data, info.size)
    if not found:
        raise UserError(f"{path}: a tar without members; {_EXPECTED}")
    return dict(sorted(found.items()))


def _class_members(where: str, tar: TarMember) -> dict[str, tuple[int, int]]:
    """The pictures of a class: offset in the outer tar and size, by name as in a key."""
    found: dict[str, tuple[int, int]] = {}
    with damage_named(where, "tar"):
        for info in tar_headers(tar.archive, tar.offset, tar.size):
            name = _shown(info.name)
            if not info.isreg() or info.issparse() or "/" in name:
                raise UserError(f"{where}: {name} is no plain file; get the archive again")
            if name in found:
                raise UserError(f"{where}: {name} is there twice; get the archive again")
            found[name] = tar.offset + info.offset_data, info.size
    if not found:
        raise UserError(f"{where}: a class without pictures; get the archive again")
    return found


def _shown(name: str) -> str:
    return safe_key(name.encode("utf-8", "surrogateescape"))


def _is_stand_in(classes: int, pictures: int) -> bool:
    return classes != CLASSES or pictures < PICTURES
