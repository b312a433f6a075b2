"""Zip and tar archives that lie, are damaged, or would reach beyond their folder."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_files import PLAIN, reasons, tar_info, write_tar, write_zip
from fixture_types import Refused

from dcgan_assets.sources import archive as archive_module
from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.reading.items import UnreadableError, forget_listings


@pytest.fixture(autouse=True)
def _fresh_listings() -> Iterator[None]:
    forget_listings()
    yield
    forget_listings()


HOSTILE = {
    "/etc/passwd": "an absolute name",
    "C:\\x.jpg": "an absolute name",
    "../up.jpg": "a name with ..",
    "a/../../up.jpg": "a name with ..",
    "a\\..\\up.jpg": "a name with ..",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hostile_names_are_rejected_rows(tmp_path: Path, kind: str) -> None:
    members = {**dict.fromkeys(HOSTILE, b"x"), "a..b/c.jpg": b"fine"}
    write = write_zip if kind == "zip" else write_tar
    source = Archive(write(tmp_path / "p", members))
    expected = {name.replace("\\", "\\\\"): reason for name, reason in HOSTILE.items()}
    assert reasons(source) == {**expected, "a..b/c.jpg": None}
    with pytest.raises(UnreadableError):
        source.items(0, 1)[0].location.read()


def test_links_and_devices_are_rejected_rows(tmp_path: Path) -> None:
    tar = tmp_path / "p.tar"
    kinds = {
        "s": tarfile.SYMTYPE,
        "h": tarfile.LNKTYPE,
        "f": tarfile.FIFOTYPE,
        "d": tarfile.CHRTYPE,
    }
    with tarfile.open(tar, "w") as archive:
        for name, kind in kinds.items():
            info = tar_info(name, kind=kind)
            info.linkname = "/etc/passwd"
            archive.addfile(info)
    link, other = "a link", "not a file"
    assert reasons(Archive(tar)) == {"s": link, "h": link, "f": other, "d": other}
    link_info = zipfile.ZipInfo("s")
    link_info.create_system = 3
    link_info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as zipped:
        zipped.writestr(link_info, "/etc/passwd")
    assert reasons(Archive(tmp_path / "p.zip")) == {"s": "a link"}


def test_encrypted_and_unknown_methods(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "p.zip", {"a.jpg": b"x"}, zipfile.ZIP_BZIP2)
    assert str(reasons(Archive(path))["a.jpg"]).startswith("compression method 12;")
    locked = bytearray(write_zip(tmp_path / "q.zip", {"a.jpg": b"x"}).read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "q.zip").write_bytes(locked)
    assert reasons(Archive(tmp_path / "q.zip")) == {"a.jpg": "encrypted"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_large_members_are_not_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_PICTURE_BYTES", 1000)
    members = {"large": bytes(1001), "fits": bytes(1000)}
    write = write_zip if kind == "zip" else write_tar
    found = reasons(Archive(write(tmp_path / "p", members)))
    assert found["fits"] is None
    assert str(found["large"]).startswith("more than")


def test_zip_bomb_that_lies_about_its_size_stops_at_what_it_promised(tmp_path: Path) -> None:
    # 100 MB of zeros in 100 KB, under a directory that promises ten bytes.
    content = bytearray(write_zip(tmp_path / "p.zip", {"a.jpg": bytes(10**8)}).read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    (tmp_path / "p.zip").write_bytes(content)
    (item,) = Archive(tmp_path / "p.zip").items(0, 1)
    assert len(content) < 200_000
    with pytest.raises(UnreadableError, match="size or checksum is wrong"):
        item.location.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_zip_member_is_a_rejected_row(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "p.zip", {"a.jpg": b"picture" * 9, "b.jpg": b"fine"}, method)
    content = bytearray(path.read_bytes())
    content[36] ^= 0xFF
    path.write_bytes(content)
    found = {item.key: item.location for item in Archive(path).items(0, 1)}
    with pytest.raises(UnreadableError, match="damaged archive"):
        found["a.jpg"].read()
    assert found["b.jpg"].read() == b"fine"
    content[:4] = b"junk"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="no member where the directory says"):
        found["a.jpg"].read()


def test_archive_cut_after_it_was_listed(tmp_path: Path, refused: Refused) -> None:
    path = write_tar(tmp_path / "p.tar", PLAIN)
    found = {item.key: item.location for item in Archive(path).items(0, 1)}
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnreadableError, match="truncated archive"):
        found["b.jpg"].read()
    path.unlink()
    with refused(str(path), "cannot be read"):
        found["b.jpg"].read()


@pytest.mark.parametrize(
    ("kind", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_tar_is_refused_with_the_remedy(
    tmp_path: Path, kind: str, pack: object, refused: Refused
) -> None:
    assert callable(pack)
    path = tmp_path / "p.tar.gz"
    path.write_bytes(pack(write_tar(tmp_path / "p.tar", PLAIN).read_bytes()))
    with refused(str(path), f"a {kind} stream", "unpack it, or pack it as .zip or plain .tar"):
        Archive(path).items(0, 1)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.123, 0.5, 0.75])
def test_truncated_archive(tmp_path: Path, kind: str, share: float, refused: Refused) -> None:
    write = write_zip if kind == "zip" else write_tar
    path = write(tmp_path / "p", {f"{n}.jpg": zlib.compress(bytes(9999)) * 9 for n in range(50)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with refused(str(path), "not a whole zip or tar archive"):
        Archive(path).items(0, 1)


def test_tar_damaged_in_the_middle_is_not_taken_for_its_end(
    tmp_path: Path, refused: Refused
) -> None:
    path = write_tar(tmp_path / "p.tar", PLAIN, tarfile.USTAR_FORMAT)
    content = bytearray(path.read_bytes())
    place = content.index(b"a/z.png")
    content[place : place + 10] = b"junkjunkju"
    path.write_bytes(content)
    with refused(
        str(path), "not a whole zip or tar archive", "no header and no end mark at byte 3,584"
    ):
        Archive(path).items(0, 1)


@pytest.mark.parametrize("content", ["missing", "folder", "junk", "no files"])
def test_no_archive(tmp_path: Path, content: str, refused: Refused) -> None:
    path = tmp_path / "p.zip"
    if content == "folder":
        path.mkdir()
    elif content == "junk":
        path.write_bytes(b"junk" * 1000)
    elif content == "no files":
        write_zip(path, {"a/": b""})
    with refused(str(path)):
        Archive(path).items(0, 1)
