"""Zip and tar archives that lie, are damaged, or would reach beyond their folder."""

from __future__ import annotations

import bz2
import copy
import gzip
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from archive_files import PLAIN, reasons, tar_info, write_tar, write_zip
from fixture_types import Refused

from dcgan_assets.sources import archive as archive_module
from dcgan_assets.sources.archive import Archive
from dcgan_assets.sources.reading.items import Item, UnreadableError
from dcgan_models.errors import UserError

pytestmark = pytest.mark.usefixtures("fresh_listings")


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


# --- Headers of a tar that lie ---------------------------------------------------------------


def header(
    name: str = "a.jpg", size: int | bytes = 0, kind: bytes = tarfile.REGTYPE, **changes: bytes
) -> bytes:
    """A header whose size may be any; tarfile writes what `size` is 0 as, the rest is put in."""
    block = bytearray(tar_info(name, 0, kind).tobuf(tarfile.USTAR_FORMAT))
    # Base 256, as GNU tar writes large numbers: the first byte is 0xFF where it is negative.
    field = size
    if isinstance(field, int):
        field = bytes([0xFF if field < 0 else 0x80]) + field.to_bytes(11, "big", signed=True)
    block[124:136] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return header("x", len(content), kind) + content + bytes(-len(content) % 512)


def record(name: bytes, value: bytes) -> bytes:
    """A record of a pax header, which begins with its own length."""
    rest = b" " + name + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


END = bytes(1024)
GOOD = header("good.jpg", 3) + b"yes" + bytes(509)
LYING_TARS = {
    "a negative size": header(size=-512),
    "a negative size that leads to itself": GOOD + header(size=-512),
    "a negative size that leads to the beginning": GOOD + header(size=-1536),
    "a size of minus one": GOOD + header(size=-1),
    "the most negative size": GOOD + header(size=-(1 << 87)),
    "a negative size of a folder": GOOD + header("d", -512, tarfile.DIRTYPE) + GOOD,
    "a negative size of a link": GOOD + header("l", -512, tarfile.SYMTYPE),
    "a negative size in a pax header": GOOD + pax(record(b"size", b"-512")) + header(),
    "a negative size of a pax header": GOOD + header("x", -512, tarfile.XHDTYPE) + header(),
    "a negative size of a long name": GOOD + header("x", -512, tarfile.GNUTYPE_LONGNAME),
    "a long name of 8 GB": GOOD + header("x", 8 << 30, tarfile.GNUTYPE_LONGNAME) + GOOD,
    "a pax header of 8 GB": GOOD + header("x", 8 << 30, tarfile.XHDTYPE) + GOOD,
    "a global header of 8 GB": GOOD + header("x", 8 << 30, tarfile.XGLTYPE) + GOOD,
    "a member beyond the end": GOOD + header(size=1 << 40),
    "a member beyond all ends": GOOD + header(size=(1 << 87) - 1),
    "a size in a pax header beyond the end": GOOD + pax(record(b"size", b"9" * 30)) + header(),
    "a thousand pax headers": GOOD + pax(record(b"a", b"b")) * 2000 + header(),
    "a thousand long names": GOOD + (header("x", 1, b"L") + b"a" + bytes(511)) * 2000 + header(),
    "a pax header without a member": GOOD + pax(record(b"a", b"b")),
    "a record without its length": GOOD + pax(b"size=1\n") + header(),
    "a record of length nought": GOOD + pax(b"0 size=1\n") + header(),
    "a size that is no number": header(size=b"77777z777777"),
    "a sparse file": GOOD + header("s", -512, tarfile.GNUTYPE_SPARSE),
    "the end mark halfway": header()[:300],
}


def listed(path: Path) -> list[Item]:
    """The members; none where the archive is refused, which is one line."""
    try:
        return Archive(path).items(0, 1)
    except UserError as error:
        line = str(error)
    assert "\n" not in line
    assert line.startswith(f"{path}: ")
    return []


@pytest.mark.parametrize("lie", LYING_TARS)
def test_headers_of_a_tar_that_lie_are_one_line_or_a_row(tmp_path: Path, lie: str) -> None:
    """None leads to a loop, to gigabytes or to a traceback."""
    path = tmp_path / "p.tar"
    path.write_bytes(LYING_TARS[lie] + END)
    tracemalloc.start()
    items = listed(path)
    assert len(items) < 4000
    for item in items:
        with suppress(UnreadableError):
            assert len(item.location.read()) < 2000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


# --- The directory of a zip that lies --------------------------------------------------------


def changed_zip(tmp_path: Path, place: int, value: bytes, extra: bytes = b"") -> Path:
    """A zip of two members in whose directory bytes of the first are others."""
    path = tmp_path / "p.zip"
    info = zipfile.ZipInfo("a.jpg")
    info.extra = extra
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"picture" * 9)
        archive.writestr("b.jpg", b"fine")
    content = bytearray(path.read_bytes())
    start = content.index(b"PK\x01\x02") + place
    content[start : start + len(value)] = value
    path.write_bytes(content)
    return path


LYING_ZIPS = {
    "its size": (24, b"\xff\xff\xff\x00"),
    "its compressed size": (20, b"\xff\xff\x00\x00"),
    "both sizes": (20, b"\x10\0\0\0\x10\0\0\0"),
    "its checksum": (16, b"abcd"),
    "its place": (42, b"\x05\0\0\0"),
    "its place, beyond the end": (42, b"\xf0\xff\xff\x7f"),
    "its method": (10, b"\x08\0"),
    "an unknown method": (10, b"\x63\0"),
    "that it is encrypted": (8, b"\x01\0"),
    "that its name is UTF-8": (46, b"\xff\xfe\0\x1b\x0a"),
    "a name with a zero": (46, b"a\0jpg"),
    "the length of its name": (28, b"\xff\xff"),
    "the length of its comment": (32, b"\xff\xff"),
    "its disk": (34, b"\x07\0"),
    "that it is a link": (4, b"\x14\x03" + b"\x14\0\0\0\0\0\0\0\0\0"),
    "sizes of 64 bits that are not there": (20, b"\xff" * 8),
}


@pytest.mark.parametrize("lie", LYING_ZIPS)
def test_a_directory_of_a_zip_that_lies_is_one_line_or_a_row(tmp_path: Path, lie: str) -> None:
    path = changed_zip(tmp_path, *LYING_ZIPS[lie])
    for item in listed(path):
        assert min(item.key) >= " "
        if item.key == "b.jpg":
            assert item.location.read() == b"fine"
        else:
            with suppress(UnreadableError):
                assert item.location.read() == b"picture" * 9


@pytest.mark.parametrize("place", [1 << 63, (1 << 64) - 1, 1 << 62])
def test_a_place_of_64_bits(tmp_path: Path, place: int) -> None:
    extra = struct.pack("<HHQ", 1, 8, place)
    path = changed_zip(tmp_path, 42, b"\xff" * 4, extra)
    found = {item.key: item.location for item in Archive(path).items(0, 1)}
    with pytest.raises(UnreadableError):
        found["a.jpg"].read()
    assert found["b.jpg"].read() == b"fine"


def test_members_that_share_their_bytes_are_unpacked_once(tmp_path: Path) -> None:
    """A bomb of 40 members in the bytes of one: each would unpack all of it."""
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a00.jpg", bytes(10**7))
        for number in range(1, 40):
            info = copy.copy(archive.infolist()[0])
            info.filename = info.orig_filename = f"a{number:02}.jpg"
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        archive._didModify = True  # type: ignore[attr-defined]
    assert path.stat().st_size < 20_000
    found = reasons(Archive(path))
    assert len(found) == 40
    assert set(found.values()) == {"overlaps another member"}
