"""ImageNet in both its forms, written here in the true format: whole, odd, wrong and cut short."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from fixture_types import Refused
from PIL import Image

from dcgan_assets.sources import imagenet as imagenet_module
from dcgan_assets.sources.imagenet import ImageNetTar, ImageNetTree, imagenet
from dcgan_assets.sources.reading.ingest import ingest
from dcgan_assets.sources.reading.items import Item, Source, Unread, forget_listings
from dcgan_assets.sources.reading.workers import close_workers

CLASSES = ("n01440764", "n02105855", "n15075141")
Pictures = Mapping[str, Mapping[str, bytes]]
TAR = "ILSVRC2012_img_train.tar"


@pytest.fixture(autouse=True)
def _fresh_listings() -> Iterator[None]:
    forget_listings()
    yield
    forget_listings()


@pytest.fixture(autouse=True, scope="module")
def _no_workers_left() -> Iterator[None]:
    yield
    close_workers()


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


def read(items: list[Item]) -> dict[str, bytes]:
    """What a worker process would read."""
    return {item.key: item.location.read() for item in pickle.loads(pickle.dumps(items))}  # noqa: S301


def flat(content: Pictures) -> dict[str, bytes]:
    return {
        f"{synset}/{name}": data
        for synset, files in content.items()
        for name, data in files.items()
    }


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


# --- What is read -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tar", "train", "tree"])
@pytest.mark.parametrize("shards", [1, 5])
def test_every_picture_is_read_with_its_class(tmp_path: Path, form: str, shards: int) -> None:
    content = pictures()
    source = opened(tmp_path, form, content)
    dealt = [list(source.items(shard, shards)) for shard in range(shards)]
    found = [item for shard in dealt for item in shard]
    assert read(found) == flat(content)
    assert len(found) == 21
    for shard in dealt:
        assert [item.key for item in shard] == sorted(item.key for item in shard)
    assert source.classes == CLASSES
    assert all(item.label == CLASSES.index(item.key[:9]) for item in found)
    assert {(item.split, item.licence) for item in found} == {(None, "unstated")}
    assert all("Russakovsky" in item.attribution for item in found)


def test_both_forms_deal_the_same_keys_into_the_same_shards(tmp_path: Path) -> None:
    content = pictures(20)
    sources = [opened(tmp_path, form, content) for form in ("tar", "tree")]
    for shard in range(4):
        ours, theirs = (
            [(item.key, item.label) for item in source.items(shard, 4)] for source in sources
        )
        assert ours == theirs
        assert 0 < len(ours) < 60


def test_addresses_say_where_a_picture_lies(tmp_path: Path) -> None:
    content = pictures(1)
    (first, *_) = opened(tmp_path, "tar", content).items(0, 1)
    assert first.key == "n01440764/n01440764_26.JPEG"
    assert first.uri == f"{TAR}#n01440764.tar/n01440764_26.JPEG"
    (first, *_) = opened(tmp_path, "tree", content).items(0, 1)
    assert first.uri == "n01440764/n01440764_26.JPEG"


@pytest.mark.parametrize("form", ["tar", "tree"])
def test_anything_but_the_whole_is_a_stand_in(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(tmp_path, form, pictures())
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "CLASSES", 3)
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "PICTURES", 22)
    assert source.stand_in
    monkeypatch.setattr(imagenet_module, "PICTURES", 21)
    assert not source.stand_in


def test_listing_the_archive_reads_headers_alone(tmp_path: Path) -> None:
    """Pictures of 64 MB that take no room on disk: to read them all would take seconds."""
    size, count = 60 << 20, 40
    path = tmp_path / TAR
    inner = count * (512 + size) + 1024
    with path.open("wb") as stream:
        stream.write(entry("n01440764.tar", inner).tobuf(tarfile.GNU_FORMAT))
        for number in range(count):
            stream.write(entry(f"n01440764_{number:02d}.JPEG", size).tobuf())
            stream.seek(size, os.SEEK_CUR)
        stream.write(bytes(1024 + 1024))
    before = bytes_read()
    items = imagenet(path).items(0, 1)
    assert len(items) == count
    assert bytes_read() - before < 100_000


def bytes_read() -> int:
    with Path("/proc/self/io").open() as stream:
        return int(dict(line.split(": ") for line in stream)["rchar"])


def test_a_picture_too_large_is_a_rejected_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet_module, "MAX_PICTURE_BYTES", 10)
    files = {"n01440764_1.JPEG": bytes(11), "n01440764_2.JPEG": bytes(10)}
    large, fits = opened(tmp_path, "tar", {"n01440764": files}).items(0, 1)
    assert isinstance(large.location, Unread)
    assert large.location.reason.startswith("more than")
    assert fits.location.read() == bytes(10)


# --- Through the decoder ----------------------------------------------------------------------


def encoded(picture: Any, kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(buffer, kind, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["tar", "tree"])
def test_imagenets_odd_files(tmp_path: Path, form: str) -> None:
    """22 of the true pictures are CMYK, n02105855_2933.JPEG is a PNG, and many are grey."""
    coarse = np.random.default_rng(0).integers(60, 196, (4, 5, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (50, 40), interpolation=cv2.INTER_LINEAR)
    files = {
        "n02105855_1.JPEG": encoded(picture, "JPEG"),
        "n02105855_2.JPEG": encoded(picture, "JPEG", "CMYK"),
        "n02105855_2933.JPEG": encoded(picture, "PNG"),
        "n02105855_3.JPEG": encoded(picture, "JPEG", "L"),
        "n02105855_4.JPEG": encoded(picture, "JPEG")[:-900],
        "n02105855_5.JPEG": encoded(picture[:20, :20], "JPEG"),
        "n02105855_6.JPEG": b"",
    }
    source = opened(tmp_path, form, {"n01440764": {"n01440764_1.JPEG": files["n02105855_1.JPEG"]},
                                     "n02105855": files})  # fmt: skip
    (out := tmp_path / "out").mkdir()
    report = ingest(source.items(0, 1), out, (32,), workers=1)
    assert report is not None
    assert (report.kept, report.rejected) == (5, 3)
    rows = {row["key"][10:]: row for row in pq.read_table(out / "manifest.parquet").to_pylist()
            if row["label"] == 1}  # fmt: skip
    assert {name: row["converted"] for name, row in rows.items()} == {
        name: {"n02105855_2.JPEG": "CMYK", "n02105855_3.JPEG": "grey"}.get(name) for name in files
    }
    reasons = [rows[f"n02105855_{number}.JPEG"]["reason"] for number in (4, 5, 6)]
    assert reasons[0] == "truncated"
    assert reasons[1].startswith("too small: 20x20")
    assert reasons[2] == "empty"
    pixels = np.load(out / "pixels_32.npy").astype(int)
    png = pixels[rows["n02105855_2933.JPEG"]["row"]]
    for name in ("n02105855_1.JPEG", "n02105855_2.JPEG"):
        assert np.abs(pixels[rows[name]["row"]] - png).max() < 12
    grey = pixels[rows["n02105855_3.JPEG"]["row"]]
    assert (grey == grey[..., :1]).all()


# --- What is refused --------------------------------------------------------------------------


def inner(**changes: Any) -> dict[str, bytes]:
    """The inner tars by name, with others in the place of some."""
    tars = {f"{synset}.tar": pack(files) for synset, files in pictures().items()}
    return {**tars, **{f"{name}.tar": content for name, content in changes.items()}}


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


# --- Versions ---------------------------------------------------------------------------------


def test_a_new_picture_in_the_tree_changes_one_shard(tmp_path: Path) -> None:
    source = opened(tmp_path, "tree", pictures())
    assert isinstance(source, ImageNetTree)
    before = [source.version(shard, 8) for shard in range(8)]
    assert len(set(before)) == 8
    forget_listings()
    assert [source.version(shard, 8) for shard in range(8)] == before
    (tmp_path / "here/n01440764/n01440764_99999.JPEG").write_bytes(b"new")
    forget_listings()
    after = [source.version(shard, 8) for shard in range(8)]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_the_archives_version_is_its_size_and_time(tmp_path: Path) -> None:
    source = opened(tmp_path, "tar", pictures())
    assert isinstance(source, ImageNetTar)
    before = [source.version(shard, 4) for shard in range(4)]
    assert len(set(before)) == 4
    facts = source.path.stat()
    os.utime(source.path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert not {source.version(shard, 4) for shard in range(4)} & set(before)
    os.utime(source.path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert [source.version(shard, 4) for shard in range(4)] == before
