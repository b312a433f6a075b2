"""ImageNet's tar of tars and its class folders, damaged, incomplete, or another thing."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fixture_types import Refused
from imagenet_files import (
    TAR,
    entry,
    inner,
    opened,
    pack,
    pictures,
)

from dcgan_assets.sources import imagenet as imagenet_module
from dcgan_assets.sources.imagenet import imagenet
from dcgan_assets.sources.reading.items import Unread

pytestmark = pytest.mark.usefixtures("fresh_listings", "no_workers_left")


def test_a_picture_too_large_is_a_rejected_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet_module, "MAX_PICTURE_BYTES", 10)
    files = {"n01440764_1.JPEG": bytes(11), "n01440764_2.JPEG": bytes(10)}
    large, fits = opened(tmp_path, "tar", {"n01440764": files}).items(0, 1)
    assert isinstance(large.location, Unread)
    assert large.location.reason.startswith("more than")
    assert fits.location.read() == bytes(10)


def with_entry(info: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """The archive of three pictures whose second member is another."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for one in (entry("n02105855_1.JPEG", 4), info, entry("n02105855_3.JPEG", 4)):
            archive.addfile(one, io.BytesIO(content if one is info else b"1234"))
    return buffer.getvalue()


WHOLE = pack(pictures()["n02105855"])


END = WHOLE.rstrip(b"\0")


WRONG_INNER: dict[str, tuple[bytes, str]] = {
    "cut in a picture": (WHOLE[: len(END) // 512 * 512 - 512], "not a whole tar archive"),
    "cut behind a header": (WHOLE[:512], "not a whole tar archive"),
    "cut within a header": (WHOLE[:300], "not a whole tar archive"),
    "cut before its end mark": (WHOLE[: -(-len(END) // 512) * 512], "no end mark"),
    "nothing at all": (b"", "not a whole tar archive"),
    "no pictures": (pack({}), "a class without pictures"),
    "not a tar": (b"\xff\xd8\xff\xe0" * 1000, "not a whole tar archive"),
    "a link": (with_entry(entry("n02105855_2.JPEG", kind=tarfile.SYMTYPE)), "no plain file"),
    "a hard link": (with_entry(entry("n02105855_2.JPEG", kind=tarfile.LNKTYPE)), "no plain file"),
    "a device": (with_entry(entry("n02105855_2.JPEG", kind=tarfile.CHRTYPE)), "no plain file"),
    "a folder": (with_entry(entry("n02105855", kind=tarfile.DIRTYPE)), "no plain file"),
    "a way out": (with_entry(entry("../n02105855_2.JPEG", 4), b"1234"), "no plain file"),
    "a name twice": (with_entry(entry("n02105855_3.JPEG", 4), b"5678"), "is there twice"),
}


@pytest.mark.parametrize("wrong", WRONG_INNER)
def test_a_wrong_inner_tar_is_named(tmp_path: Path, wrong: str, refused: Refused) -> None:
    content, words = WRONG_INNER[wrong]
    path = tmp_path / TAR
    path.write_bytes(pack(inner(n02105855=content)))
    source = imagenet(path)
    with refused(str(path), "n02105855.tar", words):
        source.items(0, 4)
    with refused(str(path), "n02105855.tar", words):
        _ = source.classes


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9])
def test_the_outer_tar_cut_short(tmp_path: Path, share: float, refused: Refused) -> None:
    path = tmp_path / TAR
    path.write_bytes(pack(inner()))
    os.truncate(path, int(path.stat().st_size * share))
    with refused(str(path), "not a whole tar archive"):
        imagenet(path).items(0, 1)


WRONG_OUTER: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed": (lambda: gzip.compress(pack(inner())), "a gzip stream"),
    "pictures": (lambda: pack(pictures()["n02105855"]), "is no class's tar"),
    "the validation pictures": (
        lambda: pack({"ILSVRC2012_val_00000001.JPEG": b"x"}),
        "ILSVRC2012_val_00000001.JPEG is no class's tar",
    ),
    "other tars": (lambda: pack({"cats.tar": WHOLE}), "cats.tar is no class's tar"),
    "no members": (lambda: pack({}), "a tar without members"),
    "junk": (lambda: b"junk" * 1000, "not a whole tar archive"),
}


@pytest.mark.parametrize("wrong", WRONG_OUTER)
def test_another_file(tmp_path: Path, wrong: str, refused: Refused) -> None:
    make, words = WRONG_OUTER[wrong]
    path = tmp_path / TAR
    path.write_bytes(make())
    with refused(str(path), words):
        imagenet(path).items(0, 1)


@pytest.mark.parametrize(
    ("kind", "words"), [(tarfile.SYMTYPE, "no plain file"), (tarfile.REGTYPE, "is there twice")]
)
def test_a_class_that_is_a_link_or_there_twice(
    tmp_path: Path, kind: bytes, words: str, refused: Refused
) -> None:
    path = tmp_path / TAR
    with tarfile.open(path, "w") as archive:
        for info in (entry("n01440764.tar", len(WHOLE)), entry("n01440764.tar", 0, kind)):
            archive.addfile(info, io.BytesIO(WHOLE))
    with refused(str(path), "n01440764.tar", words):
        imagenet(path).items(0, 1)


def test_nothing_there(tmp_path: Path, refused: Refused) -> None:
    with refused("no such file or folder", "ILSVRC2012_img_train.tar", "train/n01440764/"):
        imagenet(tmp_path / "missing")


@pytest.mark.parametrize("name", ["", "cats", "n0144076", "train/cats"])
def test_a_folder_without_classes(tmp_path: Path, name: str, refused: Refused) -> None:
    (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / name / "a.jpg").write_bytes(b"x")
    where = str(tmp_path / "train" if name.startswith("train") else tmp_path)
    with refused(where, "no class folders here", "ILSVRC2012_img_train.tar"):
        imagenet(tmp_path).items(0, 1)


def test_a_class_without_pictures(tmp_path: Path, refused: Refused) -> None:
    source = opened(tmp_path, "tree", pictures())
    (tmp_path / "here/n09999999").mkdir()
    (tmp_path / "here/n09999999/.DS_Store").write_bytes(b"x")
    for act in (lambda: source.items(0, 1), lambda: source.version(0, 1), lambda: source.classes):
        with refused(str(tmp_path / "here"), "class n09999999 has no pictures"):
            act()


def test_another_folder_among_the_classes(tmp_path: Path, refused: Refused) -> None:
    source = opened(tmp_path, "tree", pictures())
    (tmp_path / "here/cats").mkdir()
    with refused(str(tmp_path / "here"), "folder cats among the classes"):
        source.items(0, 1)


def test_a_class_that_is_no_folder(tmp_path: Path, refused: Refused) -> None:
    source = opened(tmp_path, "tree", pictures())
    (tmp_path / "here/n09999999").symlink_to(tmp_path / "here/n01440764")
    with refused(str(tmp_path / "here"), "n09999999 is a link or a file"):
        source.items(0, 1)


def test_files_beside_the_classes_are_rejected_rows(tmp_path: Path) -> None:
    source = opened(tmp_path, "tree", pictures(1))
    (tmp_path / "here/LOC_synset_mapping.txt").write_bytes(b"x")
    items = source.items(0, 1)
    assert len(items) == 4
    (stray,) = [item for item in items if isinstance(item.location, Unread)]
    assert (stray.key, stray.label) == ("LOC_synset_mapping.txt", None)
