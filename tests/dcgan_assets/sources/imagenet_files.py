"""ImageNet's two forms on disk, a few pictures large."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcgan_assets.sources.imagenet import imagenet
from dcgan_assets.sources.reading.items import Source

CLASSES = ("n01440764", "n02105855", "n15075141")


Pictures = Mapping[str, Mapping[str, bytes]]


TAR = "ILSVRC2012_img_train.tar"


def pictures(of_each: int = 7) -> dict[str, dict[str, bytes]]:
    """Files with names as the true ones, of several sizes, each with bytes of its own."""
    return {
        synset: {
            f"{synset}_{(number * 7919 + 26) % 20011}.JPEG": f"{synset} {number} ".encode()
            * (1 + 97 * number)
            for number in range(of_each)
        }
        for synset in CLASSES
    }


def entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime = size, kind, 1_340_000_000
    return info


def pack(members: Mapping[str, bytes]) -> bytes:
    """A tar as GNU tar writes it, padded to 10,240 bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members.items():
            archive.addfile(entry(name, len(data)), io.BytesIO(data))
    return content.getvalue()


def write_tar(folder: Path, content: Pictures) -> Path:
    """The classes in no order, and so are the pictures of a class."""
    path = folder / TAR
    inner = {f"{synset}.tar": pack(files) for synset, files in reversed(content.items())}
    path.write_bytes(pack(inner))
    return path


def write_tree(folder: Path, content: Pictures) -> Path:
    for synset, files in content.items():
        (folder / synset).mkdir(parents=True)
        for name, data in files.items():
            (folder / synset / name).write_bytes(data)
    return folder


def opened(tmp_path: Path, form: str, content: Pictures) -> Source:
    match form:
        case "tar":
            return imagenet(write_tar(tmp_path, content))
        case "train":
            write_tree(tmp_path / "train", content)
            (tmp_path / "val").mkdir()
            (tmp_path / "val/ILSVRC2012_val_00000001.JPEG").write_bytes(b"not for training")
            return imagenet(tmp_path)
        case _:
            return imagenet(write_tree(tmp_path / "here", content))


def inner(**changes: Any) -> dict[str, bytes]:
    """The inner tars by name, with others in the place of some."""
    tars = {f"{synset}.tar": pack(files) for synset, files in pictures().items()}
    return {**tars, **{f"{name}.tar": content for name, content in changes.items()}}
