"""Files that a user names, which are pipes, devices, sockets or folders: none is waited for."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixture_types import Refused

from dcgan_assets.annotate.files import Subject, read_boxes, read_concepts, revision
from dcgan_assets.sources.folder import FileBytes
from dcgan_assets.sources.mnist import read_idx
from dcgan_assets.sources.reading.items import UnreadableError
from dcgan_assets.sources.web.removals import RemovalList
from dcgan_assets.sources.web.search.names import listed_people
from dcgan_models.data import PixelStore
from dcgan_models.files import open_atomic, open_regular, read_json, read_regular
from dcgan_models.training.config import TrainConfig

SUBJECT = Subject("lsun", "version", 70, 64, 64)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(path.parent):
        sock.bind(path.name)


PLACES: dict[str, Callable[[Path], Any]] = {
    "a pipe": os.mkfifo,
    "a socket": listening,
    "a folder": Path.mkdir,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "names": ("names.csv", lambda path: list(listed_people(path))),
    "a table of names": ("names.parquet", lambda path: list(listed_people(path))),
    "removals": ("removals.csv", RemovalList.read),
    "digits": ("train-images-idx3-ubyte", read_idx),
    "picks": ("concepts.json", lambda path: read_concepts(path, SUBJECT)),
    "boxes": ("boxes.coco.json", lambda path: read_boxes(path, SUBJECT)),
    "the revision of picks": ("concepts.json", revision),
    "a data set": ("dataset.json", lambda path: PixelStore.open(path.parent)),
    "a training": ("config.json", lambda path: TrainConfig.read(path.parent)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS)
def test_it_is_refused_in_one_line(
    tmp_path: Path,
    refused: Refused,
    name: str,
    read: Callable[[Path], Any],
    place: Callable[[Path], Any],
) -> None:
    place(tmp_path / name)
    with refused(str(tmp_path / name)):
        read(tmp_path / name)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_picture_that_became_one_since_it_was_listed(
    tmp_path: Path, place: Callable[[Path], Any]
) -> None:
    path = tmp_path / "a.jpg"
    place(path)
    with pytest.raises(UnreadableError, match=r"cannot be read \(.+\)"):
        FileBytes(os.fsencode(path)).read()


def test_only_a_plain_file_is_opened_or_replaced(tmp_path: Path) -> None:
    for words, place in PLACES.items():
        path = tmp_path / words
        place(path)
        with pytest.raises(OSError, match=r"."), open_regular(path):
            pass
        with pytest.raises(OSError, match=r"."):
            read_json(path)
        if path.exists():
            before = path.lstat()
            with pytest.raises(OSError, match="not replaced"), open_atomic(path) as stream:
                stream.write(b"x")
            assert path.lstat() == before


def test_a_file_may_have_as_many_bytes_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2**20))
    assert len(read_regular(path, 2**20)) == 2**20
    (tmp_path / "link").symlink_to(path)
    assert len(read_regular(tmp_path / "link", 2**20)) == 2**20
    path.write_bytes(bytes(2**20 + 1))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read_regular(path, 2**20)
